"""Courier's POP3 server: a login that hands its connection on to another program, and loses what it has read of it.

Debian lets its package not stand beside Dovecot's, so its two programs are unpacked, not installed. Who may log in is
said by :class:`Courier` itself at the socket of Courier's ``authdaemond``, whose place is compiled in; whatever is heard
and said on a connection is Courier's own.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from support.programs import Maildirs, account, give, program

from airflow_pop3_gateway.testing.certificates import Certificates

AUTHDAEMON = Path("/run/courier/authdaemon/socket")
PASSWORD = "secret"


class Courier(Maildirs):
    """:ivar port: in the clear and STLS; :ivar tls_port: TLS."""

    name = "courier"

    def __init__(self, certificates: Certificates) -> None:
        login = program("courierpop3login", "courier-pop (unpacked, see .ci/run)", needs_root=True)
        tls = program("couriertls", "courier-base", needs_root=True)
        self.folder = Path(tempfile.mkdtemp(prefix="courier-"))
        self.folder.chmod(0o755)
        (self.folder / "mail").mkdir()
        give(self.folder / "mail")
        super().__init__(self.folder / "mail")
        certificate = self.folder / "both.pem"
        certificate.write_text(
            Path(certificates.key_file).read_text() + Path(certificates.chain_file).read_text()
        )
        session = [login, str(Path(login).with_name("courierpop3d")), "."]
        self._listeners: list[socket.socket] = []
        self._sessions: list[subprocess.Popen[bytes]] = []
        self._environment = {
            "PATH": "/usr/bin:/usr/sbin",
            "MAILDIRPATH": ".",
            "POP3_STARTTLS": "YES",
            "POP3AUTH": "PLAIN LOGIN",
            "POP3_TLS": "0",
            "COURIERTLS": tls,
            "TLS_CERTFILE": str(certificate),
            "TLS_VERIFYPEER": "NONE",
            "TCPLOCALIP": "127.0.0.1",
            "TCPLOCALPORT": "110",
            "TCPREMOTEIP": "127.0.0.1",
            "TCPREMOTEPORT": "1",
        }
        AUTHDAEMON.parent.mkdir(parents=True, exist_ok=True)
        AUTHDAEMON.unlink(missing_ok=True)
        self._serve(socket.create_server(str(AUTHDAEMON), family=socket.AF_UNIX), self._tell_who)
        self.port = self._run(session)
        self.tls_port = self._run([tls, "-server", "-tcpd", *session], POP3_TLS="1")

    def _serve(self, listener: socket.socket, answer: object) -> None:
        def run() -> None:
            with suppress(OSError):  # closed
                while True:
                    connection, _ = listener.accept()
                    threading.Thread(target=answer, args=(connection,), daemon=True).start()

        self._listeners.append(listener)
        threading.Thread(target=run, daemon=True).start()

    def _run(self, command: list[str], **environment: str) -> int:
        """Run this for each connection. :returns: the port."""

        def answer(connection: socket.socket) -> None:
            with connection:
                session = subprocess.Popen(
                    command,
                    stdin=connection,
                    stdout=connection,
                    stderr=subprocess.DEVNULL,
                    env=self._environment | environment,
                )
            self._sessions.append(session)
            session.wait()

        listener = socket.create_server(("127.0.0.1", 0))
        self._serve(listener, answer)
        port: int = listener.getsockname()[1]
        return port

    def _tell_who(self, connection: socket.socket) -> None:
        """``AUTH n``, then service, kind, login, password; the answer is what Courier becomes."""
        with connection, connection.makefile("rw") as words:
            while not words.readline().startswith("AUTH"):
                pass
            _, _, login, password = (words.readline().rstrip("\n") for _ in range(4))
            owner, maildir = account(), self.maildirs / login
            if password == PASSWORD and maildir.is_dir():
                words.write(f"UID={owner.pw_uid}\nGID={owner.pw_gid}\nHOME={maildir}\nADDRESS={login}\n.\n")
            else:
                words.write("FAIL\n")

    def add(self, login: str, *mails: bytes) -> str:
        """A new login with these mails."""
        self.path_of(login)
        for mail in mails:
            self.deliver(login, mail)
        return login

    def mails(self, login: str) -> list[bytes]:
        """What lies there when sessions have ended: Courier says that it deleted, and then deletes."""
        for session in self._sessions:
            session.wait(30)
        self._sessions.clear()
        return super().mails(login)

    def deliver(self, login: str, mail: bytes) -> None:
        super().deliver(login, mail.replace(b"\r\n", b"\n"))

    def __enter__(self) -> Courier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for listener in self._listeners:
            listener.close()
        AUTHDAEMON.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
