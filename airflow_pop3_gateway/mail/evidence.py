"""What proves a signature: the exact octets that were signed, and the signature (RFC 1847).

Strategy: the first ``multipart/signed`` of a mail, at any depth but not within an enclosed mail, gives up the octets
of its first part, header and all, as they stream by; its signature part is decoded as every other part.

Invariant: the content has every octet that was signed and no other, so that it verifies with common tools; it is
published only with its signature, and only when the mail is taken.
"""

from __future__ import annotations

import hashlib

from airflow_pop3_gateway.mail.account import Account
from airflow_pop3_gateway.mail.files import File, Files
from airflow_pop3_gateway.mail.parts import Part
from airflow_pop3_gateway.records import StoredFile

CONTENT_NAME = "signed-content.eml"
USUAL_NAMES = {"application/pgp-signature": "signature.asc"}


class Evidence:
    """The signed content and the signature of one mail."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._content: File | None = None
        self._size = 0
        self._signed: Part | None = None
        self._signature: Account | None = None

    def content(self, signed: Part, octets: bytes) -> None:
        """Octets of what is signed, in order. :param signed: the multipart/signed."""
        if self._content is None:
            self._signed = signed
            self._content = self._files.open(CONTENT_NAME, None, "message/rfc822", "")
            self._digest = hashlib.sha256()
        self._content.write(octets)
        self._digest.update(octets)
        self._size += len(octets)

    def signature(self, account: Account) -> None:
        """The signature part begins; a second one is no part of the proof, nor is one within what is signed."""
        if self._signature is not None or self._signed is None or account.part.parent is not self._signed:
            return
        part, self._signature = account.part, account
        name = USUAL_NAMES.get(part.content_type, "smime.p7s")
        account.file = self._files.open(part.name or name, part.name, part.content_type, part.path)

    def publish(self) -> tuple[StoredFile, ...]:
        """Both files, or none."""
        account, content = self._signature, self._content
        if account is None or account.file is None or content is None:
            return ()
        account.key = account.file.commit()
        signed = content.stored(content.commit(), self._size, self._digest.hexdigest())
        signature = account.stored()
        assert signature is not None
        return signed, signature
