"""The one way to write in this package: exclusive and all-or-nothing, or not done.

Strategy: a :class:`Store` is a base path on a file system of fsspec; keys are relative, with ``/`` between their
parts. Two ways to publish exist below it, chosen by the file system: a local folder links a synced temporary file
to its name; an object store uploads under a precondition ("only if there is nothing yet") that it checks when the
upload is completed. Both are tried out against the real store when it is opened: a store where a second create
succeeds is refused.

Invariant: under a key there is nothing or the whole object; of several writers of one key exactly one succeeds and
the others get :class:`AlreadyStored`; a writer that was not committed leaves nothing that a reader can see.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import uuid
from collections.abc import Iterator
from typing import Any

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.spec import AbstractFileSystem

from airflow_pop3_gateway.errors import (
    AlreadyStored,
    ConfigurationError,
    GatewayError,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    StoreUnsuitable,
)
from airflow_pop3_gateway.store.groups import Group, grouping
from airflow_pop3_gateway.store.writers import TEMPORARY, LocalWriter, ObjectWriter, Writer, mapped

READ_CHUNK = 1 << 20
"""Octets of one read while streaming: large enough to hide a request, small against the memory of a worker."""
_NEEDED = "must create exclusively to carry a journal: use a local folder, or S3 with conditional writes."
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems say that have none: link(2) names the first, SMB and FUSE say the others."""
_NO_NAME = re.compile(r"(?:^|/)\.{0,2}(?:/|\Z)")
"""A part of a key that is empty, or that walks elsewhere."""
_ABSTRACT = (AbstractFileSystem, AsyncFileSystem)


class Store:
    """A base path that carries the journal. Open one with :meth:`at`; it may be shared between threads."""

    def __init__(self, fs: Any, root: str, url: str) -> None:
        self._fs = fs
        self._root = root.rstrip("/")
        self.url = url.rstrip("/")
        self._local = isinstance(fs, LocalFileSystem)

    @classmethod
    def at(cls, base: Any) -> Store:
        """Open and try out the store at a base path.

        :param base: an ``ObjectStoragePath``, ``UPath``, :class:`pathlib.Path`, or a URL or path as text.
        :raises StoreUnsuitable: when two writers of one key can both succeed there.
        :raises StoreUnavailable: when it cannot be reached or written.
        :raises ConfigurationError: when the text is not a path that fsspec can open.
        """
        if hasattr(base, "fs") and hasattr(base, "path"):
            fs, root, url = base.fs, str(base.path), str(base)
        else:
            try:
                fs, root = fsspec.core.url_to_fs(os.fspath(base))
            except (ValueError, TypeError, ImportError) as error:
                raise ConfigurationError(
                    f"base path {base!r} cannot be opened: {error}", field="base_path"
                ) from None
            url = fs.unstrip_protocol(root)
        store = cls(fs, root, url)
        store._prove()
        return store

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def address(self, key: str) -> str:
        """The full URL of a key, for people and for other programs."""
        return f"{self.url}/{key}"

    def _path(self, key: str) -> str:
        if _NO_NAME.search(key):
            raise StoreError(f"{key!r} is not a key: parts must be plain names.", key=key)
        return f"{self._root}/{key}"

    def create(self, key: str, group: Group | None = None) -> Writer:
        """Begin an object of unknown length. :raises StoreUnavailable: when the store refuses at once.

        :param group: that publishes it, once it is committed into it.
        """
        path = self._path(key)
        with mapped(key):
            return LocalWriter(key, path, group) if self._local else ObjectWriter(key, path, self._fs)

    def group(self) -> Group | None:
        """For objects that become durable together; ``None`` where each is by itself. The caller closes it."""
        return Group(self._root) if self._local and grouping(self._root) else None

    def put(self, key: str, data: bytes, group: Group | None = None) -> None:
        """Publish an object in one step, or leave it to the group. :raises AlreadyStored: when the key exists."""
        writer = self.create(key, group)
        try:
            writer.write(data)
            writer.commit()
        finally:
            writer.discard()

    def replace(self, key: str, data: bytes | Iterator[bytes]) -> None:
        """Publish an object over an older one; a reader sees the old or the new one, whole.

        :param data: at once, or in pieces so that it need not be in memory whole.
        """
        path = self._path(key)
        pieces = iter((data,)) if isinstance(data, bytes) else data
        with mapped(key):
            if self._local:
                writer = LocalWriter(key, path)
                try:
                    for piece in pieces:
                        writer.write(piece)
                    writer.commit(over=True)
                finally:
                    writer.discard()
            else:
                self._fs.pipe_file(path, b"".join(pieces))

    def read(self, key: str) -> bytes:
        """The whole object. :raises StoreCorrupt: when it is not there."""
        data = self.find(key)
        if data is None:
            raise StoreCorrupt(f"{self.address(key)} is missing.", key=key)
        return data

    def find(self, key: str) -> bytes | None:
        """The whole object, or ``None`` when it is not there."""
        path = self._path(key)
        with mapped(key):
            try:
                data = self._fs.cat_file(path)
            except FileNotFoundError:
                return None
            return bytes(data)

    def stream(self, key: str, offset: int, length: int, chunk: int = READ_CHUNK) -> Iterator[bytes]:
        """Octets ``offset`` to ``offset + length`` in chunks.

        :raises StoreCorrupt: when the object is missing or shorter.
        """
        left = length
        with mapped(key):
            try:
                for data in self._pieces(self._path(key), offset, length, chunk):
                    left -= len(data)
                    yield data
            except FileNotFoundError:
                raise StoreCorrupt(f"{self.address(key)} is missing.", key=key) from None
        if left:
            raise StoreCorrupt(f"{self.address(key)} ends {left} octets early.", key=key)

    def _pieces(self, path: str, offset: int, length: int, chunk: int) -> Iterator[bytes]:
        """One request a piece on an object store, one open file in a folder; stops where the object ends."""
        end = offset + length
        if self._local:
            with open(path, "rb", buffering=0) as source:
                source.seek(offset)
                while offset < end and (data := source.read(min(chunk, end - offset))):
                    offset += len(data)
                    yield data
        else:
            while offset < end and (data := self._range(path, offset, min(offset + chunk, end))):
                offset += len(data)
                yield data

    def _range(self, path: str, start: int, end: int) -> bytes:
        try:
            return bytes(self._fs.cat_file(path, start=start, end=end))
        except OSError as error:
            if error.errno == errno.EINVAL:  # how s3fs says 416: the object ends before ``start``
                return b""
            raise

    def exists(self, key: str) -> bool:
        """Whether there is an object under the key now (no cached listing is believed)."""
        path = self._path(key)
        with mapped(key):
            self._fs.invalidate_cache()
            return bool(self._fs.exists(path))

    def names(self, key: str) -> list[str]:
        """The names directly below a key, sorted; empty when there is nothing."""
        path = self._path(key)
        with mapped(key):
            self._fs.invalidate_cache()
            try:
                found = self._fs.ls(path, detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
            names = {
                str(name).rstrip("/").rpartition("/")[2] for name in found if str(name).rstrip("/") != path
            }
            return sorted(name for name in names if name and not name.startswith(TEMPORARY))

    def walk(self, key: str) -> Iterator[str]:
        """Every key below a key, sorted."""
        path = self._path(key)
        with mapped(key):
            self._fs.invalidate_cache()
            try:
                found = sorted(self._fs.find(path))
            except FileNotFoundError:
                return
        for name in found:
            relative = str(name)[len(self._root) :].lstrip("/")
            if not relative.rpartition("/")[2].startswith(TEMPORARY):
                yield relative

    def delete(self, key: str) -> None:
        """Remove an object; harmless when it is not there."""
        path = self._path(key)
        with mapped(key), contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(path)

    def delete_tree(self, key: str) -> None:
        """Remove everything below a key, temporary objects too; harmless when there is nothing."""
        path = self._path(key)
        with mapped(key), contextlib.suppress(FileNotFoundError):
            self._fs.rm(path, recursive=True)

    def forget_unpublished(self, before: float) -> int:
        """Remove what writers that died left behind in a folder; an object store shows nothing of theirs.

        :param before: POSIX time of the youngest that is believed dead. :returns: how many.
        """
        forgotten = 0
        for folder, _, names in os.walk(self._root) if self._local else ():
            for name in names:
                path = f"{folder}/{name}"
                if name.startswith(TEMPORARY):
                    with mapped(name), contextlib.suppress(FileNotFoundError):
                        if os.stat(path).st_mtime < before:
                            os.unlink(path)
                            forgotten += 1
        return forgotten

    def _prove(self) -> None:
        """Create one key twice, in one step and in parts, and believe only what was seen."""
        if not self._local and not _creates_itself(self._fs):
            raise StoreUnsuitable(f"{self.url}: {type(self._fs).__name__} {_NEEDED}", url=self.url)
        folder = f"{TEMPORARY}{uuid.uuid4().hex}"
        try:
            for way in ("whole",) if self._local else ("whole", "parts"):
                self._attempt(f"{folder}/{way}", way)
                with contextlib.suppress(AlreadyStored):
                    self._attempt(f"{folder}/{way}", way)
                    raise StoreUnsuitable(
                        f"{self.url} let a second writer of one key succeed; it {_NEEDED}", url=self.url
                    )
        except StoreUnavailable as error:
            if self._local and getattr(error.__cause__, "errno", None) in _NO_LINKS:
                raise StoreUnsuitable(
                    f"{self.url} is on a file system without hard links; it {_NEEDED}", url=self.url
                ) from error
            raise
        finally:
            with contextlib.suppress(GatewayError):
                self.delete_tree(folder)

    def _attempt(self, key: str, way: str) -> None:
        writer = self.create(key)
        try:
            writer.write(b"?")
            if isinstance(writer, ObjectWriter) and way == "parts":
                writer.in_parts()
            writer.commit()
        finally:
            writer.discard()


def _creates_itself(fs: Any) -> bool:
    """Whether the file system brings its own exclusive create: the inherited one looks first and writes then."""
    return any(
        "pipe_file" in vars(kind) or "_pipe_file" in vars(kind)
        for kind in type(fs).__mro__[:-1]
        if kind not in _ABSTRACT
    )
