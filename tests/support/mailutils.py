"""GNU Mailutils' POP3 server, one more that nobody here wrote.

It has the dirt of the real world: lines are kept with LF; an ``X-UIDL`` field is added to what is served, which LIST
counts only after UIDL was asked; TOP puts an empty line before the body; the greeting has a timestamp, but APOP knows
nobody.
"""

from __future__ import annotations

from pathlib import Path

from support.programs import Maildirs, Program, account, free_ports, give

from airflow_pop3_gateway.testing.certificates import Certificates

DOMAIN = "box.example"
SECRET = "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG."
"""The password ``secret`` as crypt(3) makes it."""

CONFIGURATION = """
mode daemon;
foreground yes;
logging {{ syslog no; }};
auth {{ authentication "generic"; authorization "virtdomain"; }};
virtdomain {{ passwd-dir "{folder}/users"; }};
mailbox {{ mailbox-type maildir; }};
mandatory-locking {{ enable yes; lock-directory "{folder}/locks"; }};
tcp-wrappers {{ enable no; }};
tls {{ ssl-certificate-file "{chain}"; ssl-key-file "{key}"; }};
tls-file-checks {{ key-file (none); }};
server 127.0.0.1:{port} {{ tls-mode ondemand; }};
server 127.0.0.1:{tls_port} {{ tls-mode connection; }};
"""


class Mailutils(Program, Maildirs):
    """Logins are ``name@box.example``. :ivar port: in the clear and STLS; :ivar tls_port: TLS."""

    name = "pop3d"
    package = "mailutils-pop3d"
    needs_root = True  # it becomes the system's group "mail", whoever owns the mailboxes
    host = "127.0.0.1"
    password = "secret"

    def __init__(self, certificates: Certificates) -> None:
        Program.__init__(self)
        Maildirs.__init__(self, self.mail)
        self.port, self.tls_port = free_ports(2)
        self._certificates = certificates
        for name in ("users", "locks"):
            (self.folder / name).mkdir()
        give(self.folder / "locks")
        self._users = self.folder / "users" / DOMAIN
        self._users.touch()

    def command(self) -> list[str]:
        file = self.folder / "pop3d.conf"
        file.write_text(
            CONFIGURATION.format(
                folder=self.folder,
                chain=self._certificates.chain_file,
                key=self._certificates.key_file,
                port=self.port,
                tls_port=self.tls_port,
            )
        )
        return [self.path, "--no-config", f"--config-file={file}"]

    def ports(self) -> list[int]:
        return [self.port, self.tls_port]

    def path_of(self, login: str) -> Path:
        return super().path_of(f"{login.partition('@')[0]}/INBOX")

    def deliver(self, login: str, mail: bytes) -> None:
        super().deliver(login, mail.replace(b"\r\n", b"\n"))

    def add(self, login: str, *mails: bytes) -> str:
        """A new login with these mails; gives back the login with its domain."""
        owner = account()
        home = self.mail / login
        home.mkdir()
        give(home)
        with self._users.open("a") as users:
            users.write(f"{login}:{SECRET}:{owner.pw_uid}:{owner.pw_gid}::{home}:/bin/false\n")
        self.path_of(login)
        for mail in mails:
            self.deliver(login, mail)
        return f"{login}@{DOMAIN}"
