"""TLS for servers of this machine: an authority nobody else trusts, and one certificate for ``localhost``.

Invariant: verification works as in real life; a client trusts these servers only when it is given ``ca_file``.
"""

from __future__ import annotations

import hashlib
import shutil
import ssl
import tempfile
import weakref
from pathlib import Path

import trustme


class Certificates:
    """Files in a temporary folder that goes when this object goes.

    :param names: host names and addresses the certificate is for.
    :ivar ca_file: the authority; :ivar chain_file: the server's certificate; :ivar key_file: its private key.
    """

    def __init__(self, *names: str) -> None:
        folder = Path(tempfile.mkdtemp(prefix="certificates-"))
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        authority = trustme.CA()
        server = authority.issue_cert(*names or ("localhost", "127.0.0.1"))
        self.ca_file = str(folder / "ca.pem")
        self.chain_file = str(folder / "server.pem")
        self.key_file = str(folder / "server.key")
        authority.cert_pem.write_to_path(self.ca_file)
        server.private_key_pem.write_to_path(self.key_file)
        for pem in server.cert_chain_pems:
            pem.write_to_path(self.chain_file, append=True)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the server's certificate, hexadecimal: what a client pins."""
        pem = Path(self.chain_file).read_text(encoding="ascii")
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()

    def server_context(self) -> ssl.SSLContext:
        """What a server of the standard library or of asyncio takes."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.chain_file, self.key_file)
        return context
