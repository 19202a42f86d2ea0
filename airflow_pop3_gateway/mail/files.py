"""The files of one mail on their way to the store.

Strategy: one :class:`Files` for each mail gives out names and remembers what is open, so that one call discards it.

Invariant: a file is published once or not at all; no two files of a mail have one name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from airflow_pop3_gateway.mail.names import Names
from airflow_pop3_gateway.records import StoredFile


class FileSink(Protocol):
    """A file that is being written; nobody sees it before it is committed."""

    def write(self, data: bytes) -> object:
        """Append octets."""

    def commit(self) -> str:
        """Publish. :returns: the storage key."""

    def discard(self) -> None:
        """Forget all that was written; harmless after :meth:`commit` and when repeated."""


OpenFile = Callable[[str, str], FileSink]
"""Takes a safe name and a content type."""


class File:
    """One file. :ivar write: appends octets; who writes also counts and digests them."""

    def __init__(
        self, files: Files, sink: FileSink, name: str, original_name: str | None, content_type: str
    ) -> None:
        self.name = name
        self.write = sink.write
        self._original_name = original_name
        self._content_type = content_type
        self._files = files
        self._sink = sink

    def commit(self) -> str:
        """Publish. :returns: the storage key."""
        key = self._sink.commit()
        self._files.forget(self)
        return key

    def stored(self, key: str, size: int, sha256: str) -> StoredFile:
        """What was published. :param size: octets written; :param sha256: their digest."""
        return StoredFile(key, self.name, self._original_name, self._content_type, size, sha256)

    def discard(self) -> None:
        """Forget it."""
        self._files.forget(self)
        self._sink.discard()


class Files:
    """The files of one mail. :param limit: octets of a name."""

    def __init__(self, open_file: OpenFile, limit: int) -> None:
        self._open_file = open_file
        self._names = Names(limit)
        self._open: list[File] = []

    def open(self, name: str | None, original_name: str | None, content_type: str, path: str) -> File:
        """Begin a file under a safe name made of ``name``, or of its place in the mail."""
        safe = self._names.take(name, path, content_type)
        file = File(self, self._open_file(safe, content_type), safe, original_name, content_type)
        self._open.append(file)
        return file

    def forget(self, file: File) -> None:
        """The file is no longer open."""
        if file in self._open:
            self._open.remove(file)

    def discard(self) -> None:
        """Forget every file that is still open."""
        while self._open:
            self._open[-1].discard()
