"""Understand a mail in one pass: what it is, what of it becomes files, and an account of every part.

Strategy: the octets go through the parser (``mime``), which tells the handler of parts while they stream by.

Invariant: memory does not grow with the mail: a piece, one header block, the start of a message text, the parts of a
report up to ``Limits.report_bytes``, and parts that may have files in them up to ``Limits.unpack_bytes``; zips that are
to be unpacked lie in a temporary file. When the chunks or a file fail, what is open is discarded and the exception
goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from airflow_pop3_gateway.errors import LimitExceeded
from airflow_pop3_gateway.mail.files import FileSink, OpenFile
from airflow_pop3_gateway.mail.handler import Extraction
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.mail.mime import FIRST_HEAD, MimeParser
from airflow_pop3_gateway.mail.understanding import Captured, Policy, Understanding

__all__ = ["Captured", "FileSink", "OpenFile", "Policy", "Understanding", "understand"]

_GATHERED = 1 << 16
"""Octets under which chunks are put together before they are looked at."""
_FALLBACK_HEAD = 1 << 14  # of a mail whose header block is too long: enough to choose an Application


# Freed at once, and from then on the allocator keeps blocks up to this size (mallopt(3), M_MMAP_THRESHOLD): else it
# gives those of each piece back to the system, which faults their pages in again for the next, up to 130 for 200 KB.
bytearray(4 << 20)


def _pieces(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    """The same octets in pieces that are not tiny."""
    held: list[bytes] = []
    octets = 0
    for chunk in chunks:
        held.append(bytes(chunk))
        octets += len(chunk)
        if octets >= _GATHERED:
            yield b"".join(held)
            held, octets = [], 0
    if held:
        yield b"".join(held)


def understand(
    chunks: Iterable[bytes | memoryview], choose: Callable[[Head], Policy], open_file: OpenFile
) -> Understanding:
    """Read a mail once.

    :param chunks: its exact octets in pieces of any size.
    :param choose: called once, as soon as the header block is complete.
    :param open_file: called with a safe name and a content type for every file, after ``choose``.
    """
    extraction = Extraction(choose, open_file)
    parser = MimeParser(extraction)
    octets = 0
    start: list[bytes] = []  # until the header block is complete, which is bounded
    exceeded: LimitExceeded | None = None
    try:
        for piece in _pieces(chunks):
            if extraction.head is None and exceeded is None:
                start.append(piece)
            octets += len(piece)
            if exceeded is None:
                exceeded = _fed(parser, piece)
            if octets > (most := extraction.policy.limits.message_bytes) and exceeded is None:
                exceeded = LimitExceeded("the mail has more octets", limit="message_bytes", value=most)
        if exceeded is None:
            exceeded = _fed(parser, None)
        if extraction.head is None:
            block = start[0][:_FALLBACK_HEAD] if start else b""
            extraction.begin(Head.from_bytes(block[: block.rfind(b"\n") + 1], FIRST_HEAD))
        return extraction.conclude(octets, exceeded)
    finally:
        extraction.discard()


def _fed(parser: MimeParser, piece: bytes | None) -> LimitExceeded | None:
    """Feed a piece, or with ``None`` the end. :returns: the bound that was passed."""
    try:
        if piece is None:
            parser.close()
        else:
            parser.feed(piece)
    except LimitExceeded as exceeded:
        return exceeded
    return None
