"""The text of a message while it arrives: decoded, short in memory, long in a file.

Strategy: the charset is undone incrementally; what is kept in memory is bounded, beyond the bound the text goes on
to a file in UTF-8.

Invariant: any octets become text; what a file gets is valid UTF-8; the same octets give the same text however they
were cut.
"""

from __future__ import annotations

import codecs
import hashlib
import re

from airflow_pop3_gateway.mail.files import File, Files
from airflow_pop3_gateway.mail.parts import Part
from airflow_pop3_gateway.mail.words import FALLBACK, charset_codec, errors_of, with_byte_order
from airflow_pop3_gateway.records import StoredFile

MESSAGE_MEMORY = 1 << 20
"""Octets of a message text that are kept in memory; a longer one goes to its file as it arrives."""

_LONGEST_ESCAPE = 6  # octets of an escape sequence of ISO 2022
_NO_ESCAPE = re.compile(rb"\x1b(?=[$().&])(?!(?:\$[()]?|[().])[@-Z]|&@\x1b\$[@-Z])")
_SUBSTITUTE = b"\x1a"  # ASCII's own sign for what cannot be shown
_LONGEST_MARK = 4  # octets that say which end of UTF-16 or UTF-32 comes first
_LONGEST_SHIFT = 1 << 16  # octets of base64 in a row that UTF-7 waits for the end of


_Utf8 = codecs.getincrementaldecoder("utf-8")


class _Decoder:
    """Octets of a charset become text, however they were cut, also where Python's codecs raise or hold without bound.

    They raise for UTF-16 and UTF-32 without a byte order mark, and for what begins like an escape sequence of ISO 2022.
    """

    def __init__(self, codec: str) -> None:
        self._codec = codec
        self._decoder: codecs.IncrementalDecoder | None = None
        self._held = b""

    def decode(self, octets: bytes, final: bool = False) -> str:
        """Take octets; ``final``: these are the last."""
        data, self._held = self._held + octets, b""
        if self._decoder is None:
            if len(data) < _LONGEST_MARK and not final:
                self._held = data
                return ""
            self._decoder = codecs.getincrementaldecoder(with_byte_order(self._codec, data))(
                errors_of(self._codec)
            )
        if self._codec.startswith("iso2022") and b"\x1b" in data:
            torn = -1 if final else data.find(b"\x1b", max(0, len(data) - _LONGEST_ESCAPE + 1))
            self._held = data[torn:] if torn >= 0 else b""
            data = _NO_ESCAPE.sub(_SUBSTITUTE, data)[: len(data) - len(self._held)]
        text = self._decoder.decode(data, final)
        if self._codec == "utf-7" and len(self._decoder.getstate()[0]) > _LONGEST_SHIFT:
            text += self._decoder.decode(b"", True)
            self._decoder.reset()
        return text


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


class MessageText:
    """Collects one text part.

    :ivar defects: codes noted so far; :ivar part: where the text stands.
    """

    def __init__(self, part: Part, application: str, files: Files) -> None:
        self.part = part
        self.defects: set[str] = set()
        charset = part.head.content_type.get("charset") or ""
        codec = charset_codec(charset) if charset else "ascii"
        if codec is None:
            self.defects.add("unknown-charset")
        self._decode = (_Utf8(FALLBACK) if codec in (None, "ascii") else _Decoder(codec)).decode
        self._name = f"{application}.html" if part.content_type == "text/html" else f"{application}.txt"
        self._files = files
        self._kept: list[bytes] = []
        self._octets = 0
        self._file: File | None = None
        self._size = 0

    def write(self, octets: bytes) -> None:
        """Take decoded octets of the part."""
        if self._file is not None:
            self._write(self._decode(octets))
            return
        self._kept.append(octets)
        self._octets += len(octets)
        if self._octets > MESSAGE_MEMORY:
            self._to_file(self._decode(b"".join(self._kept)))

    def _to_file(self, start: str) -> None:
        self._file = self._files.open(
            self._name, None, f"{self.part.content_type}; charset=utf-8", self.part.path
        )
        self._digest = hashlib.sha256()
        self._kept = []
        self._start = start
        self._write(start)

    def _write(self, text: str) -> None:
        assert self._file is not None
        octets = text.encode("utf-8", "replace")
        self._file.write(octets)
        self._digest.update(octets)
        self._size += len(octets)

    def discard(self) -> None:
        """The text is not wanted after all."""
        if self._file is not None:
            self._file.discard()
        self._kept = []

    def finish(self, limit: int, keep_start: bool) -> tuple[str | None, StoredFile | None]:
        """The text for the record, and its file when it has more than ``limit`` characters.

        :param keep_start: with a file, the record gets the first ``limit`` characters instead of nothing.
        """
        end = self._decode(b"".join(self._kept), True)
        if self._file is None:
            text = _lines(end).rstrip("\n").encode("utf-8", "replace").decode().replace("\0", "\ufffd")
            if len(text) <= limit:
                return text, None
            self._to_file(end)
        else:
            text = _lines(self._start)
            self._write(end)
        assert self._file is not None
        stored = self._file.stored(self._file.commit(), self._size, self._digest.hexdigest())
        return text[:limit].replace("\0", "\ufffd") if keep_start else None, stored
