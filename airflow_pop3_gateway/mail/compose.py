"""MIME entities we write: a text, an attached file, several of them; streamed, with a size that is known before.

Strategy: an :class:`Entity` is its header fields and a body that can be had in pieces as often as asked, so that it can
be put into another one, or replaced by one that protects it (RFC 8551), without ever being whole in memory. All of it
is 7-bit ASCII: no relay has a reason to change an octet, and each attempt gives the same octets.

Invariant: line ends are CRLF, lines end below 998 octets, ``size`` is exact.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pybase64

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.mail.fields import Field, parameter

Chunks = Callable[[], Iterable[bytes]]
"""Octets in pieces, from the beginning at each call."""

LINE = 57
"""Octets that make a line of 76 characters in base64 (RFC 2045 §6.8)."""
READ = LINE << 14
"""Octets of one read of a file: nearly 1 MiB, whole lines, so that no piece has to wait for the next."""
_BARE_LF = re.compile(rb"(?<!\r)\n")
_LINE_END = re.compile(r"\r\n|\n|\r")
_PLAIN_LINE = re.compile(r"(?!From |--)[\t -~]{0,76}(?<![ \t])")


@dataclass(frozen=True)
class Entity:
    """A MIME entity (RFC 2045 §2.4).

    :ivar fields: its own header fields, ``Content-*`` only; :ivar body: its octets, encoded for the wire;
    :ivar size: of the body.
    """

    fields: tuple[Field, ...]
    body: Chunks
    size: int

    @property
    def head(self) -> bytes:
        """Its header block with the closing empty line."""
        return header_block(self.fields)

    def octets(self) -> Iterator[bytes]:
        """Header and body."""
        yield self.head
        yield from self.body()

    @property
    def length(self) -> int:
        """Octets of header and body."""
        return len(self.head) + self.size


def header_block(fields: Iterable[Field]) -> bytes:
    """Header fields with the empty line that ends them; UTF-8 where an address is (RFC 6532)."""
    return ("".join(f"{name}: {body}\r\n" for name, body in fields) + "\r\n").encode()


def text(message: str) -> Entity:
    """A text for people: as it is where every mail system leaves it alone, else quoted-printable."""
    lines = _LINE_END.split(message.encode("utf-8", "replace").decode())
    if not lines[-1]:
        lines.pop()
    if all(map(_PLAIN_LINE.fullmatch, lines)):
        charset, encoding = "us-ascii", "7bit"
        octets = "".join(f"{line}\r\n" for line in lines).encode("ascii")
    else:
        charset, encoding = "utf-8", "quoted-printable"
        octets = binascii.b2a_qp("".join(f"{line}\r\n" for line in lines).encode(), istext=True)
    fields = (("Content-Type", f"text/plain; charset={charset}"), ("Content-Transfer-Encoding", encoding))
    return Entity(fields, lambda: (octets,), len(octets))


def attachment(name: str, content_type: str, size: int, octets: Chunks) -> Entity:
    """A file, octet for octet. Its name stands where RFC 2231 puts it, and in ASCII where older agents look.

    :param size: of the file; ``octets`` must have as many.
    """
    plain = name.encode("ascii", "replace").decode().replace("?", "_")
    fields = (
        ("Content-Type", content_type + parameter("name", plain[-60:])),
        ("Content-Transfer-Encoding", "base64"),
        ("Content-Disposition", "attachment" + parameter("filename", name)),
    )
    encoded = 4 * -(-size // 3) + 2 * -(-size // LINE)
    return Entity(fields, lambda: base64_lines(octets()), encoded)


def mixed(parts: Sequence[Entity], boundary: str) -> Entity:
    """Several entities as one."""
    delimiter = f"--{boundary}\r\n".encode()
    end = f"--{boundary}--\r\n".encode()

    def body() -> Iterator[bytes]:
        for part in parts:
            yield delimiter
            yield from part.octets()
            yield b"\r\n"
        yield end

    size = sum(len(delimiter) + part.length + 2 for part in parts) + len(end)
    return Entity((("Content-Type", "multipart/mixed" + parameter("boundary", boundary)),), body, size)


def base64_lines(octets: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of base64, each piece as soon as it is there."""
    rest = b""
    for piece in octets:
        piece = rest + piece if rest else piece
        whole = len(piece) - len(piece) % LINE
        rest = piece[whole:]
        if whole:
            yield _lines(piece[:whole] if rest else piece)
    if rest:
        yield _lines(rest)


def with_crlf(octets: Iterable[bytes]) -> Iterator[bytes]:
    """A whole mail with the line ends that SMTP demands (RFC 5321 §2.3.8): LF becomes CRLF, the last line gets its end.

    :raises ConfigurationError: for a CR that ends no line; what was meant by it nobody knows.
    """
    rest = b""
    last = b"\n"
    for piece in octets:
        piece = rest + piece
        rest = b"\r" if piece.endswith(b"\r") else b""
        piece = piece[: len(piece) - len(rest)]
        whole = piece.count(b"\r\n")
        if piece.count(b"\r") != whole:
            raise _bare_cr()
        if piece:
            last = piece[-1:]
            yield piece if piece.count(b"\n") == whole else _BARE_LF.sub(b"\r\n", piece)
    if rest:
        raise _bare_cr()
    if last != b"\n":
        yield b"\r\n"


def _bare_cr() -> ConfigurationError:
    return ConfigurationError(
        "the mail has a carriage return that ends no line; SMTP cannot carry it (RFC 5321 §2.3.8).",
        field="ready_made",
    )


def _lines(octets: bytes) -> bytes:
    return pybase64.encodebytes(octets).replace(b"\n", b"\r\n")
