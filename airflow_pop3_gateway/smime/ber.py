"""ASN.1 from strangers made small and definite before a library reads it (X.690).

Strategy: agents that stream write indefinite lengths and octet strings in pieces; here lengths become definite and
pieces one. What is definite already keeps its octets, for signatures and fingerprints are over them. ``asn1crypto``
joins pieces in a time that grows with the square of their number and makes an object of every element, so both are
bounded here.

Invariant: linear time for a given depth; any octets give definite ones or :class:`MailRefused`.
"""

from __future__ import annotations

from typing import NamedTuple

from airflow_pop3_gateway.errors import MailRefused

MOST_ELEMENTS = 10_000
"""Elements of one object that are no octet strings: fifty certificates have some six thousand."""
MOST_PIECES = 100_000
"""Octet strings of one object: a mail of 100 MB in pieces of 1,000 octets."""
LONGEST = 4_096
"""Octets of an element that is no string of octets or bits: twice the longest RSA number. To read a long object
identifier takes a time that grows with its square."""
DEEPEST = 40
"""Elements within elements; a certificate within a signature needs some fifteen."""

_OCTETS, _BITS = 0x04, 0x03
_CONSTRUCTED = 0x20
_CONTEXT = 0x80


def broken(what: str) -> MailRefused:
    """What to raise when a protected mail cannot be read."""
    return MailRefused(f"The S/MIME object cannot be read: {what}.", code="smime-broken")


class _Element(NamedTuple):
    """:ivar same: these are the octets that were there; :ivar content: where in them the content begins."""

    octets: bytes
    content: int
    end: int
    same: bool

    @property
    def is_octets(self) -> bool:
        return self.octets[0] == _OCTETS


def definite(octets: bytes) -> bytes:
    """The first element, with definite lengths and no octet string in pieces.

    :raises MailRefused: ``smime-broken``: it is no element, is cut short, or passes a bound.
    """
    return _Reader(octets).element(0, len(octets), 0).octets


class _Reader:
    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._counts = {True: 0, False: 0}

    def element(self, at: int, end: int, depth: int) -> _Element:
        octets = self._octets
        piece = octets[at : at + 1] == bytes([_OCTETS])
        self._counts[piece] += 1
        if self._counts[piece] > (MOST_PIECES if piece else MOST_ELEMENTS) or depth > DEEPEST:
            raise broken("it has too many elements, or too deep ones")
        start, length = self._header(at, end)
        constructed = octets[at] & _CONSTRUCTED
        if length is not None and start + length > end:
            raise broken("it is cut short")
        if not constructed:
            if length is None:
                raise broken("an element has no end")
            if length > LONGEST and octets[at] < _CONTEXT and octets[at] not in (_OCTETS, _BITS):
                raise broken("a number, name or text is too long")
            return _Element(octets[at : start + length], start - at, start + length, True)
        children, after = self._children(start, None if length is None else start + length, end, depth)
        in_pieces = all(child.is_octets for child in children)
        if octets[at] == _OCTETS | _CONSTRUCTED:
            if not in_pieces:
                raise broken("an octet string is made of something else")
            return _element(bytes([_OCTETS]), _joined(children), after)
        if octets[at] & _CONTEXT and in_pieces and len(children) > 1:  # [n] IMPLICIT OCTET STRING in pieces
            children = [_element(bytes([_OCTETS]), _joined(children), 0)]
        if length is not None and all(child.same for child in children):
            return _Element(octets[at:after], start - at, after, True)
        return _element(octets[at : at + 1], b"".join(child.octets for child in children), after)

    def _children(self, at: int, stop: int | None, end: int, depth: int) -> tuple[list[_Element], int]:
        children: list[_Element] = []
        bound = end if stop is None else stop
        while at != stop:
            if stop is None and self._octets[at : at + 2] == b"\0\0":
                return children, at + 2
            child = self.element(at, bound, depth + 1)
            children.append(child)
            at = child.end
        return children, at

    def _header(self, at: int, end: int) -> tuple[int, int | None]:
        """Where the content begins and how long it is; ``None``: an end-of-contents says it."""
        header = self._octets[at : min(at + 6, end)]
        if len(header) < 2 or header[0] & 0x1F == 0x1F:
            raise broken("there is no element, or one with a long tag")
        if header[1] < 0x80:
            return at + 2, header[1]
        count = header[1] & 0x7F
        if count == 0:
            return at + 2, None
        if count > 4 or len(header) < 2 + count:
            raise broken("a length is no length")
        return at + 2 + count, int.from_bytes(header[2 : 2 + count], "big")


def _joined(children: list[_Element]) -> bytes:
    return b"".join(child.octets[child.content :] for child in children)


def _element(tag: bytes, content: bytes, end: int) -> _Element:
    size = len(content)
    length = (
        bytes([size])
        if size < 0x80
        else (bytes([0x80 | (count := (size.bit_length() + 7) // 8)]) + size.to_bytes(count, "big"))
    )
    return _Element(tag + length + content, len(tag + length), end, False)
