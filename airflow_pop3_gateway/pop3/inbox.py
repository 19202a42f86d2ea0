"""The reused receive buffer, and the kinds of answers that are taken out of it.

Strategy: an answer that is awaited is an object with ``feed(inbox)``, which consumes what it can and says whether it
is complete. One object covers a whole pipelined run, so that its loop holds everything in locals: per mail one search
for the end of the status line and one for a line that starts with a dot, per buffer nothing. Bodies go to the sink as
views of the buffer; they are copied only where a line is really stuffed.

Invariant: memory is the buffer; the octets given to a sink are the same however the stream was cut; a body ends at a
lone dot and nowhere else, with three forgivenesses, each where a server that stuffs dots cannot mean anything else:

* ``CRLF . LF`` ends a body: a line that begins with a dot would have had two;
* a server that ends its *status line* with a bare LF has bare LF as its line end: ``LF . LF`` ends its bodies;
* a dot and line end with no line end before it (Exchange 2000, where a mail has no final newline), or after a bare LF
  in a CRLF session, may end a body or be text. It is doubtful while nothing follows. Where commands go one by one,
  :meth:`Bodies.doubtful` says so, the driver waits a moment, and a NOOP decides: its reply in the place of more text
  proves the end; anything else was text. A pipelined run never guesses: a server so broken needs ``pipelining=False``.

A dot that begins a line is taken off only where it is doubled: servers that forget to stuff keep their octets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

from airflow_pop3_gateway.errors import CommandRefused, ProtocolViolation
from airflow_pop3_gateway.pop3.replies import Status, parse_status, readable, refusal

SMALL = 16 << 10
"""Octets of the buffer of an idle session: a thousand watchers hold a thousand of them."""
LARGE = 256 << 10
"""Octets of the buffer while bodies are retrieved: what one ``recv`` brings at full speed."""
MAX_LINE = 8 << 10
"""Octets of a status line. RFC 2449 §4 says 512; the rest is for challenges with long tokens."""
MAX_BLOCK = 64 << 20
"""Octets of a listing held in memory: some 800,000 messages with ids of 70 characters."""


class Sink(Protocol):
    """Receives the bodies of one RETR or TOP run, in the order of the numbers asked for."""

    def begin(self, number: int) -> None:
        """A body begins."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Octets of the body, un-stuffed, otherwise as on the wire; only valid during the call."""

    def end(self, number: int) -> None:
        """The terminator has come. The CRLF before the lone dot was written: it belongs to the mail."""

    def refused(self, number: int, error: CommandRefused) -> None:
        """The server would not give this one; the run goes on."""


class _LineEnd(NamedTuple):
    """How a server ends its lines: length, and what to look for.

    :ivar edge: a line that begins with a dot and is not what it seems; group 1 where it is the terminator.
    :ivar undecided: the end of what has come, where the next octet decides what it means.
    """

    width: int
    edge: re.Pattern[bytes]
    terminator: re.Pattern[bytes]
    undecided: re.Pattern[bytes]
    stuffed: bytes
    plain: bytes


_CRLF = _LineEnd(
    2,
    re.compile(rb"\r\n\.(?:(\r?\n)|\.)"),
    re.compile(rb"\r\n\.\r?\n"),
    re.compile(rb"(?:\r\n\.{0,2}|\.)?\r?\n?\Z"),
    b"\r\n..",
    b"\r\n.",
)
_LF = _LineEnd(
    1,
    re.compile(rb"\n\.(?:(\r?\n)|\.)"),
    re.compile(rb"\n\.\r?\n"),
    re.compile(rb"(?:\n\.{0,2}|\.)?\r?\n?\Z"),
    b"\n..",
    b"\n.",
)
_EDGE = 5  # octets of the longest edge: CRLF dot CRLF
_UNDECIDED = 6  # octets of the longest tail that is held back: CRLF dot dot CRLF
_WINDOW = 16 << 10
"""Octets searched for an edge before it is worth looking for the next dot at memory speed: base64 has none."""


class Inbox:
    """A buffer that is filled at the end and consumed at the start."""

    def __init__(self) -> None:
        self.buffer = bytearray(SMALL)
        self.view = memoryview(self.buffer)
        self.start = 0
        self.end = 0

    def __len__(self) -> int:
        return self.end - self.start

    def resize(self, size: int) -> None:
        """Give the buffer another size; what is unread is kept (it must fit)."""
        unread = bytes(self.view[self.start : self.end])
        self.buffer = bytearray(size)
        self.view = memoryview(self.buffer)
        self.start, self.end = 0, len(unread)
        self.view[: self.end] = unread

    def space(self) -> memoryview:
        """Where the next octets go; empty only when a whole buffer lies unread."""
        if self.start:  # what is left is a tail of a few octets, or an unfinished line
            unread = bytes(self.view[self.start : self.end])
            self.start, self.end = 0, len(unread)
            self.view[: self.end] = unread
        return self.view[self.end :]

    def line(self) -> bytes | None:
        """The next line without its end, ``None`` while it is incomplete.

        :raises ProtocolViolation: longer than :data:`MAX_LINE`.
        """
        stop = self.buffer.find(b"\n", self.start, min(self.end, self.start + MAX_LINE))
        if stop < 0:
            if len(self) >= MAX_LINE:
                raise ProtocolViolation(f"a status line is longer than {MAX_LINE} octets.")
            return None
        line = bytes(self.view[self.start : stop])
        self.start = stop + 1
        return line[:-1] if line.endswith(b"\r") else line


class Line:
    """One status line. :ivar status: what it said; :ivar challenge: instead, in AUTH, the text after ``+``."""

    def __init__(self, verb: str, *, challenges: bool = False) -> None:
        self.verb = verb
        self.challenges = challenges
        self.challenge: bytes | None = None
        self.status = Status(False, "")
        self._shown = ""

    @property
    def answer(self) -> str:
        return self._shown

    def feed(self, inbox: Inbox) -> bool:
        line = inbox.line()
        if line is None:
            return False
        if self.challenges and line[:1] == b"+" and line[:3].upper() != b"+OK":
            self.challenge = line[1:].strip()
            self._shown = "+ ***"
        else:
            self.status = parse_status(line)
            self._shown = readable(line)
        return True


class Lines:
    """One status line for each number: a run of DELE. :ivar refused: the ones that got ``-ERR``."""

    def __init__(self, verb: str, numbers: Sequence[int]) -> None:
        self.verb = verb
        self.numbers = numbers
        self.refused: dict[int, CommandRefused] = {}
        self._answered = 0

    @property
    def answer(self) -> str:
        """What the log says of it: counts, never content."""
        return f"{self._answered} replies, {len(self.refused)} refused"

    def feed(self, inbox: Inbox) -> bool:
        while self._answered < len(self.numbers):
            line = inbox.line()
            if line is None:
                return False
            if line[:3] != b"+OK":
                status = parse_status(line)
                if not status.ok:
                    self.refused[self.numbers[self._answered]] = refusal(self.verb, status)
            self._answered += 1
        return True


class Bodies:
    """One status line and body for each number: a run of RETR or TOP, or a single listing.

    :param alone: nothing was pipelined behind it, so a doubtful end may be decided by a NOOP.
    """

    def __init__(self, verb: str, numbers: Sequence[int], sink: Sink, *, alone: bool = False) -> None:
        self.verb = verb
        self.numbers = numbers
        self.octets = 0
        self._sink = sink
        self._alone = alone
        self._answered = 0
        self._inside = False
        self._skip = 0
        self._line_end = _CRLF
        self._probed = False

    @property
    def answer(self) -> str:
        return f"{self._answered} replies, {self.octets} octets"

    def doubtful(self, inbox: Inbox) -> bool:
        """All that is unread may be an end without the line end before it."""
        if not (self._alone and self._inside) or self._probed:
            return False
        return bytes(inbox.view[inbox.start : inbox.end]) in (b".\r\n", b".\n")

    def probe(self) -> None:
        """A NOOP was sent to decide: the octets after the doubtful end will tell."""
        self._probed = True

    def _decide(self, inbox: Inbox) -> Literal["end", "text", "wait"]:
        """What the doubtful octets were, from what follows them."""
        width = inbox.buffer.find(b"\n", inbox.start, inbox.end) + 1 - inbox.start
        following = bytes(inbox.view[inbox.start + width : min(inbox.end, inbox.start + width + 4)]).upper()
        if following[:3] == b"+OK" or following == b"-ERR":
            inbox.start += width
            return "end"
        return "wait" if b"+OK".startswith(following) or b"-ERR".startswith(following) else "text"

    def feed(self, inbox: Inbox) -> bool:
        if self._probed:
            verdict = self._decide(inbox)
            if verdict == "wait":
                return False
            self._probed = False
            if verdict == "end":
                self._sink.end(self.numbers[0])
                return True
        buffer, view, sink = inbox.buffer, inbox.view, self._sink
        begin, write, finish, find = sink.begin, sink.write, sink.end, buffer.find
        numbers, answered, octets = self.numbers, self._answered, self.octets
        count, position, end = len(numbers), inbox.start, inbox.end
        inside, skip, line_end = self._inside, self._skip, self._line_end
        edge_at, width = line_end.edge.search, line_end.width
        try:
            while answered < count:
                if not inside:
                    stop = find(b"\n", position, end)
                    if stop < 0:
                        if end - position >= MAX_LINE:
                            raise ProtocolViolation(f"a status line is longer than {MAX_LINE} octets.")
                        return False
                    skip = 2 if stop > position and buffer[stop - 1] == 13 else 1
                    if not buffer.startswith(b"+OK", position):
                        status = parse_status(bytes(view[position : stop + 1 - skip]))
                        if not status.ok:
                            position = stop + 1
                            sink.refused(numbers[answered], refusal(self.verb, status))
                            answered += 1
                            continue
                    if skip != width:
                        line_end = _CRLF if skip == 2 else _LF
                        edge_at, width = line_end.edge.search, skip
                    # From the line end of the status line on, the first line of a body is a line like any other.
                    position = stop + 1 - skip
                    begin(numbers[answered])
                    inside = True
                edge, scan = None, position
                while edge is None:
                    dot = find(b".", scan, end)
                    if dot < 0:
                        break
                    scan = dot + _WINDOW
                    start = dot - width
                    edge = edge_at(
                        buffer, start if start > position else position, scan if scan < end else end
                    )
                    if scan >= end:
                        break
                    scan -= _EDGE - 1
                if edge is not None and edge.lastindex:
                    stop, following = edge.span()
                    stop += width
                    if stop > position + skip:
                        write(view[position + skip : stop])
                        octets += stop - position - skip
                    position, inside = following, False
                    finish(numbers[answered])
                    answered += 1
                    continue
                ending = line_end.terminator.search(buffer, edge.start(), end) if edge is not None else None
                if ending is not None:
                    stop, following = ending.start() + width, ending.end()
                else:
                    tail = line_end.undecided.search(buffer, max(position, end - _UNDECIDED), end)
                    stop = following = tail.start() if tail else end
                if stop >= position + skip:  # else the line end of the status line waits for what follows it
                    if edge is None:
                        body = view[position + skip : stop]
                    else:
                        body = memoryview(
                            bytes(view[position:stop]).replace(line_end.stuffed, line_end.plain)
                        )[skip:]
                    if body:
                        write(body)
                        octets += len(body)
                    if stop > position:
                        skip = 0
                    position = following
                if ending is None:
                    return False
                inside = False
                finish(numbers[answered])
                answered += 1
            return True
        finally:
            inbox.start = position
            self._answered, self.octets = answered, octets
            self._inside, self._skip, self._line_end = inside, skip, line_end
