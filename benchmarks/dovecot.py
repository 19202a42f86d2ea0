"""A Dovecot of our own: POP3 in the clear and in TLS on free ports of 127.0.0.1, IMAP where it is asked for; everything
lies below one folder.

Strategy: mail stays on the server and sessions do not lock each other out, so every contender sees the same mailbox.
Needs root, as the daemon gives up its rights itself.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

import trustme

PASSWORD = "secret"
CONFIGURATION = """
base_dir = {folder}/base
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = {protocols}
listen = 127.0.0.1
ssl = yes
ssl_cert = <{chain}
ssl_key = <{key}
disable_plaintext_auth = no
first_valid_uid = 1
first_valid_gid = 1
auth_mechanisms = plain login
auth_failure_delay = 0
mail_location = maildir:{mail}/%u:INDEX={folder}/index/%u
maildir_very_dirty_syncs = yes
mail_fsync = never
mail_max_userip_connections = 0
pop3_no_flag_updates = yes
pop3_lock_session = no
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={mail}/%u
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {port}
  }}
  inet_listener pop3s {{
    port = {tls_port}
    ssl = yes
  }}
  # with TLS a login process stays as the encrypting proxy, so each session has its own
  service_count = 1
  process_min_avail = 8
  process_limit = 64
}}
service pop3 {{
  process_min_avail = 8
  process_limit = 64
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""
IMAP = """
service imap-login {{
  inet_listener imap {{
    port = {imap_port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
"""


def program() -> str | None:
    """Where the daemon is, if it can run here."""
    found = shutil.which("dovecot", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    return found if os.geteuid() == 0 else None


def free_port() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 20) -> None:
    """:raises RuntimeError: nobody listens within the time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"nobody listens on port {port}.")


class Dovecot:
    """The server as a context manager. :ivar maildirs: where the Maildir of a login lies;
    :ivar ca_file: whom to trust, for everybody to read."""

    def __init__(self, folder: Path, *, imap: bool = False) -> None:
        self.folder = folder
        self.maildirs = folder / "mail"
        self.port, self.tls_port, self.imap_port = free_port(), free_port(), free_port()
        account = pwd.getpwnam("mail")
        for path in (self.maildirs, folder / "index"):
            path.mkdir(parents=True, exist_ok=True)
            os.chown(path, account.pw_uid, account.pw_gid)
        folder.chmod(0o755)
        self.ca_file, chain, key = (folder / name for name in ("ca.pem", "server.pem", "server.key"))
        authority = trustme.CA()
        certificate = authority.issue_cert(
            "localhost", common_name="localhost"
        )  # fetchmail wants the common name
        authority.cert_pem.write_to_path(self.ca_file)
        certificate.private_key_pem.write_to_path(key)
        for pem in certificate.cert_chain_pems:
            pem.write_to_path(chain, append=True)
        (folder / "dovecot.conf").write_text(
            (CONFIGURATION + IMAP * imap).format(
                protocols="pop3 imap" if imap else "pop3",
                imap_port=self.imap_port,
                folder=folder,
                mail=self.maildirs,
                chain=chain,
                key=key,
                password=PASSWORD,
                uid=account.pw_uid,
                gid=account.pw_gid,
                port=self.port,
                tls_port=self.tls_port,
            )
        )

    def give(self, login: str) -> None:
        """Let the account of the mailboxes own a Maildir."""
        for path in (self.maildirs / login, *(self.maildirs / login).rglob("*")):
            shutil.chown(path, "mail", "mail")

    def __enter__(self) -> Dovecot:
        self._process = subprocess.Popen(
            [str(program()), "-F", "-c", str(self.folder / "dovecot.conf")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self.port, self._process)
        wait_for(self.tls_port, self._process)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(30)
