"""Where the header block of a mail or a part begins and ends, as real agents write it (RFC 5322 §2.2, RFC 4155).

Strategy: a block ends at its empty line, or at the first line that is certainly no field; lines end in LF, CRLF or CR
alone, whichever ends the first.

Invariant: nothing is decided before it is certain, so that the answer does not depend on how the octets were cut; what
is certain is so within :data:`UNDECIDED` octets of a line.
"""

from __future__ import annotations

import re

UNDECIDED = 4_096
"""Octets: more than a line can have before it is known whether it is a field."""

# A line that is no field and no continuation, as soon as that is certain; the bounds keep "as soon as" near. What most
# lines are is looked for first.
_NAME = rb"[^\x00-\x20\x7f:]"
_NO_FIELD = (
    rb"(?![ \t]|(?!--)" + _NAME + rb"{1,999}:|\r{1,3}\Z)(?:--|:|" + _NAME + rb"{1000}|"
    + _NAME + rb"{0,999}(?:[\x00-\x08\n-\x1f\x7f]|[ \t]{1,999}[^ \t:]|[ \t]{1000}))"
)  # fmt: skip
# Within a header block a line without a name, and what mailbox programs leave there, are passed over.
_NOISE = rb"(?!:|>?From (?:[^\r\n]{0,1000}\Z|[^ \t\r\n]{1,500}[ \t]{1,9}[MTWFS][a-z][a-z][ ,]))"
_EMPTY = {b"\n": rb"(\r{0,3}\n)|", b"\r": rb"(\r)|"}
_FIRST_LINE = {end: re.compile(line + _NO_FIELD) for end, line in _EMPTY.items()}
_HEAD_END = {end: re.compile(end + b"(?:" + line + _NOISE + _NO_FIELD + b")") for end, line in _EMPTY.items()}
_ANY_LINE_END = re.compile(rb"\n|\r\r?\r?\n|\r\r*")  # spelled so that it is searched by its first octet
_MBOX_LINE = re.compile(rb">?From [^\r\n]{0,1000}(?:\r{0,3}\n|\r)")
_MBOX_WORDS = (b"From ", b">From ")


def find_head(
    data: bytes, start: int, *, final: bool, mailbox_line: bool
) -> tuple[int, int, int, bool] | None:
    """Start and end of the block, start of the body, whether an empty line stood between; ``None``: unknown.

    :param final: no octets follow; :param mailbox_line: a ``From `` line of a mailbox may come first.
    """
    if data.startswith(_MBOX_WORDS, start) and mailbox_line:
        line = _MBOX_LINE.match(data, start)
        if line is None and not final and len(data) - start <= UNDECIDED:
            return None
        if line is not None:
            if line.end() == len(data) and not final:
                return None
            start = line.end()
    line_end, feed = b"\n", data.find(b"\n", start)
    if feed < 0 or 0 <= data.find(b"\r", start, feed) < feed - 1:
        ending = _ANY_LINE_END.search(data, start)
        if ending is not None and not ending[0].endswith(b"\n"):
            if ending.end() == len(data) and not final:
                return None
            line_end = b"\r"
    if final:
        data += line_end * 2
    first = _FIRST_LINE[line_end].match(data, start)
    if first is not None:
        return (start, start, first.end(1), True) if first[1] else (start, start, start, False)
    found = _HEAD_END[line_end].search(data, start)
    if found is None:
        return None
    end = found.start() + 1
    return (start, end, found.end(1), True) if found[1] else (start, end, end, False)
