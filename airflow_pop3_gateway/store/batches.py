"""Reading a batch: thousands of small mails for a handful of requests.

Strategy: small mails are cut out of blocks of their segment that are read once and shared; a large mail is streamed
by itself. A few blocks are remembered, for mails are read nearly in order and several at once.

Invariant: memory is bounded by :data:`BLOCKS_KEPT` blocks; octets are handed out only as those that were retrieved
(their digest is checked), whichever way they came.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from airflow_pop3_gateway.errors import StoreCorrupt
from airflow_pop3_gateway.records import ManifestEntry
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.store.objects import Store
from airflow_pop3_gateway.store.spool import open_mail

BLOCK_BYTES = 4 << 20
"""Octets of one shared read: a thousand small mails for one request."""
BLOCKS_KEPT = 2
"""Blocks remembered: the one being read from and the one before, for the mails that are still on their way."""
SMALL_BYTES = 256 << 10
"""A mail up to this size is cut out of a block; a larger one is worth a request of its own."""


class BatchReader:
    """Gives the mails of one batch; may be used by several threads at once.

    :param manifest: the lines of the batch.
    """

    def __init__(self, store: Store, manifest: Sequence[ManifestEntry]) -> None:
        self._store = store
        self._blocks: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()
        self._ends: dict[str, int] = {}
        for entry in manifest:
            self._ends[entry.segment] = max(self._ends.get(entry.segment, 0), entry.offset + entry.length)

    def mail(self, entry: ManifestEntry) -> Iterator[bytes]:
        """The exact octets of a mail in chunks.

        :raises StoreCorrupt: when the segment is missing, too short, or not what was written.
        """
        if entry.length > SMALL_BYTES:
            yield from open_mail(self._store, entry)
            return
        octets = self._cut(entry)
        if hashlib.sha256(octets).hexdigest() != entry.sha256:
            raise StoreCorrupt(
                f"{self._key(entry)} at {entry.offset}: the octets are not those that were retrieved.",
                key=self._key(entry),
            )
        yield octets

    def _key(self, entry: ManifestEntry) -> str:
        return f"{layout.spool(entry.site, entry.batch)}/{entry.segment}"

    def _cut(self, entry: ManifestEntry) -> bytes:
        first, start = divmod(entry.offset, BLOCK_BYTES)
        octets = self._block(entry, first)[start : start + entry.length]
        if len(octets) < entry.length:  # it goes on in the next block
            octets += self._block(entry, first + 1)[: entry.length - len(octets)]
        return octets

    def _block(self, entry: ManifestEntry, number: int) -> bytes:
        with self._lock:
            place = (entry.segment, number)
            if place in self._blocks:
                self._blocks.move_to_end(place)
            else:
                start = number * BLOCK_BYTES
                length = min(BLOCK_BYTES, self._ends[entry.segment] - start)
                self._blocks[place] = b"".join(
                    self._store.stream(self._key(entry), start, length, chunk=BLOCK_BYTES)
                )
                if len(self._blocks) > BLOCKS_KEPT:
                    self._blocks.popitem(last=False)
            return self._blocks[place]
