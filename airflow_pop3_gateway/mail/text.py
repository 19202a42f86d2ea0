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
from airflow_pop3_gateway.mail.words import FALLBACK, charset_codec
from airflow_pop3_gateway.records import StoredFile

MESSAGE_MEMORY = 1 << 20
"""Octets of a message text that are kept in memory; a longer one goes to its file as it arrives."""

_LINE_END = re.compile(r"\r\n?")


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
        self._decode = (
            codecs.getincrementaldecoder("utf-8")(FALLBACK)
            if codec in (None, "ascii")
            else codecs.getincrementaldecoder(codec)("replace")
        ).decode
        self._name = f"{application}.html" if part.content_type == "text/html" else f"{application}.txt"
        self._files = files
        self._kept: list[str] = []
        self._octets = 0
        self._file: File | None = None
        self._size = 0
        self._digest = hashlib.sha256()

    def write(self, octets: bytes) -> None:
        """Take decoded octets of the part."""
        self._add(self._decode(octets))
        self._octets += len(octets)
        if self._file is None and self._octets > MESSAGE_MEMORY:
            self._to_file()

    def _add(self, text: str) -> None:
        if self._file is None:
            self._kept.append(text)
        elif text:
            self._write(text)

    def _write(self, text: str) -> None:
        assert self._file is not None
        octets = text.encode("utf-8", "replace")
        self._file.write(octets)
        self._digest.update(octets)
        self._size += len(octets)

    def _to_file(self) -> None:
        kept, self._kept = "".join(self._kept), []
        self._file = self._files.open(
            self._name, None, f"{self.part.content_type}; charset=utf-8", self.part.path
        )
        self._start = kept
        self._write(kept)

    def discard(self) -> None:
        """The text is not wanted after all."""
        if self._file is not None:
            self._file.discard()
        self._kept = []

    def finish(self, limit: int, keep_start: bool) -> tuple[str | None, StoredFile | None]:
        """The text for the record, and its file when it has more than ``limit`` characters.

        :param keep_start: with a file, the record gets the first ``limit`` characters instead of nothing.
        """
        self._add(self._decode(b"", True))
        if self._file is None:
            text = _LINE_END.sub("\n", "".join(self._kept)).rstrip("\n").encode("utf-8", "replace").decode()
            text = text.replace("\0", "\ufffd")
            if len(text) <= limit:
                return text, None
            self._to_file()
        else:
            text = _LINE_END.sub("\n", self._start)
        assert self._file is not None
        stored = self._file.stored(self._file.commit(), self._size, self._digest.hexdigest())
        return text[:limit].replace("\0", "\ufffd") if keep_start else None, stored
