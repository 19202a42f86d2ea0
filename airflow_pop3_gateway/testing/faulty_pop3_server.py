"""A POP3 server of our own that misbehaves on demand; for good behaviour take the one nobody here wrote.

Strategy: one thread a connection, plain blocking sockets, commands as methods. A fault is one word, with a number after
a colon where it needs one; several may be set at once and changed while the server runs. The maildrop is transactional
as RFC 1939 §6 asks: QUIT applies deletions, anything else forgets them; a second session gets ``[IN-USE]``.

Invariant: without faults it is a correct RFC 1939 server with CAPA, TOP, UIDL and PIPELINING.

========================== ==================================================================
``greeting-hang``          accepts and says nothing
``greeting-err``           ``-ERR [SYS/TEMP]`` and closes
``hang:COMMAND``           never answers that command
``cut:COMMAND``            closes when that command arrives
``err:COMMAND``            answers ``-ERR`` to it
``in-use``                 ``-ERR [IN-USE]`` at login; ``login-delay``, ``sys-temp``, ``sys-perm``, ``auth-fail`` alike
``retr-cut:n``             closes after n octets of every RETR body; ``retr-hang:n``: stops there and says no more
``retr-err:n``             ``-ERR`` to RETR of message n
``retr-empty:n``           message n comes without an octet
``quit-lost``              applies the deletions, closes without an answer
``quit-rollback``          forgets the deletions, closes without an answer
``quit-err``               forgets the deletions, ``-ERR``
``quit-lies``              says ``+OK`` and forgets the deletions
``no-uidl`` ``no-top``     ``-ERR`` to it, and absent from CAPA
``no-capa``                ``-ERR`` to CAPA; ``one-by-one``: no PIPELINING in it
``uidl-blank``             every UIDL is empty; ``uidl-same``: every UIDL is ``x``; ``uidl-number``: the message number
``uidl-epoch:n``           every UIDL begins with n: as after a migration
``list-lies``              LIST says ten octets more than there are
``top-differs``            TOP adds a header of its own
========================== ==================================================================
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
from collections.abc import Iterable
from types import TracebackType

_LOGIN_FAULTS = {
    "in-use": "-ERR [IN-USE] do you have another session running?",
    "login-delay": "-ERR [LOGIN-DELAY] minimum time between mail checks violation",
    "sys-temp": "-ERR [SYS/TEMP] the mail store is busy",
    "sys-perm": "-ERR [SYS/PERM] the mail store is broken",
    "auth-fail": "-ERR [AUTH] no such login",
}


class Mailbox:
    """A maildrop: mails with a UIDL each, and the lock a session holds."""

    def __init__(self, mails: Iterable[bytes] = ()) -> None:
        self.mails: dict[str, bytes] = {}
        self.lock = threading.Lock()
        self.logins = 0
        self._delivered = 0
        for mail in mails:
            self.deliver(mail)

    def deliver(self, mail: bytes) -> str:
        """Put a mail in. :returns: its UIDL."""
        self._delivered += 1
        uidl = f"{self._delivered:06d}-{hashlib.md5(mail, usedforsecurity=False).hexdigest()[:12]}"
        self.mails[uidl] = mail
        return uidl


class FaultyPop3Server:
    """Listens on a free port of 127.0.0.1 while its context is open; every login has the same password.

    :ivar mailboxes: login → :class:`Mailbox`; :ivar faults: words of the table above; :ivar transcript: every command
        line that arrived, passwords replaced.
    """

    host = "127.0.0.1"

    def __init__(self, *faults: str, password: str = "secret", **mailboxes: Iterable[bytes]) -> None:
        self.faults: set[str] = set(faults)
        self.password = password
        self.mailboxes = {login: Mailbox(mails) for login, mails in mailboxes.items()}
        self.transcript: list[str] = []
        self._listener = socket.create_server((self.host, 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()

    def __enter__(self) -> FaultyPop3Server:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def fault(self, word: str) -> str | None:
        """The part after the colon of a fault that is set (``""`` without one), ``None`` when it is not."""
        for fault in self.faults:
            name, _, value = fault.partition(":")
            if name == word:
                return value
        return None

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._open.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        session = _Session(self, connection)
        try:
            with contextlib.suppress(OSError, _Hangup):
                session.run()
        finally:
            session.leave()
            connection.close()
            self._open.discard(connection)


class _Hangup(Exception):
    """The server closes the connection now."""


class _Session:
    def __init__(self, server: FaultyPop3Server, connection: socket.socket) -> None:
        self._server, self._connection = server, connection
        self._lines = connection.makefile("rb")
        self._login = ""
        self._mailbox: Mailbox | None = None
        self._listed: list[tuple[str, bytes]] = []
        self._deleted: set[int] = set()

    def leave(self) -> None:
        if self._mailbox is not None:
            self._mailbox.lock.release()
            self._mailbox = None

    def run(self) -> None:
        if self._server.fault("greeting-hang") is not None:
            self._lines.read()
            return
        if self._server.fault("greeting-err") is not None:
            self._say("-ERR [SYS/TEMP] come back later")
            return
        self._say("+OK ready")
        for line in self._lines:
            verb, _, argument = line.decode("latin-1").rstrip("\r\n").partition(" ")
            verb = verb.upper()
            self._server.transcript.append(f"{verb} {'***' if verb == 'PASS' else argument}".strip())
            if f"hang:{verb}" in self._server.faults:
                self._lines.read()
                return
            if f"cut:{verb}" in self._server.faults:
                return
            if f"err:{verb}" in self._server.faults:
                self._say("-ERR not today")
                continue
            command = getattr(self, f"_{verb.lower()}", None)
            if command is None or (self._mailbox is None and verb not in ("USER", "PASS", "CAPA", "QUIT")):
                self._say("-ERR not now")
            else:
                command(argument)
                if verb == "QUIT":
                    return

    def _say(self, line: str) -> None:
        self._connection.sendall(line.encode("latin-1") + b"\r\n")

    def _say_lines(self, lines: Iterable[str]) -> None:
        self._connection.sendall("".join(f"{line}\r\n" for line in ("+OK", *lines, ".")).encode("latin-1"))

    def _say_body(self, octets: bytes, end: int | None = None) -> None:
        if octets and not octets.endswith(b"\r\n"):
            octets += b"\r\n"
        stuffed = (b"\r\n" + octets).replace(b"\r\n.", b"\r\n..")[2:]
        if end is not None and end < len(stuffed):
            self._connection.sendall(b"+OK\r\n" + stuffed[:end])
            if self._server.fault("retr-hang") is not None:
                self._lines.read()
            raise _Hangup
        self._connection.sendall(b"+OK\r\n" + stuffed + b".\r\n")

    def _mail(self, argument: str) -> tuple[int, bytes] | None:
        number = int(argument) if argument.isdigit() else 0
        if not 0 < number <= len(self._listed) or number in self._deleted:
            self._say("-ERR no such message")
            return None
        return number, self._listed[number - 1][1]

    def _standing(self) -> list[tuple[int, str, bytes]]:
        numbered = enumerate(self._listed, 1)
        return [(number, uidl, mail) for number, (uidl, mail) in numbered if number not in self._deleted]

    def _size(self, mail: bytes) -> int:
        return len(mail) + (10 if self._server.fault("list-lies") is not None else 0)

    def _name(self, number: int, uidl: str) -> str:
        for fault, name in (("uidl-blank", ""), ("uidl-same", "x"), ("uidl-number", str(number))):
            if self._server.fault(fault) is not None:
                return name
        return (self._server.fault("uidl-epoch") or "") + uidl

    def _capa(self, argument: str) -> None:
        offered = [
            ("USER", "user"),
            ("TOP", "no-top"),
            ("UIDL", "no-uidl"),
            ("RESP-CODES", ""),
            ("PIPELINING", "one-by-one"),
        ]
        if self._server.fault("no-capa") is not None:
            self._say("-ERR unknown command")
        else:
            self._say_lines(word for word, fault in offered if self._server.fault(fault) is None)

    def _user(self, argument: str) -> None:
        self._login = argument
        self._say("+OK")

    def _pass(self, argument: str) -> None:
        for fault, answer in _LOGIN_FAULTS.items():
            if self._server.fault(fault) is not None:
                self._say(answer)
                return
        mailbox = self._server.mailboxes.get(self._login)
        if mailbox is None or argument != self._server.password:
            self._say("-ERR [AUTH] wrong login or password")
        elif not mailbox.lock.acquire(blocking=False):
            self._say(_LOGIN_FAULTS["in-use"])
        else:
            self._mailbox = mailbox
            mailbox.logins += 1
            self._listed = list(mailbox.mails.items())
            self._say("+OK")

    def _stat(self, argument: str) -> None:
        standing = self._standing()
        self._say(f"+OK {len(standing)} {sum(len(mail) for _, _, mail in standing)}")

    def _list(self, argument: str) -> None:
        if argument:
            if (found := self._mail(argument)) is not None:
                self._say(f"+OK {found[0]} {self._size(found[1])}")
        else:
            self._say_lines(f"{number} {self._size(mail)}" for number, _, mail in self._standing())

    def _uidl(self, argument: str) -> None:
        if self._server.fault("no-uidl") is not None:
            self._say("-ERR unknown command")
        elif argument:
            if (found := self._mail(argument)) is not None:
                self._say(f"+OK {found[0]} {self._name(found[0], self._listed[found[0] - 1][0])}")
        else:
            self._say_lines(f"{number} {self._name(number, uidl)}" for number, uidl, _ in self._standing())

    def _top(self, argument: str) -> None:
        number, _, lines = argument.partition(" ")
        if self._server.fault("no-top") is not None:
            self._say("-ERR unknown command")
        elif (found := self._mail(number)) is not None:
            head, empty, body = found[1].partition(b"\r\n\r\n")
            if self._server.fault("top-differs") is not None:
                head += b"\r\nX-Added-By-Top: yes"
            kept = body.split(b"\r\n")[: int(lines)]
            self._say_body(head + empty + b"\r\n".join(kept) if empty else head)

    def _retr(self, argument: str) -> None:
        if (found := self._mail(argument)) is None:
            return
        number, mail = found
        end = self._server.fault("retr-cut") or self._server.fault("retr-hang")
        if self._server.fault("retr-err") == str(number):
            self._say("-ERR message could not be read")
        elif self._server.fault("retr-empty") == str(number):
            self._say_body(b"")
        else:
            self._say_body(mail, int(end) if end else None)

    def _dele(self, argument: str) -> None:
        if (found := self._mail(argument)) is not None:
            self._deleted.add(found[0])
            self._say("+OK")

    def _rset(self, argument: str) -> None:
        self._deleted.clear()
        self._say("+OK")

    def _noop(self, argument: str) -> None:
        self._say("+OK")

    def _quit(self, argument: str) -> None:
        if self._server.fault("quit-rollback") is not None:
            raise _Hangup
        if self._server.fault("quit-err") is not None:
            self._say("-ERR some deleted messages not removed")
            return
        if self._mailbox is not None and self._server.fault("quit-lies") is None:
            for number in self._deleted:
                self._mailbox.mails.pop(self._listed[number - 1][0], None)
        self.leave()
        if self._server.fault("quit-lost") is None:
            self._say("+OK bye")
