"""Transfer encodings undone while they stream (RFC 2045 §6; uuencode as agents before MIME wrote it).

Strategy: base64 is decoded in whole pieces cut at a line end, in one call of ``pybase64`` that skips nothing; the line
ends are taken out before, all at once where lines are of one length. Only a piece with anything else in it goes the
slow way, which sorts the dirt out and says so. Quoted-printable goes through ``binascii`` in pieces that tear no
escape.

Invariant: what comes out, and which defects are noted, does not depend on how the input was cut; nothing raises;
a few octets are held between two pieces, never more than an unfinished line of ``_LONGEST_LINE``.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from typing import Protocol

import pybase64

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_NOT_ALPHABET = bytes(set(range(256)) - set(_ALPHABET))
_WHITE = b" \t\r\n"
_LONGEST_LINE = 1024
_PAD_RUN = re.compile(rb"[=\s]*")
_BLOCK = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_SOFT_BREAK_WITH_BLANKS = re.compile(rb"=[ \t]+(?=[\r\n])")
_SOFT_BREAK_WITHOUT_LF = re.compile(rb"=\r(?!\n)")
_LONELY = re.compile(rb"=(?==)")
_TORN_ESCAPE = re.compile(rb"=(?:[0-9A-Fa-f]?|[ \t]*\r?)\Z")
_UU_BEGIN = re.compile(rb"begin(?:-base64)? +[0-7]{3,4} ")


class Decoder(Protocol):
    """Takes the octets of one leaf in pieces. :ivar defects: codes noted so far."""

    defects: set[str]

    def feed(self, piece: bytes | memoryview) -> bytes:
        """Decode what can be decoded by now."""

    def finish(self) -> bytes:
        """The rest, when the leaf has ended."""


class Identity:
    """7bit, 8bit, binary, and what we do not know: the octets as they are."""

    def __init__(self, declared: str) -> None:
        self.defects: set[str] = set()
        self._seven_bit = declared == "7bit"
        if declared not in ("7bit", "8bit", "binary"):
            self.defects.add("unknown-encoding")

    def feed(self, piece: bytes | memoryview) -> bytes:
        """The piece itself."""
        octets = bytes(piece)
        if self._seven_bit and not octets.isascii():
            self.defects.add("encoding-lies")
            self._seven_bit = False
        return octets

    def finish(self) -> bytes:
        """Nothing is ever held back."""
        return b""


class Base64:
    """RFC 2045 §6.8. Octets outside the alphabet are skipped and noted.

    Padding ends the data. A line behind it still counts when it is whole base64 by itself, for some encoders pad
    every block; from the first other line on it is a footer somebody appended: left out and noted.
    """

    def __init__(self) -> None:
        self.defects: set[str] = set()
        self._slow = False
        self._held = b""  # quick way: an unfinished line
        self._quad = b""  # slow way: fewer than four characters
        self._padded = False
        self._line = b""  # behind padding: an unfinished line
        self._over = False

    def feed(self, piece: bytes | memoryview) -> bytes:
        """Decode the whole lines of what is held and the piece."""
        if self._slow:
            return self._slowly(bytes(piece))
        data = memoryview(self._held + piece if self._held else piece)
        last = bytes(data[-_LONGEST_LINE:])
        before = len(data) - len(last)
        pad = last.find(b"=")
        if pad >= 0:
            self._held, self._slow = b"", True
            padding = 1 + last.startswith(b"=", pad + 1)
            decoded = _decode_clean(data[: before + pad + padding], padding)
            if decoded is None:
                return self._slowly(bytes(data))
            self._padded = True
            whole = len(last) == pad + padding
            return decoded if whole else decoded + self._behind_padding(last[pad + 1 :])
        decoded = _decode_clean(data)
        if decoded is not None:
            self._held = b""
            return decoded
        cut = last.rfind(b"\n") + 1 or len(last) - len(data) % 4  # agents write a whole part as one line
        decoded = _decode_clean(data[: before + cut])
        if decoded is not None:
            self._held = last[cut:]
            return decoded
        self._held, self._slow = b"", True
        return self._slowly(bytes(data))

    def _slowly(self, data: bytes) -> bytes:
        out: list[bytes] = []
        at = 0
        while at < len(data) and not self._padded:
            pad = data.find(b"=", at)
            end = pad if pad >= 0 else len(data)
            text = data[at:end]
            clean = text.translate(None, _NOT_ALPHABET)
            if len(clean) != len(text) and len(clean) != len(text.translate(None, _WHITE)):
                self.defects.add("base64-dirt")
            characters = self._quad + clean
            whole = len(characters) & ~3
            out.append(pybase64.b64decode(characters[:whole]))
            self._quad = characters[whole:]
            at = end
            if pad >= 0:
                if len(self._quad) < 2:
                    run = _PAD_RUN.match(data, pad)
                    at = run.end() if run else pad + 1
                    self.defects.add("base64-dirt")
                else:
                    out.append(self._last_quad())
                    self._padded, at = True, pad + 1
        if self._padded and not self._over:
            out.append(self._behind_padding(data[at:]))
        return b"".join(out)

    def _last_quad(self) -> bytes:
        quad, self._quad = self._quad, b""
        return binascii.a2b_base64(quad + b"=" * (4 - len(quad)))

    def _behind_padding(self, data: bytes) -> bytes:
        lines = (self._line + data).split(b"\n")
        self._line = lines.pop()
        out = []
        for line in lines:
            line = line.strip(_WHITE)
            if line in (b"", b"="):
                continue
            if len(line) > _LONGEST_LINE or not _BLOCK.fullmatch(line):
                self._over = True
                break
            out.append(binascii.a2b_base64(line))
        if len(self._line) > _LONGEST_LINE + len(_WHITE):
            self._over = True
        if self._over:
            self.defects.add("base64-footer")
            self._line = b""
        return b"".join(out)

    def finish(self) -> bytes:
        """What is left, with the padding an encoder forgot."""
        if self._padded:
            return b"" if self._over else self._behind_padding(b"\n")
        rest = self._slowly(self._held)
        self._held = b""
        if not self._quad:
            return rest
        self.defects.add("base64-padding")
        return rest + self._last_quad() if len(self._quad) > 1 else rest


def _decode_clean(data: memoryview, padding: int = 0) -> bytes | None:
    """Clean base64 of whole quads, decoded; ``None``: it is something else, or its padding is not what was said."""
    for flatten in (_without_even_line_ends, _without_line_ends):
        flat = flatten(data)
        try:
            decoded = pybase64.b64decode(flat, validate=True)
        except binascii.Error:
            continue
        return decoded if (len(decoded) + padding) * 4 == len(flat) * 3 else None
    return None


def _without_line_ends(data: memoryview) -> bytes | bytearray:
    return bytes(data).translate(None, b"\r\n")


def _without_even_line_ends(data: memoryview) -> bytes | bytearray:
    """Lines of one length, the last perhaps shorter, put together by a stride through their ends: an eighth of the time
    that looking for each takes. What is no such line keeps its end."""
    flat = bytearray(data)
    last = flat[-8:]
    del flat[len(flat) - len(last) + len(last.rstrip(b"\r\n")) :]
    first = flat.find(b"\n")
    length = flat.find(b"\n", first + 1) - first
    if first >= 0 and length > 1:
        feeds, returns = flat[first::length], flat[first - 1 :: length]
        if feeds == b"\n" * len(feeds):
            del flat[first::length]
            if first and returns == b"\r" * len(returns):
                del flat[first - 1 :: length - 1]
    return flat


class QuotedPrintable:
    """RFC 2045 §6.7. What is no escape stays as it is and is noted; blanks between ``=`` and the line end go."""

    def __init__(self) -> None:
        self.defects: set[str] = set()
        self._held = b""

    def feed(self, piece: bytes | memoryview) -> bytes:
        """Decode up to an escape that may be torn."""
        data = self._held + piece
        tail = data[-_LONGEST_LINE:]
        torn = _TORN_ESCAPE.search(tail, max(0, tail.rfind(b"=")))
        cut = len(data) - len(torn[0]) if torn else len(data)
        self._held, data = data[cut:], data[:cut]
        if data.endswith(b"="):  # and what is held begins with another one
            data += b"3D"
            self.defects.add("quoted-printable-dirt")
        return self._decode(data)

    def _decode(self, data: bytes) -> bytes:
        if b"==" in data:  # which binascii would take for one octet
            data = _LONELY.sub(b"=3D", data)
            self.defects.add("quoted-printable-dirt")
        if b"= " in data or b"=\t" in data:
            data = _SOFT_BREAK_WITH_BLANKS.sub(b"=", data)
        if b"=\r" in data:
            data = _SOFT_BREAK_WITHOUT_LF.sub(b"=\r\n", data)
        decoded = binascii.a2b_qp(data)
        # Every good escape and every bare-LF soft break is two octets shorter, a CRLF soft break three.
        if len(decoded) != len(data) - 2 * data.count(b"=") - data.count(b"=\r\n"):
            self.defects.add("quoted-printable-dirt")
        return decoded

    def finish(self) -> bytes:
        """The rest; an ``=`` at the very end is a soft line break."""
        held, self._held = self._held, b""
        if held.rstrip(b" \t\r") == b"=":
            return b""
        return self._decode(held)


class Uuencode:
    """The lines between ``begin`` and ``end``; a mail agent before MIME marked them ``x-uuencode``."""

    def __init__(self) -> None:
        self.defects: set[str] = set()
        self._held = b""
        self._inside = self._done = False

    def feed(self, piece: bytes | memoryview) -> bytes:
        """Decode the whole lines of what is held and the piece."""
        lines = (self._held + piece).split(b"\n")
        self._held = lines.pop()
        if len(self._held) > _LONGEST_LINE:
            self.defects.add("uuencode-dirt")
            self._held = self._held[:_LONGEST_LINE]
        return b"".join(map(self._line, lines))

    def _line(self, line: bytes) -> bytes:
        line = line.rstrip(b"\r")
        if not self._inside:
            self._inside = not self._done and _UU_BEGIN.match(line) is not None
            return b""
        if line.strip() == b"end":
            self._inside, self._done = False, True
            return b""
        if not line:
            return b""
        try:
            return binascii.a2b_uu(line)
        except binascii.Error:
            self.defects.add("uuencode-dirt")
        characters = (((line[0] - 32) & 63) * 4 + 5) // 3
        try:
            return binascii.a2b_uu(line[:characters])
        except binascii.Error:
            return b""

    def finish(self) -> bytes:
        """The last line."""
        held, self._held = self._held, b""
        rest = self._line(held)
        if not self._done:
            self.defects.add("uuencode-dirt")
        return rest


_DECODERS: dict[str, Callable[[], Decoder]] = {
    **dict.fromkeys(("base64", "b64", "base-64"), Base64),
    **dict.fromkeys(("quoted-printable", "quotedprintable", "qp"), QuotedPrintable),
    **dict.fromkeys(("x-uuencode", "uuencode", "x-uue", "uue"), Uuencode),
}
_PLAIN = {"7-bit": "7bit", "8-bit": "8bit"}


def decoder_for(encoding: str) -> Decoder:
    """The decoder of a Content-Transfer-Encoding value, forgiving the spellings agents really use."""
    token = encoding.replace("_", "-").replace(" ", "")
    decoder = _DECODERS.get(token)
    return decoder() if decoder else Identity(_PLAIN.get(token, token))
