"""A well-behaved POP3 server inside this process: Twisted's protocol, for tests, the demo, and users' own tests.

Strategy: one Twisted reactor for the process, in a daemon thread that starts with the first server; servers come and
go on it. The protocol is Twisted's; what is here is the maildrop behind it and what Twisted's mailboxes leave to us:
octets as they are (Twisted expects LF files and stuffs dots chunk by chunk), STLS, response codes, and a refusal
instead of a lost connection for a wrong argument.

Invariant: transactional as RFC 1939 §6 asks: QUIT applies deletions, any other end forgets them; a maildrop has one
session, a second gets ``[IN-USE]`` (RFC 2449 §8.1.2); a UIDL never changes and is never given twice. As Twisted has
it, LIST goes on to show a deleted mail until QUIT, with 0 octets.

::

    with Pop3Server({"edi": [letters.message()]}, password="secret") as server:
        ...                                   # a client logs in at server.host, server.port
        server.deliver("edi", letters.file_attached())
        assert server.mails("edi") == []      # all fetched and deleted
"""

# mypy: allow-untyped-calls
# Twisted has types, but few in its POP3.

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from types import TracebackType
from typing import IO, Any, ClassVar, Literal

from twisted.cred import checkers, credentials, portal
from twisted.cred.error import UnauthorizedLogin
from twisted.internet import protocol, threads
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.mail import pop3

from airflow_pop3_gateway.testing.certificates import Certificates

Security = Literal["plain", "starttls", "tls"]
_starting = threading.Lock()


def _reactor() -> Any:
    """The running reactor; starts it in a thread when nobody did.

    Imported here because importing Twisted's reactor chooses it for the whole process.
    """
    from twisted.internet import reactor

    running: Any = reactor
    with _starting:
        if not running.running:
            ready = threading.Event()
            running.callWhenRunning(ready.set)
            threading.Thread(
                target=running.run, kwargs={"installSignalHandlers": False}, name="pop3-server", daemon=True
            ).start()
            ready.wait()
    return running


class Pop3Server:
    """Listens on a port of 127.0.0.1 while its context is open; every login has the same password.

    :param maildrops: login → mails, in the order they came.
    :param security: ``plain``; ``starttls``: STLS is offered, and a login in the clear refused; ``tls``: TLS from
        the first octet.
    :param certificates: for TLS; own ones by default. :param port: 0 takes a free one.
    :ivar transcript: every command line that arrived, secrets replaced.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        maildrops: Mapping[str, Iterable[bytes]],
        *,
        password: str = "secret",
        security: Security = "plain",
        certificates: Certificates | None = None,
        port: int = 0,
    ) -> None:
        self.password = password
        self.security: Security = security
        self.port = port
        self.transcript: list[str] = []
        self._certificates = certificates or (None if security == "plain" else Certificates())
        self._maildrops: dict[str, _Maildrop] = {}
        for login, mails in maildrops.items():
            self.add(login, *mails)
        self._factory = _Factory(self)
        self._listener: Any = None

    @property
    def ca_file(self) -> str:
        """The authority of its certificate; ``""`` without TLS."""
        return self._certificates.ca_file if self._certificates else ""

    def add(self, login: str, *mails: bytes) -> str:
        """A maildrop with these mails. :returns: its login."""
        self._maildrops.setdefault(login, _Maildrop())
        for mail in mails:
            self.deliver(login, mail)
        return login

    def deliver(self, login: str, mail: bytes) -> str:
        """Put a mail in; a session that is open does not see it. :returns: its UIDL."""
        return self._maildrops[login].deliver(mail)

    def mails(self, login: str) -> list[bytes]:
        """What is left in a maildrop, oldest first."""
        return list(self._maildrops[login].mails.values())

    def __enter__(self) -> Pop3Server:
        threads.blockingCallFromThread(_reactor(), self._listen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        threads.blockingCallFromThread(_reactor(), self._close)

    def _listen(self) -> None:
        where = {"port": self.port, "factory": self._factory, "interface": self.host}
        if self.security == "tls":
            self._listener = _reactor().listenSSL(contextFactory=self._tls(), **where)
        else:
            self._listener = _reactor().listenTCP(**where)
        self.port = self._listener.getHost().port

    def _close(self) -> Any:
        for session in list(self._factory.sessions):
            session.transport.abortConnection()
        return self._listener.stopListening()

    def _tls(self) -> Any:
        assert self._certificates is not None
        return DefaultOpenSSLContextFactory(self._certificates.key_file, self._certificates.chain_file)

    def _log_in(self, login: bytes) -> _Session:
        maildrop = self._maildrops[login.decode()]
        if not maildrop.lock.acquire(blocking=False):
            raise UnauthorizedLogin("[IN-USE] another session has this maildrop")
        return _Session(maildrop)


class _Maildrop:
    """Mails by UIDL, and the lock a session holds."""

    def __init__(self) -> None:
        self.mails: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self._delivered = 0

    def deliver(self, mail: bytes) -> str:
        self._delivered += 1
        uidl = f"{self._delivered:06d}.{hashlib.sha256(mail).hexdigest()[:16]}"
        self.mails[uidl] = mail
        return uidl


class _Session(pop3.Mailbox):
    """A maildrop as it was at login, as Twisted asks for it; numbers begin at 0 here."""

    def __init__(self, maildrop: _Maildrop) -> None:
        self._maildrop = maildrop
        self._mails = list(maildrop.mails.items())
        self._deleted: set[int] = set()
        self._open = True

    def listMessages(self, i: int | None = None) -> Any:
        if i is None:
            return [self.listMessages(number) for number in range(len(self._mails))]
        return 0 if i in self._deleted else len(self._at(i)[1])

    def getMessage(self, i: int) -> IO[Any]:
        return BytesIO((b"\r\n" + self._at(i)[1]).replace(b"\r\n.", b"\r\n..")[2:])

    def getUidl(self, i: int) -> bytes:
        if i in self._deleted:
            raise ValueError("deleted")
        return self._at(i)[0].encode()

    def deleteMessage(self, i: int) -> None:
        self._at(i)
        if i in self._deleted:
            raise ValueError("deleted already")
        self._deleted.add(i)

    def undeleteMessages(self) -> None:
        self._deleted.clear()

    def sync(self) -> None:
        """QUIT; the lock goes before the answer, so that the client's next session is not refused."""
        for number in self._deleted:
            self._maildrop.mails.pop(self._mails[number][0], None)
        self.leave()

    def leave(self) -> None:
        if self._open:
            self._open = False
            self._maildrop.lock.release()

    def _at(self, number: int) -> tuple[str, bytes]:
        if not 0 <= number < len(self._mails):
            raise ValueError("no such message")
        return self._mails[number]


class _Realm:
    """Where Twisted's credentials become a maildrop."""

    def __init__(self, server: Pop3Server) -> None:
        self._server = server

    def requestAvatar(self, login: Any, mind: Any, *interfaces: Any) -> tuple[Any, Any, Callable[[], None]]:
        session = self._server._log_in(login)
        return pop3.IMailbox, session, session.leave


class _Passwords(checkers.InMemoryUsernamePasswordDatabaseDontUse):
    """Every maildrop there is, one password."""

    def __init__(self, server: Pop3Server) -> None:
        super().__init__()
        self._server = server

    def requestAvatarId(self, given: Any) -> Any:
        self.users = {
            login.encode(): self._server.password.encode() for login in list(self._server._maildrops)
        }
        return super().requestAvatarId(given)


class _Factory(protocol.ServerFactory):
    noisy = False
    challengers: ClassVar[dict[bytes, Any]] = {b"CRAM-MD5": credentials.CramMD5Credentials}

    def __init__(self, server: Pop3Server) -> None:
        self.server = server
        realm: Any = _Realm(server)
        passwords: Any = _Passwords(server)
        self.portal = portal.Portal(realm, [passwords])
        self.sessions: set[Any] = set()

    def buildProtocol(self, addr: Any) -> Any:
        session = _Protocol(self)
        session.factory = self
        session.portal = self.portal
        return session


class _Protocol(pop3.POP3):
    """Twisted's POP3 with STLS, response codes and octets as they are."""

    _BEFORE_TLS = (b"CAPA", b"STLS", b"QUIT")
    transport: Any
    factory: Any
    portal: Any

    def __init__(self, factory: _Factory) -> None:
        self._server = factory.server
        self._sessions = factory.sessions
        self._in_the_clear = factory.server.security == "starttls"
        self.AUTH_CMDS = [*pop3.POP3.AUTH_CMDS, b"STLS"]

    def connectionMade(self) -> None:
        self._sessions.add(self)
        super().connectionMade()

    def connectionLost(self, reason: Any = protocol.connectionDone) -> None:
        self._sessions.discard(self)
        super().connectionLost(reason)

    def state_COMMAND(self, line: bytes) -> None:
        verb, _, rest = line.decode("utf-8", "replace").partition(" ")
        secret = verb.upper() in ("PASS", "APOP")
        self._server.transcript.append(f"{verb.upper()} {'***' if secret else rest}".strip())
        super().state_COMMAND(line)

    def processCommand(self, command: bytes, *args: bytes) -> Any:
        if self._in_the_clear and command.upper() not in self._BEFORE_TLS:
            return self.failResponse(b"STLS first")
        try:
            return super().processCommand(command, *args)
        except (ValueError, TypeError, pop3.POP3Error) as error:
            return self.failResponse(" ".join(map(str, error.args)))

    def listCapabilities(self) -> list[bytes]:
        offered = [b"TOP", b"UIDL", b"RESP-CODES", b"AUTH-RESP-CODE", b"PIPELINING", b"EXPIRE NEVER"]
        return [*offered, *([b"STLS"] if self._in_the_clear else [b"USER", b"SASL CRAM-MD5"])]

    def do_STLS(self) -> None:
        if not self._in_the_clear:
            self.failResponse(b"not here")
            return
        self.successResponse(b"begin TLS")
        self.transport.startTLS(self._server._tls())
        self._in_the_clear = False

    def do_TOP(self, i: bytes, size: bytes) -> Any:
        def head(mail: Any) -> IO[bytes]:
            fields, empty, body = mail.read().partition(b"\r\n\r\n")
            return BytesIO(fields + empty + b"".join(body.splitlines(True)[: int(size)]))

        if not size.isdigit():
            return self.failResponse(b"Bad line count argument")
        return self._sendMessageContent(i, head, lambda octets: "top of message follows")

    def authenticateUserAPOP(self, user: bytes, digest: bytes) -> Any:
        """Twisted compares the digest with a str, which the octets from the wire never equal."""
        return super().authenticateUserAPOP(user, digest.decode("ascii", "replace"))

    def transformChunk(self, chunk: bytes) -> bytes:
        """The mail is stuffed as a whole."""
        return chunk

    def _ebMailbox(self, failure: Any) -> None:
        failure.trap(UnauthorizedLogin)
        reason = str(failure.value)
        self.failResponse(reason if reason.startswith("[") else "[AUTH] wrong login or password")
