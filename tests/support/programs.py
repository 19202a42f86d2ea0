"""Real servers as child processes: found or said to be missing, started on free ports, stopped by their own handle.

Locally a missing server skips the tests that need it; where ``CI=true`` it fails them: a test that is always skipped
proves nothing.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pytest

COURIER = "/usr/local/lib/courier-pop"


def account() -> pwd.struct_passwd:
    """Who owns the mailboxes: servers that root starts become the system's own account, others stay who they are."""
    return pwd.getpwnam("mail") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())


def program(name: str, package: str, *, needs_root: bool = False) -> str:
    """The path of a server's program; skips the test, or fails it in CI, where it cannot run."""
    beside = sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin")), reverse=True)
    found = shutil.which(
        name,
        path=os.pathsep.join(
            [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/sbin", COURIER, *beside]
        ),
    )
    if found and (os.geteuid() == 0 or not needs_root):
        return found
    why = f"needs root to run {name}" if found else f"needs {name}: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(why)
    pytest.skip(why)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody uses now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


def answers(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def until(happened: Callable[[], object], what: str, seconds: float = 30, pause: float = 0.01) -> None:
    """Wait for another process. :raises AssertionError: it did not happen; ``what`` says what."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"{what}, not within {seconds} s"
        time.sleep(pause)


class Program:
    """A server in the foreground, below a folder of its own that every account may enter."""

    name = ""
    package = ""
    needs_root = False

    def __init__(self) -> None:
        self.path = program(self.name, self.package, needs_root=self.needs_root)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.folder.chmod(0o755)
        self.mail = self.folder / "mail"
        self.mail.mkdir()
        give(self.mail)
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Write the configuration. :returns: what to run."""
        raise NotImplementedError

    def ports(self) -> list[int]:
        """Where it listens when it is ready."""
        raise NotImplementedError

    def start(self) -> None:
        log = self.folder / "output.log"
        command = self.command()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )

        def ready() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, f"{self.name} ended at once: {log.read_text()}"
            return all(map(answers, self.ports()))

        until(ready, f"{self.name} listens")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def __enter__(self) -> Program:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def give(path: Path) -> None:
    """Let the account of the mailboxes own a file or folder."""
    owner = account()
    os.chown(path, owner.pw_uid, owner.pw_gid)


class Maildirs:
    """Maildirs below one folder, one a login: what a delivery agent writes, without a server."""

    def __init__(self, folder: Path) -> None:
        self.maildirs = folder
        self._delivered = 0

    def path_of(self, login: str) -> Path:
        """The Maildir of a login, made when it is not there."""
        maildir = self.maildirs / login
        for folder in (maildir, maildir / "tmp", maildir / "new", maildir / "cur"):
            if not folder.exists():
                folder.mkdir(parents=True)
                give(folder)
        return maildir

    def deliver(self, login: str, mail: bytes) -> None:
        """Write to ``tmp``, rename into ``new``; names sort in the order of delivery."""
        maildir = self.path_of(login)
        self._delivered += 1
        name = f"{1_700_000_000 + self._delivered}.M{self._delivered:06d}P1.host"
        (maildir / "tmp" / name).write_bytes(mail)
        give(maildir / "tmp" / name)
        (maildir / "tmp" / name).rename(maildir / "new" / name)

    def mails(self, login: str) -> list[bytes]:
        """What lies there, oldest first, with the line ends of the files."""
        maildir = self.path_of(login)
        files = [file for folder in ("new", "cur") for file in (maildir / folder).iterdir()]
        return [file.read_bytes() for file in sorted(files, key=lambda file: file.name)]
