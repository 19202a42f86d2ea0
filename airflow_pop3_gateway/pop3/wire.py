"""The connection as pure thought: octets and commands in, octets and answers out.

Strategy: a first-in-first-out queue of the answers that are awaited; each takes its own octets out of the inbox
(:mod:`inbox`). Nothing here waits, and no module of waiting is imported: ``blocking`` and ``aio`` move the octets.

Invariant: an answer is never paired with a command it does not belong to (octets that nobody awaits are a violation);
secrets reach ``pending`` and nothing else: what the protocol log gets was written without them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from airflow_pop3_gateway.errors import ConnectionLost, ProtocolViolation
from airflow_pop3_gateway.pop3.commands import encode, shown
from airflow_pop3_gateway.pop3.inbox import LARGE, MAX_LINE, Bodies, Inbox, Line, Lines
from airflow_pop3_gateway.pop3.replies import readable

Log = Callable[[str, str], None]
"""Receives ``("C", command)`` and ``("S", reply)``, without secrets and without bodies."""


class Awaited(Protocol):
    """An answer that is to come: it takes its own octets out of the inbox."""

    verb: str

    @property
    def answer(self) -> str:
        """What the protocol log may show of it."""

    def feed(self, inbox: Inbox) -> bool:
        """Take what is there; whether that was all."""


class Wire:
    """One POP3 connection without its socket.

    :ivar pending: octets to be sent; the driver takes them away from the front.
    :ivar log: receives the conversation, or ``None``.
    """

    def __init__(self, log: Log | None = None) -> None:
        self.inbox = Inbox()
        self.pending = bytearray()
        self.log = log
        self._awaited: deque[Awaited] = deque()

    @property
    def idle(self) -> bool:
        """Every command was answered."""
        return not self._awaited

    def expect_greeting(self) -> Line:
        """The server speaks first (RFC 1939 §3), and may have done so already."""
        greeting = Line("greeting")
        self._awaited.append(greeting)
        self.received(0)
        return greeting

    def send(self, answer: Awaited, *arguments: str | int) -> None:
        """Send one command; ``answer`` knows its verb.

        :raises ProtocolViolation: unsolicited octets lie there; :raises ConnectionLost: they say good-bye.
        :raises ConfigurationError: an argument that would break the line.
        """
        self._send(encode(answer.verb, *arguments), answer, shown(answer.verb, *arguments))

    def send_run(self, answer: Lines | Bodies, numbers: Sequence[int], suffix: str = "") -> None:
        """Send one command for each number, all at once; ``suffix`` follows each number (TOP's lines)."""
        verb, tail = answer.verb, f"{suffix}\r\n"
        if verb in ("RETR", "TOP") and len(self.inbox.buffer) < LARGE:
            self.inbox.resize(LARGE)
        lines = "".join([f"{verb} {number}{tail}" for number in numbers])
        self._send(lines.encode("ascii"), answer, f"{verb} for {len(numbers)} messages, pipelined")

    def send_secret(self, answer: Line, line: bytes) -> None:
        """Answer a SASL challenge."""
        self._send(line + b"\r\n", answer, "***")

    def probe(self) -> bool:
        """Nothing came for a while: where a body ended doubtfully, send the NOOP that decides it.

        :returns: whether there was a doubt, so that it is worth waiting once more.
        """
        first = self._awaited[0] if self._awaited else None
        if not isinstance(first, Bodies) or not first.doubtful(self.inbox):
            return False
        first.probe()
        self._awaited.append(Line("NOOP"))
        self.pending += encode("NOOP")
        return True

    def received(self, count: int) -> None:
        """``count`` octets were put into ``inbox.space()``.

        :raises ProtocolViolation: not POP3, past a bound, or more than anybody asked for.
        """
        inbox, awaited = self.inbox, self._awaited
        inbox.end += count
        while awaited:
            if not awaited[0].feed(inbox):
                return
            answer = awaited.popleft()
            if self.log:
                self.log("S", answer.answer)
        if len(inbox) > MAX_LINE:
            raise ProtocolViolation(f"the server sent {len(inbox)} octets that nobody had asked for.")

    def no_surplus(self) -> None:
        """Nothing may lie there unread: before a command, and above all before a TLS handshake (RFC 2595 §4).

        :raises ConnectionLost: the server said ``-ERR`` by itself, as at an idle timeout.
        :raises ProtocolViolation: anything else.
        """
        if not len(self.inbox) or not self.idle:
            return
        unread = bytes(self.inbox.view[self.inbox.start : self.inbox.end])
        if b"-ERR".startswith(unread[:4].upper()):
            raise ConnectionLost(f"the server ended the session: {readable(unread.splitlines()[0])}")
        raise ProtocolViolation(f"the server sent {len(unread)} octets that nobody had asked for.")

    def _send(self, octets: bytes, answer: Awaited, to_be_shown: str) -> None:
        self.no_surplus()
        self.pending += octets
        self._awaited.append(answer)
        if self.log:
            self.log("C", to_be_shown)
