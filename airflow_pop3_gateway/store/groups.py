"""Many objects on a local disk made durable for the price of a few syncs.

Strategy: writers that are committed into a group are only remembered, their octets in memory while they are few;
:meth:`Group.publish` writes them, makes the octets of all of them durable by one ``syncfs``, links their names, and
makes the names durable by another. What must not appear before they are durable is a group of its own: its octets are
made durable by the same first sync. A disk needs as long for the fsyncs of two files and their folders as for one
round.

Invariant: a name never appears before its octets are durable, nor before the names of the group before are.
``syncfs`` is believed only where it is known to tell of failures and to reach the disk: Linux from 5.8 on, on a block
device, or in memory, where there is nothing to reach. Elsewhere there are no groups, and every object is synced by
itself.
"""

from __future__ import annotations

import ctypes
import os
import re

from airflow_pop3_gateway.errors import AlreadyStored
from airflow_pop3_gateway.store.writers import LocalWriter, mapped

HELD_BYTES = 4 << 20
"""Octets that stay in memory until a group is published: those of 512 small mails. To understand all of them first and
to write then takes less of the processor: neither drives the other out of its caches."""


def grouping(folder: str) -> bool:
    """Whether objects below a folder may be made durable together."""
    release = re.match(r"(\d+)\.(\d+)", os.uname().release) if os.uname().sysname == "Linux" else None
    if release is None or (int(release[1]), int(release[2])) < (5, 8):
        return False
    try:
        device = os.stat(folder).st_dev
        return (os.major(device) != 0 or _in_memory(device)) and hasattr(ctypes.CDLL(None), "syncfs")
    except OSError:
        return False


def _in_memory(device: int) -> bool:
    place = f" {os.major(device)}:{os.minor(device)} "
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
        return any(place in mount and " - tmpfs " in mount for mount in mounts)


class Group:
    """Objects that become durable together; several threads may commit writers into it.

    :param folder: on the disk that holds them. It is opened now, so that no failure from now on is missed.
    """

    def __init__(self, folder: str) -> None:
        self._held = 0
        self._writers: dict[str, LocalWriter] = {}
        self._syncfs = ctypes.CDLL(None, use_errno=True).syncfs
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def keeps(self, octets: int) -> bool:
        """Whether so many octets more may stay in memory until :meth:`publish`."""
        self._held += octets
        return self._held <= HELD_BYTES

    def add(self, writer: LocalWriter) -> None:
        """Everything is written. :raises AlreadyStored: another writer of the group has this key."""
        if self._writers.setdefault(writer.key, writer) is not writer:
            raise AlreadyStored(f"{writer.key} is already stored.", path=writer.key)

    def withdraw(self, *keys: str) -> None:
        """Do not publish these; harmless when they are not there."""
        for key in keys:
            if (writer := self._writers.pop(key, None)) is not None:
                writer.remove()

    def publish(self, *later: Group) -> set[str]:
        """Make all durable, octets first and names then, and after those the names of each later group.

        :returns: keys that were taken already.
        """
        taken = set()
        groups = [group for group in (self, *later) if group._writers]
        for group in groups:
            for writer in group._writers.values():
                group.write_out(writer)
        if groups:
            self.sync()
        for group in groups:
            group._held = 0
            for key, writer in list(group._writers.items()):
                try:
                    group.link(writer)
                except AlreadyStored:
                    taken.add(key)
                del group._writers[key]
            self.sync()
        return taken

    def write_out(self, writer: LocalWriter) -> None:
        """Write one that is in memory."""
        writer.write_out()

    def link(self, writer: LocalWriter) -> None:
        """Let one name appear. :raises AlreadyStored: it is there."""
        writer.link()

    def sync(self) -> None:
        """Make durable what was written to the disk. :raises StoreUnavailable: it could not be."""
        with mapped("syncfs"):
            if self._syncfs(self._descriptor):
                error = ctypes.get_errno()
                raise OSError(error, os.strerror(error))

    def close(self) -> None:
        """Forget what was not published; harmless when repeated."""
        self.withdraw(*self._writers)
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
