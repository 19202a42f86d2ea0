"""What is in a zip, where the Application wants it: its members come out beside the transfer.

Strategy: where the members of a zip lie stands at its end, and the parts of a zip that can be read from the front say
other things than the end does when somebody wants them to. So the octets of an attached zip are set aside, the first
:data:`MEMORY` octets of a mail in memory and the rest in a temporary file that has no name, and the standard library
reads them from the end. Each member is read twice: before the verdict on the mail, to see that it is whole and within
the bounds; and to be stored. A member that is a zip is set aside in the same place and looked into.

Invariant: nothing comes out of a zip of which anything is damaged, overlaps or is not as long as it says; a bound that
is passed raises :class:`LimitExceeded` before anything is stored; memory holds one piece and the lists of members,
whose octets ``Limits.zip_members`` bounds; only stored and deflated members are read, for the others grow without
measure in one step.
"""

from __future__ import annotations

import io
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from typing import IO, cast

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import LimitExceeded, StoreUnavailable
from airflow_pop3_gateway.mail.parts import Part

CONTENT_TYPES = ("application/zip", "application/x-zip", "application/x-zip-compressed")
MEMORY = 1 << 20
"""Octets of all zips of a mail that are kept in memory; what is longer goes to a temporary file."""
PIECE = 1 << 16
"""Octets of a member that are handed on at once."""

_DIRECTORY = 128 << 10, 1 << 10
"""Octets of the lists of members that are read: for a mail, and more for each member it may have."""
_LOCAL_HEADER = 30  # octets at least
_ENCRYPTED = 1  # bit of the flags
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)
"""What the standard library raises when it reads a zip that is none."""


def looks_like_zip(part: Part) -> bool:
    """By its type or its name."""
    return part.content_type in CONTENT_TYPES or _named_zip(part.name or "")


def _named_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


class Zips:
    """The zips of one mail, and what is left of the bounds they share."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.members = self.octets = self.directories = 0
        self.size = 0
        self._spool: tempfile.SpooledTemporaryFile[bytes] | None = None

    def begin(self) -> Zip:
        """A zip begins; the one before it has ended."""
        return Zip(self)

    def write(self, data: bytes) -> None:
        """Set octets aside, behind all others. :raises StoreUnavailable: the temporary folder is full."""
        try:
            if self._spool is None:
                self._spool = tempfile.SpooledTemporaryFile(MEMORY)  # noqa: SIM115 - closed with the mail
            self._spool.seek(self.size)
            self._spool.write(data)
        except OSError as error:
            raise StoreUnavailable(f"no room for a zip in {tempfile.gettempdir()}: {error}") from error
        self.size += len(data)

    def read(self, start: int, count: int) -> bytes:
        """Octets that were set aside."""
        if self._spool is None:
            return b""
        self._spool.seek(start)
        return self._spool.read(count)

    def close(self) -> None:
        """Forget them all."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def exceeded(self, limit: str, what: str) -> LimitExceeded:
        """The error of a bound that was passed."""
        value = getattr(self.limits, limit)
        return LimitExceeded(f"{what} than {value} ({limit})", limit=limit, value=value)


class _Window(io.RawIOBase):
    """A stretch of what was set aside, as a file."""

    def __init__(self, zips: Zips, start: int, size: int) -> None:
        self._zips, self._start, self._size, self._at = zips, start, size, 0
        self._most = _DIRECTORY[0] + zips.limits.zip_members * _DIRECTORY[1]

    def seekable(self) -> bool:
        """A zip is read from its end."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go there. :raises OSError: before the start."""
        at = (0, self._at, self._size)[whence] + offset
        if at < 0:
            raise OSError("before the start of the zip")
        self._at = at
        return at

    def read(self, size: int = -1, /) -> bytes:
        """The next octets. :raises LimitExceeded: a list of members that is longer than the bound allows."""
        left = max(0, self._size - self._at)
        count = left if size < 0 else min(size, left)
        if count > self._most:
            raise self._zips.exceeded("zip_members", "the zips of the mail have more members")
        data = self._zips.read(self._start + self._at, count)
        self._at += len(data)
        return data


class Zip:
    """One attached zip."""

    def __init__(self, zips: Zips) -> None:
        self._zips = zips
        self._start, self._size = zips.size, 0
        self._allowed = 0
        self._partly = False
        self._found: list[tuple[zipfile.ZipFile, zipfile.ZipInfo]] = []

    def feed(self, decoded: bytes) -> None:
        """Take octets of the zip."""
        self._zips.write(decoded)
        self._size += len(decoded)

    def look(self) -> str:
        """Find out what can come out.

        :returns: the code of a defect when that is not everything, or ``""``.
        :raises LimitExceeded: more than the bounds allow.
        """
        self._allowed = self._size * self._zips.limits.zip_ratio
        try:
            self._look()
        except StoreUnavailable:
            raise
        except _DAMAGED:
            self._found = []
            return "zip-broken"
        return "zip-partly" if self._partly else ""

    def _look(self) -> None:
        # Depth by depth without recursion: the bound is the user's.
        open_zips = [iter(self._members(self._start, self._size))]
        while open_zips:
            archive, info = next(open_zips[-1], (None, None))
            if archive is None or info is None:
                open_zips.pop()
                continue
            inner = _named_zip(info.filename)
            start = self._zips.size
            self._check(archive, info, keep=inner)
            members = self._inner(start) if inner else None
            if members is None:
                self._found.append((archive, info))
            elif len(open_zips) >= self._zips.limits.zip_depth:
                raise self._zips.exceeded("zip_depth", "zips are in each other deeper")
            else:
                open_zips.append(iter(members))

    def _inner(self, start: int) -> list[tuple[zipfile.ZipFile, zipfile.ZipInfo]] | None:
        """The members of a zip in a zip; ``None``: in spite of its name it is none, but a file like others."""
        try:
            return self._members(start, self._zips.size - start)
        except _DAMAGED:
            return None

    def _members(self, start: int, size: int) -> list[tuple[zipfile.ZipFile, zipfile.ZipInfo]]:
        """The files in a zip that can be read, in order.

        :raises LimitExceeded: what it says of itself is more than the bounds allow; some of :data:`_DAMAGED` are raised
            where it is no zip.
        """
        zips = self._zips
        archive = zipfile.ZipFile(cast("IO[bytes]", _Window(zips, start, size)))
        infos = archive.infolist()
        zips.members += len(infos)
        zips.directories += size - archive.start_dir
        if (
            zips.members > zips.limits.zip_members
            or zips.directories > _DIRECTORY[0] + zips.limits.zip_members * _DIRECTORY[1]
        ):
            raise zips.exceeded("zip_members", "the zips of the mail have more members")
        files = [info for info in infos if not info.filename.endswith("/")]
        readable = [info for info in files if _readable(info)]
        self._partly |= len(readable) < len(files)
        said = sum(info.file_size for info in readable)
        zips.octets += said
        self._allowed -= said
        if self._allowed < 0:
            raise zips.exceeded("zip_ratio", "a zip has for each of its octets more")
        if zips.octets > zips.limits.zip_bytes:
            raise zips.exceeded("zip_bytes", "the zips of the mail have more octets in them")
        _refuse_overlap(infos, archive.start_dir)
        return [(archive, info) for info in readable]

    def _check(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, *, keep: bool) -> None:
        """Read a member to its end; the library compares the checksum.

        :param keep: set its octets aside.
        """
        size = 0
        for piece in _pieces(archive, info):
            size += len(piece)
            if keep:
                self._zips.write(piece)
        if size != info.file_size:
            raise zipfile.BadZipFile("a member is not as long as it says")

    def files(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """Name and octets of every member; what :meth:`look` has read is read again."""
        for archive, info in self._found:
            yield info.filename, _pieces(archive, info)


def _readable(info: zipfile.ZipInfo) -> bool:
    """A plain file that nobody encrypted, in one of the two usual methods."""
    link = stat.S_ISLNK(info.external_attr >> 16)
    return not link and not info.flag_bits & _ENCRYPTED and info.compress_type in _METHODS


def _refuse_overlap(infos: list[zipfile.ZipInfo], end: int) -> None:
    """No octet belongs to two members: that is how few octets become many without a zip in a zip.

    :raises BadZipFile: where one does.
    """
    infos = sorted(infos, key=lambda info: info.header_offset)
    ends = [info.header_offset + _LOCAL_HEADER + info.compress_size for info in infos]
    starts = [info.header_offset for info in infos[1:]] + [end] * bool(infos)
    if any(stop > start for stop, start in zip(ends, starts, strict=True)):
        raise zipfile.BadZipFile("members overlap")


def _pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as member:
        while piece := member.read(PIECE):
            yield piece
