"""The spool: raw mails in segments, and the manifest whose exclusive creation commits the batch.

Strategy: a session writes mails one after another into a segment while the socket still delivers; a large mail gets
a segment of its own. Nothing is parsed beyond the end of the header block. What the manifest does not name does not
exist: a segment without a manifest is rubbish of a session that died.

Invariant: memory is bounded by the buffers here, whatever the size of a mail or of the maildrop; the octets between
``offset`` and ``offset + length`` are those of the wire, and ``sha256`` is their digest.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from airflow_pop3_gateway.errors import CommandRefused, StoreCorrupt
from airflow_pop3_gateway.records import MANIFEST_SCHEMA, ManifestEntry
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.store.objects import Store
from airflow_pop3_gateway.store.writers import Octets, Writer

SEGMENT_BYTES = 64 << 20
"""Octets after which the next mail begins a new segment: a handful of PUTs for thousands of small mails."""
ALONE_BYTES = 8 << 20
"""A mail that LIST calls larger than this gets a segment of its own, so that it can be read and removed alone."""
GATHER_BYTES = 256 << 10
"""Small writes are gathered up to this many octets before they go to the store."""
HEAD_BYTES = 1 << 20
"""A header block longer than this is not digested; the mail can then be proven by a download only."""

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_FIELDS = re.compile(
    rb"^(message-id|from|to|subject|date)[ \t]*:[ \t]*([^\r\n]*(?:\r?\n[ \t][^\r\n]*)*)",
    re.IGNORECASE | re.MULTILINE,
)


class SpoolWriter:
    """A sink for one pipelined RETR run; afterwards :attr:`entries` is what arrived whole.

    :param now: gives the ``retrieved_at`` of each mail.
    :param uidls: message number → identity; :param sizes: message number → octets by LIST.
    :param max_message_bytes: past it a mail is dropped while it streams, and named in :attr:`too_large`.
    :param on_mail: called after every whole mail with (mails, octets) so far.
    """

    def __init__(
        self,
        store: Store,
        site: str,
        batch: str,
        uidls: Mapping[int, str],
        sizes: Mapping[int, int],
        now: Callable[[], str],
        max_message_bytes: int | None = None,
        on_mail: Callable[[int, int], None] = lambda mails, octets: None,
    ) -> None:
        self.entries: dict[int, ManifestEntry] = {}
        self.refusals: dict[int, CommandRefused] = {}
        self.too_large: list[int] = []
        self.empty: list[int] = []
        self.octets = 0
        self._store, self._site, self.batch = store, site, batch
        self._uidls, self._sizes, self._now, self._on_mail = uidls, sizes, now, on_mail
        self._most = max_message_bytes
        self._writer: Writer | None = None
        self._segments = 0
        self._position = 0
        self._gathered = bytearray()
        self._reset()

    def _reset(self) -> None:
        self._start = self._position
        self._length = 0
        self._digest = hashlib.sha256()
        self._head = bytearray()
        self._head_done = False
        self._head_digest = ""
        self._dropped = False

    def begin(self, number: int) -> None:
        """A mail begins (:class:`pop3.Sink`)."""
        if self._writer is not None and (
            self._position >= SEGMENT_BYTES
            or self._sizes.get(number, 0) > ALONE_BYTES
            or self._position > ALONE_BYTES
        ):
            self._close_segment()
        if self._writer is None:
            self._writer = self._store.create(
                f"{layout.spool(self._site, self.batch)}/{layout.segment_name(self._segments)}"
            )
            self._position = 0
        self._reset()

    def write(self, data: Octets) -> None:
        """Octets of the current mail, in order."""
        self._length += len(data)
        if self._dropped:
            return
        if self._most is not None and self._length > self._most:
            self._dropped = True
            return
        self._digest.update(data)
        if not self._head_done:
            self._look_for_head(data)
        self._position += len(data)
        self._gathered += data
        if len(self._gathered) >= GATHER_BYTES:
            self._flush()

    def _look_for_head(self, data: Octets) -> None:
        seen = max(0, len(self._head) - 3)
        self._head += data
        if (end := _END_OF_HEAD.search(self._head, seen)) is not None:
            del self._head[end.end() :]
            self._head_digest = hashlib.sha256(self._head).hexdigest()
            self._head_done = True
        elif len(self._head) > HEAD_BYTES:
            self._head_done = True

    def end(self, number: int) -> None:
        """The mail is whole."""
        if self._dropped:
            self.too_large.append(number)
        elif not self._length:
            self.empty.append(number)
        else:
            self.octets += self._length
            self.entries[number] = ManifestEntry(
                schema=MANIFEST_SCHEMA,
                site=self._site,
                batch=self.batch,
                index=len(self.entries),
                uidl=self._uidls[number],
                segment=layout.segment_name(self._segments),
                offset=self._start,
                length=self._length,
                sha256=self._digest.hexdigest(),
                head_sha256=self._head_digest if self._head_done else hashlib.sha256(self._head).hexdigest(),
                list_size=self._sizes[number],
                retrieved_at=self._now(),
                headers=_few_fields(self._head),
            )
            self._on_mail(len(self.entries), self.octets)

    def refused(self, number: int, error: CommandRefused) -> None:
        """The server did not give this one; it stays where it is."""
        self.refusals[number] = error

    def _flush(self) -> None:
        if self._writer is not None and self._gathered:
            self._writer.write(self._gathered)
            self._gathered = bytearray()

    def _close_segment(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.commit()
            self._writer = None
            self._segments += 1

    def close(self) -> None:
        """Publish the last segment; the manifest may follow."""
        self._close_segment()

    def discard(self) -> None:
        """Give up the segment that is open; harmless after :meth:`close`."""
        if self._writer is not None:
            self._writer.discard()
            self._writer = None


def _few_fields(head: bytearray) -> dict[str, str]:
    fields: dict[str, str] = {}
    for match in _FIELDS.finditer(head):
        name = match[1].decode("ascii").lower()
        fields.setdefault(name, re.sub(rb"\r?\n", b"", match[2]).decode("utf-8", "replace")[:998])
    return fields


def commit_manifest(
    store: Store, site: str, batch: str, entries: Iterator[ManifestEntry] | list[ManifestEntry]
) -> None:
    """Commit a batch. :raises AlreadyStored: when the batch was committed before."""
    lines = (json.dumps(entry.to_json(), separators=(",", ":")) for entry in entries)
    store.put(layout.manifest(site, batch), "".join(f"{line}\n" for line in lines).encode())


def read_manifest(store: Store, site: str, batch: str) -> list[ManifestEntry] | None:
    """The mails of a batch in order, ``None`` when the batch was never committed.

    :raises StoreCorrupt: when a line is not one of ours.
    """
    data = store.find(layout.manifest(site, batch))
    if data is None:
        return None
    try:
        return [ManifestEntry.from_json(json.loads(line)) for line in data.decode().splitlines()]
    except (ValueError, TypeError) as error:
        raise StoreCorrupt(f"{layout.manifest(site, batch)} cannot be read: {error}", batch=batch) from None


def open_mail(store: Store, entry: ManifestEntry) -> Iterator[bytes]:
    """The exact octets of a mail in chunks; their digest is checked when the last one was taken.

    :raises StoreCorrupt: when the segment is missing, too short, or not what was written.
    """
    digest: Any = hashlib.sha256()
    key = f"{layout.spool(entry.site, entry.batch)}/{entry.segment}"
    for chunk in store.stream(key, entry.offset, entry.length):
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != entry.sha256:
        raise StoreCorrupt(f"{key} at {entry.offset}: the octets are not those that were retrieved.", key=key)
