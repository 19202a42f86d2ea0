"""The structure of a mail as it streams by: a push parser for MIME (RFC 2045, 2046).

Strategy: ``feed`` octets in pieces of any size; a handler is told of parts as they start and end and is handed
their octets. A delimiter is searched as the long needle ``--boundary``, which costs next to nothing on base64;
every open boundary remembers where it was found last, so each octet is searched once for each open boundary.
An enclosed mail (``message/rfc822``) is walked like a multipart, and its exact octets are handed out as well.

Invariant: the calls the handler sees do not depend on how the mail was cut, except for how many pieces the octets
of one part come in; nothing is held but one header block or one unfinished delimiter line; no recursion.
Only a passed bound raises.
"""

from __future__ import annotations

import re
from operator import itemgetter
from typing import Protocol

from airflow_pop3_gateway.config import MOST_HEADER_BYTES, MOST_HEADER_COUNT, Limits
from airflow_pop3_gateway.errors import LimitExceeded
from airflow_pop3_gateway.mail.blocks import UNDECIDED, find_head
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.mail.parts import Part
from airflow_pop3_gateway.records import Defect

LONGEST_TRAILER = 1_000
"""Octets of white space after a boundary that still make a delimiter line (RFC 2046: transport padding)."""
FIRST_HEAD = Limits(header_bytes=MOST_HEADER_BYTES, header_count=MOST_HEADER_COUNT)
"""Bounds on the mail's own header block, before the handler has said which limits apply."""

PIECE = 1 << 18
"""Octets looked at once: so large that one call of the base64 decoder is all that counts, small enough for a cache."""
_LOOK_BACK = 1_000  # octets at the end of a piece in which a line end is looked for: a line of RFC 5322
_TRAILER = re.compile(rb"(?:--)?[ \t]*(\r{0,3}\n)?")


class Handler(Protocol):
    """Who is told."""

    def begin(self, head: Head) -> Limits | None:
        """The mail's own header block is complete. ``None``: the structure is of no interest."""

    def start(self, part: Part) -> None:
        """A part begins."""

    def data(self, part: Part, piece: memoryview) -> None:
        """Octets of a leaf, or what stands before the first delimiter of a multipart."""

    def enclosed(self, part: Part, piece: bytes) -> None:
        """Octets of the outermost enclosed mail, or of what the first multipart/signed signs, structure included."""

    def end(self, part: Part) -> None:
        """A part is complete."""

    def defect(self, defect: Defect) -> None:
        """Something is wrong."""


class _Level:
    """An open multipart. ``at``: where its needle was last found in the data; -1 nowhere, -2 not yet searched."""

    __slots__ = ("at", "needle", "part", "position")

    def __init__(self, needle: bytes, part: Part, position: int) -> None:
        self.needle, self.part, self.position, self.at = needle, part, position, -2


class _Span:
    """Exact octets that are handed out whatever is in them. ``handed``: up to where in the data."""

    __slots__ = ("handed", "part")

    def __init__(self, part: Part, handed: int) -> None:
        self.part, self.handed = part, handed


def _exceeded(limits: Limits, limit: str, what: str) -> LimitExceeded:
    value = getattr(limits, limit)
    return LimitExceeded(f"{what} than {value} ({limit})", limit=limit, value=value)


class MimeParser:
    """Feed it a mail; it tells the handler. One parser for each mail."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._limits: Limits | None = FIRST_HEAD
        self._tail = b""
        self._data = b""
        self._at = 0
        self._at_line_start = True  # what precedes the data is a line end, or nothing
        self._final = False
        self._expects_head = True
        self._chain: list[Part] = []  # open parts, outermost first
        self._levels: list[_Level] = []  # the multiparts among them
        self._met: list[tuple[int, _Level]] = []  # those of them whose delimiter can be met, innermost first
        self._spans: list[_Span] = []  # of the outermost enclosed mail, and of what is signed
        self._signed = False  # what the first multipart/signed signs has been found
        self._parts = 0
        self._line_octets = 0

    def feed(self, piece: bytes) -> None:
        """Take the next octets; after a handler that wants no structure they are no longer looked at.

        :raises LimitExceeded: a bound was passed; feed nothing more.
        """
        at, size = 0, len(piece)
        while size - at > PIECE and self._limits is not None:
            cut = self._cut(piece, at, at + PIECE)
            self._take_from(piece, at, cut)
            at = cut
        if self._limits is None:
            self._data, self._tail, self._at = b"", b"", 0
            return
        cut = self._cut(piece, at, size)
        self._take_from(piece, at, cut)
        self._tail = piece[cut:]

    @staticmethod
    def _cut(piece: bytes, start: int, end: int) -> int:
        """At a line end, where no line and no delimiter is torn: then nothing needs to be copied again."""
        cut = piece.rfind(b"\n", max(start, end - _LOOK_BACK), end)
        if cut <= start or cut == len(piece) - 1:
            return end
        return cut - (piece[cut - 1] == 0x0D)

    def _take_from(self, piece: bytes, start: int, end: int) -> None:
        tail, self._tail = self._tail, b""
        self._take(b"".join((tail, memoryview(piece)[start:end])) if tail else piece[start:end])

    def _take(self, piece: bytes) -> None:
        kept = self._data[self._at :]
        if self._at:
            self._at_line_start = self._data[self._at - 1] in b"\r\n"
        self._data = kept + piece if kept else piece
        self._at = 0
        for span in self._spans:
            span.handed = 0
        for level in self._levels:
            level.at = -2
        while self._limits is not None and (self._head() if self._expects_head else self._body()):
            pass
        if self._spans:
            self._hand_out(self._at)

    def close(self) -> None:
        """The mail ended; all that is open ends with it.

        :raises LimitExceeded: a bound was passed.
        """
        self._final = True
        self._take(self._tail)
        self._leave(0, 0, len(self._data))

    # -- header blocks ------------------------------------------------------------------------------------------

    def _head(self) -> bool:
        """Read the header block that is due. ``False``: more octets are needed."""
        assert self._limits is not None
        if self._final and self._chain and self._at == len(self._data):
            return False
        outermost = not self._chain or self._chain[-1].kind == "message"
        span = find_head(self._data, self._at, final=self._final, mailbox_line=outermost)
        if span is None:
            if len(self._data) - self._at > self._limits.header_bytes + UNDECIDED:
                raise _exceeded(self._limits, "header_bytes", "a header block has more octets")
            return False
        start, end, body, clean = span
        if start == body and self._levels and (again := self._delimiter_at(start)) is not False:
            self._expects_head = not again  # a delimiter behind a delimiter: there is no part between them
            return bool(again)
        head = Head.from_bytes(self._data[start:end], self._limits)
        self._at = min(body, len(self._data))
        self._expects_head = False
        if not self._chain:
            self._limits = self._handler.begin(head)
            if self._limits is None:
                return False
            if end - start > self._limits.header_bytes:
                raise _exceeded(self._limits, "header_bytes", "a header block has more octets")
            if len(head.fields) > self._limits.header_count:
                raise _exceeded(self._limits, "header_count", "a header block has more fields")
        part = self._open(head)
        if not clean:
            self._handler.defect(Defect("no-empty-line", part.path))
        return True

    def _open(self, head: Head) -> Part:
        assert self._limits is not None
        part = Part(head, self._chain[-1] if self._chain else None)
        self._parts += 1
        if self._parts > self._limits.parts:
            raise _exceeded(self._limits, "parts", "the mail has more parts")
        if part.kind != "leaf" and part.depth >= self._limits.depth:
            raise _exceeded(self._limits, "depth", "the mail is nested deeper")
        self._chain.append(part)
        self._line_octets = 0
        self._handler.start(part)
        if part.kind == "multipart":
            self._levels.append(_Level(b"--" + part.boundary, part, len(self._chain)))
            self._meet()
        elif part.kind == "message":
            self._expects_head = True
            if not self._enclosed():
                self._spans.append(_Span(part, self._at))
        return part

    # -- bodies -------------------------------------------------------------------------------------------------

    def _body(self) -> bool:
        """Go on to the next delimiter. ``False``: more octets are needed."""
        data, scan = self._data, self._at
        while True:
            found = -1
            for _, level in self._met:
                if level.at == -2 or 0 <= level.at < scan:  # base64 has no dash: that is known soonest
                    level.at = data.find(level.needle, data.find(b"-", scan))
                if level.at >= 0 and (found < 0 or level.at < found):
                    found = level.at
            if found < 0:
                break
            if data[found - 1] in b"\r\n" if found else self._at_line_start:
                for index, level in self._met:
                    trailer = self._trailer(found + len(level.needle)) if level.at == found else None
                    if trailer == -1:
                        self._give(self._before(found))
                        return False
                    if trailer is not None:
                        self._delimiter(index, found, trailer)
                        return True
            scan = found + 1
        self._give(len(data) if self._final else self._undecided())
        return False

    def _trailer(self, at: int) -> int | None:
        """Where the line of a delimiter ends; -1: not yet known; ``None``: it is no delimiter line."""
        data = self._data
        if data.startswith(b"\r\n", at):
            return at + 2
        trailer = _TRAILER.match(data, at)
        assert trailer is not None
        end = trailer.end()
        if trailer[1]:
            return end if trailer.start(1) - at <= LONGEST_TRAILER else None
        if end - at > LONGEST_TRAILER:
            return None
        rest = data[end : end + 4]
        if len(rest) < 4 and not self._final and not rest.strip(b"\r-"):
            return -1
        if rest.startswith(b"\r"):
            return end + 1
        return None if rest else end

    def _delimiter_at(self, at: int) -> bool | None:
        """Whether a delimiter line begins here; ``None``: not yet known."""
        verdicts: set[int | None] = set()
        for _, level in self._met:
            if self._data.startswith(level.needle, at):
                verdicts.add(self._trailer(at + len(level.needle)))
            elif not self._final and level.needle.startswith(self._data[at : at + len(level.needle)]):
                verdicts.add(-1)
        if verdicts - {None, -1}:
            return True
        return None if -1 in verdicts else False

    def _undecided(self) -> int:
        """From where on the data may turn out to be a delimiter."""
        if not self._levels:
            return len(self._data)
        longest = max(len(level.needle) for level in self._levels)
        start = max(self._at, len(self._data) - longest - 2)
        last = max(self._data.rfind(b"\n", start), self._data.rfind(b"\r", start))
        if last >= 0:
            return self._before(last + 1)
        at_line_start = self._data[self._at - 1] in b"\r\n" if self._at else self._at_line_start
        return self._at if at_line_start and start == self._at else len(self._data)

    def _before(self, at: int) -> int:
        """Where the content before a delimiter ends: the line end belongs to the delimiter (RFC 2046 §5.1.1)."""
        if at > self._at and self._data[at - 1] == 0x0A:
            at -= 1
            return at - 1 if at > self._at and self._data[at - 1] == 0x0D else at
        return at - 1 if at > self._at and self._data[at - 1] == 0x0D else at

    def _give(self, end: int) -> None:
        """Hand the octets up to ``end`` to whom they belong."""
        start, self._at = self._at, end
        part = self._chain[-1] if self._chain else None
        if part is None or start == end or part.kind == "message" or (part.kind != "leaf" and part.children):
            return
        allowed = self._measure(start, end)
        if allowed > start:
            self._handler.data(part, memoryview(self._data)[start:allowed])
        if allowed < end and self._limits is not None:
            raise _exceeded(self._limits, "line_bytes", "a line has more octets")

    def _measure(self, start: int, end: int) -> int:
        """Where a line becomes too long; ``end``: none does."""
        assert self._limits is not None
        data, bound, before = self._data, self._limits.line_bytes, self._line_octets
        if before + end - start <= bound:
            last = data.rfind(b"\n", start, end)
            self._line_octets = end - last - 1 if last >= 0 else before + end - start
            return end
        while True:
            line_end = data.find(b"\n", start, end)
            length = before + (line_end if line_end >= 0 else end) - start
            if length > bound:
                return start + bound - before
            if line_end < 0:
                self._line_octets = length
                return end
            start, before = line_end + 1, 0

    def _delimiter(self, index: int, found: int, end: int) -> None:
        level = self._levels[index]
        closing = self._data.startswith(b"--", found + len(level.needle))
        content_end = self._before(found)
        self._give(content_end)
        self._leave(index + 1, level.position, content_end)
        if self._spans:
            self._end_span(level.part, content_end)
        if closing:  # its line end may belong to the next delimiter
            self._at = found + len(level.needle) + 2
            self._levels.pop()
            self._meet()
            self._handler.end(self._chain.pop())
        else:
            self._at = end
            self._expects_head = True
            if not self._signed and level.part.content_type == "multipart/signed" and not self._enclosed():
                self._signed = True
                self._spans.append(_Span(level.part, end))

    def _meet(self) -> None:
        """Of multiparts with one boundary only the innermost is looked for; the others would make each octet of a mail
        of delimiters cost 10 µs."""
        self._met = list(enumerate(self._levels))
        if len(self._met) > 1:
            innermost = {level.needle: (index, level) for index, level in self._met}
            self._met = sorted(innermost.values(), key=itemgetter(0), reverse=True)

    def _enclosed(self) -> bool:
        return any(span.part.kind == "message" for span in self._spans)

    def _leave(self, levels: int, position: int, content_end: int) -> None:
        """End the parts from ``position`` of the chain on; multiparts among them were never closed."""
        if len(self._levels) > levels:
            for level in self._levels[levels:]:
                if level.part.children:
                    self._handler.defect(Defect("missing-close-delimiter", level.part.path))
            del self._levels[levels:]
            self._meet()
        while len(self._chain) > position:
            part = self._chain.pop()
            if self._spans:
                self._end_span(part, content_end)
            self._handler.end(part)

    def _end_span(self, part: Part, content_end: int) -> None:
        if any(span.part is part for span in self._spans):
            self._hand_out(content_end)
            self._spans = [span for span in self._spans if span.part is not part]

    def _hand_out(self, end: int) -> None:
        for span in self._spans:
            if end > span.handed:
                self._handler.enclosed(span.part, self._data[span.handed : end])
                span.handed = end
