"""The two ways to publish an object: whole and first, or not at all.

Strategy: a local folder links a synced temporary file to its name; an object store uploads under a precondition
("only if there is nothing yet") that it checks when the upload is completed. ``with path.open("wb")`` is never used:
it publishes what was written so far when its body raises.

Invariant: nobody sees a writer's octets before :meth:`Writer.commit`; a commit that finds the key taken raises
:class:`AlreadyStored` and leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING, Any, Protocol

from airflow_pop3_gateway.errors import AlreadyStored, GatewayError, StoreUnavailable

if TYPE_CHECKING:
    from airflow_pop3_gateway.store.groups import Group

UPLOAD_BLOCK = 8 << 20
"""Octets an upload keeps in memory before it goes out in parts; S3 asks for parts of at least 5 MiB."""
TEMPORARY = ".unpublished-"
"""Prefix of temporary names in a local folder; listings leave them out, a purge removes them with their folder."""

Octets = bytes | bytearray | memoryview


class Writer(Protocol):
    """An object that is being written; nobody sees it before :meth:`commit`."""

    key: str

    def write(self, data: Octets) -> None:
        """Append octets; the buffer is not kept."""

    def commit(self) -> str:
        """Publish; returns the key. :raises AlreadyStored: when the key exists; the writer is then discarded."""

    def discard(self) -> None:
        """Forget everything written; harmless after :meth:`commit` and when repeated."""


class mapped:  # a class, for a generator costs four times as much and each mail enters ten
    """Foreign errors become ours; the foreign text stays for people to read."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, FileExistsError):
            raise AlreadyStored(f"{self._key} is already stored.", path=self._key) from None
        if isinstance(error, Exception) and not isinstance(error, GatewayError):
            raise StoreUnavailable(f"{self._key}: {type(error).__name__}: {error}", key=self._key) from error


def _make_folder(path: str) -> None:
    try:
        os.mkdir(path)  # what is above it is nearly always there
    except FileNotFoundError:
        os.makedirs(path, exist_ok=True)
    except FileExistsError:  # another writer was first
        pass


class LocalWriter:
    """Temporary file in the same folder, sync, link to the name (which fails if it exists), sync of the folder.

    :param group: publishes it instead, together with others; while it is small, its octets stay in memory until then.
    """

    def __init__(self, key: str, path: str, group: Group | None = None) -> None:
        self.key = key
        self._group = group
        self._path = path
        self._folder = path.rpartition("/")[0]
        self._temporary = f"{self._folder}/{TEMPORARY}{os.urandom(16).hex()}"
        self._held: bytearray | None = bytearray()
        self._descriptor = -1
        if group is None:
            self._open()

    def _open(self) -> None:
        try:
            self._descriptor = self._create()
        except FileNotFoundError:
            _make_folder(self._folder)
            self._descriptor = self._create()
        held, self._held = self._held, None
        if held:
            self._append(held)

    def _create(self) -> int:
        return os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)

    def _append(self, data: Octets) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def write(self, data: Octets) -> None:
        with mapped(self.key):
            if self._held is None:
                self._append(data)
            elif self._group is not None and self._group.keeps(len(data)):
                self._held += data
            else:
                self._open()
                self._append(data)

    def write_out(self) -> None:
        """Write what is still in memory, for a group that syncs."""
        with mapped(self.key):
            if self._held is not None:
                self._open()
                self._close()

    def commit(self, over: bool = False) -> str:
        with mapped(self.key):
            if self._group is not None:
                if self._descriptor >= 0:
                    self._close()
                try:
                    self._group.add(self)
                except AlreadyStored:
                    self.remove()
                    raise
                return self.key
            try:
                os.fsync(self._descriptor)
                if over:
                    os.replace(self._temporary, self._path)
                else:
                    os.link(self._temporary, self._path)
                self._sync_folder()
            finally:
                self.discard()
        return self.key

    def link(self) -> None:
        """Let the name appear, for a group that syncs. :raises AlreadyStored: when the key exists."""
        with mapped(self.key):
            try:
                os.link(self._temporary, self._path)
            finally:
                self.remove()

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        except OSError as error:
            if error.errno not in (
                errno.EINVAL,
                errno.ENOTSUP,
            ):  # some network file systems cannot sync a folder
                raise
        finally:
            os.close(folder)

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1

    def remove(self) -> None:
        """Remove the temporary file; harmless when there is none."""
        if self._descriptor >= 0:
            self._close()
        if self._held is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._temporary)

    def discard(self) -> None:
        if self._descriptor >= 0:
            self.remove()


class ObjectWriter:
    """One conditional PUT when the object is small; parts, and a conditional completion, when it is not."""

    def __init__(self, key: str, path: str, fs: Any) -> None:
        self.key = key
        self._path = path
        self._fs = fs
        self._small = bytearray()
        self._upload: Any = None
        self._done = False

    def write(self, data: Octets) -> None:
        with mapped(self.key):
            if self._upload is None:
                self._small += data
                if len(self._small) > UPLOAD_BLOCK:
                    self.in_parts()
            else:
                self._upload.write(data)

    def in_parts(self) -> None:
        """From here on what was written goes out in parts of ``UPLOAD_BLOCK`` octets."""
        with mapped(self.key):
            self._upload = self._fs.open(self._path, "xb", autocommit=False, block_size=UPLOAD_BLOCK)
            self._upload.write(self._small)
            self._small = bytearray()

    def commit(self) -> str:
        with mapped(self.key):
            try:
                if self._upload is None:
                    self._fs.pipe_file(self._path, bytes(self._small), mode="create")
                else:
                    self._upload.close()
                    self._upload.commit()
                self._done = True
            finally:
                self.discard()
        return self.key

    def discard(self) -> None:
        upload, self._upload = self._upload, None
        self._small = bytearray()
        if upload is not None and not self._done:
            with contextlib.suppress(
                Exception
            ):  # the upload may have died half-way; nothing of it was published
                upload.discard()
        self._done = True
