"""The spool: raw mails in segments, and the manifest whose exclusive creation commits the batch.

Strategy: a session writes mails one after another into a segment while the socket still delivers, and their lines
into a manifest that nobody sees yet; a large mail gets a segment of its own. Nothing is parsed beyond the end of the
header block. What the manifest does not name does not exist: a segment without a manifest is rubbish of a session
that died.

Invariant: octets in memory are bounded by the buffers here, whatever the size of a mail; of a mail that arrived only
what the ledger needs is remembered. The octets between ``offset`` and ``offset + length`` are those of the wire, and
``sha256`` is their digest.
"""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from airflow_pop3_gateway.errors import CommandRefused, StoreCorrupt
from airflow_pop3_gateway.records import MANIFEST_SCHEMA, LedgerEntry, LedgerState, ManifestEntry
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.store.objects import Store
from airflow_pop3_gateway.store.writers import Octets, Writer

SEGMENT_BYTES = 64 << 20
"""Octets after which the next mail begins a new segment: a handful of PUTs for thousands of small mails."""
ALONE_BYTES = 8 << 20
"""A mail that LIST calls larger than this gets a segment of its own, so that it can be read and removed alone."""
GATHER_BYTES = 256 << 10
"""Small writes are gathered up to this many octets before they go to the store, in memory that is taken once: what
is given back and taken again is cleared by the system each time, which costs more than the copy."""
DIRECT_BYTES = 64 << 10
"""A write of so many octets goes to the store as it is: to gather it would cost a copy and save nothing."""
SHORT_BYTES = 16 << 10
"""Octets that are digested in steps so small that the interpreter lock stays with us: where many sessions run in one
process, to get it back after every mail costs more than the digest of a short one."""
STEP_BYTES = 2047
"""The most that ``hashlib`` digests without giving up the interpreter lock."""
LINES = 128
"""Lines of the manifest that are written at once; each has at most some 6 KB."""
HEAD_BYTES = 1 << 20
"""A header block longer than this is not digested; the mail can then be proven by a download only."""
_encode_lines = msgspec.json.Encoder().encode_lines
_decode_lines = msgspec.json.Decoder(ManifestEntry).decode_lines
_END_OF_HEAD = re.compile(rb"\n\r?\n")
_FIELDS = re.compile(
    r"\n(?=[dfmst])(message-id|from|to|subject|date)[ \t]*:[ \t]*(.*(?:\n[ \t].*)*)", re.IGNORECASE | re.ASCII
)


def never_before(number: int, sha256: str, list_size: int) -> bool:
    """No mail was stored by a batch before."""
    return False


class SpoolWriter:
    """A sink for one pipelined RETR run; afterwards :attr:`arrived` is what arrived whole and is new, as the ledger
    remembers it once the manifest is committed, and :attr:`octets` how much that is.

    :param now: gives the ``retrieved_at`` of each mail, as :func:`layout.timestamp` writes it.
    :param uidls: message number → identity; :param sizes: message number → octets by LIST.
    :param max_message_bytes: past it a mail is dropped while it streams, and named in :attr:`too_large`.
    :param state: what the ledger calls a mail whose manifest is committed.
    :param stored_before: asked with (number, SHA-256, octets by LIST) of each whole mail; of one it says yes to there
        will be no line in the manifest.
    :param on_mail: called after every whole mail with (whole mails, octets of those that are new) so far.
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
        state: LedgerState = "COMMITTED",
        stored_before: Callable[[int, str, int], bool] = never_before,
        on_mail: Callable[[int, int], None] = lambda mails, octets: None,
    ) -> None:
        self.arrived: dict[int, LedgerEntry] = {}
        self.refusals: dict[int, CommandRefused] = {}
        self.too_large: list[int] = []
        self.empty: list[int] = []
        self.octets = 0
        self._mails = 0
        self._store, self._site, self.batch = store, site, batch
        self._uidls, self._sizes, self._now, self._on_mail = uidls, sizes, now, on_mail
        self._most = math.inf if max_message_bytes is None else max_message_bytes
        self._stored_before, self._state = stored_before, state
        self._writer: Writer | None = None
        self._segments = 0
        self._segment = ""
        self._start = self._position = self._length = 0
        self._space = memoryview(bytearray(GATHER_BYTES))
        self._gathered = 0
        self._digest = hashlib.sha256()
        self._head = bytearray()
        self._head_digest = ""
        self._looking = True
        self._moment, self._stale = "", 0.0
        self._manifest: Writer | None = None
        self._lines: list[ManifestEntry] = []

    def begin(self, number: int) -> None:
        """A mail begins (:class:`pop3.Sink`)."""
        if self._writer is not None and (
            self._position >= SEGMENT_BYTES
            or self._position - self._start > ALONE_BYTES
            or self._sizes.get(number, 0) > ALONE_BYTES
        ):
            self._close_segment()
        if self._writer is None:
            self._segment = layout.segment_name(self._segments)
            self._writer = self._store.create(f"{layout.spool(self._site, self.batch)}/{self._segment}")
            self._position = 0
        self._start, self._length = self._position, 0
        self._head = bytearray()
        self._head_digest = ""
        self._looking = True

    def write(self, data: Octets) -> None:
        """Octets of the current mail, in order."""
        size = len(data)
        self._length += size
        if self._length > self._most:
            return
        if self._looking:
            self._look_for_head(data)
        else:
            self._digest.update(data)
        self._position += size
        if size < DIRECT_BYTES:
            if self._gathered + size > GATHER_BYTES:
                self._flush()
            gathered = self._gathered
            self._gathered = gathered + size
            self._space[gathered : gathered + size] = data
        elif self._writer is not None:
            self._flush()
            self._writer.write(data)

    def _look_for_head(self, data: Octets) -> None:
        """Digest octets that may hold the end of the header block.

        A digest can be read and goes on then: the header block's is on the way to that of the mail.
        """
        head = self._head
        seen = len(head)
        if seen:
            head += data
            end = _END_OF_HEAD.search(head, max(0, seen - 2))
        else:
            end = _END_OF_HEAD.search(data)
            self._digest = hashlib.sha256()
        if end is None:
            self._head = head if seen else bytearray(data)
            self._digest.update(data)
            self._looking = len(self._head) <= HEAD_BYTES
            return
        stop = end.end()
        self._head = head[:stop] if seen else bytearray(data[:stop])
        self._digest.update(data[: stop - seen])
        self._head_digest = self._digest.hexdigest()
        rest = data[stop - seen :]
        update, size = self._digest.update, len(rest)
        if size > SHORT_BYTES:
            update(rest)
        else:
            for at in range(0, size, STEP_BYTES):
                update(rest[at : at + STEP_BYTES])
        self._looking = False

    def end(self, number: int) -> None:
        """The mail is whole."""
        if self._length > self._most:
            self.too_large.append(number)
        elif not self._length:
            self.empty.append(number)
        else:
            sha256 = self._digest.hexdigest()
            if not self._stored_before(number, sha256, self._sizes[number]):
                self._note(number, sha256, sha256 if self._looking else self._head_digest)
                self.octets += self._length
            self._mails += 1
            self._on_mail(self._mails, self.octets)

    def _note(self, number: int, sha256: str, head_sha256: str) -> None:
        """Add a line to the manifest."""
        if (clock := time.monotonic()) >= self._stale:  # the text has milliseconds, so it is good for one
            self._moment, self._stale = self._now(), clock + 0.001
        list_size, index, batch, moment = self._sizes[number], len(self.arrived), self.batch, self._moment
        self.arrived[number] = LedgerEntry(self._state, batch, index, list_size, sha256, head_sha256, moment)
        self._lines.append(
            ManifestEntry(
                MANIFEST_SCHEMA,
                self._site,
                batch,
                index,
                self._uidls[number],
                self._segment,
                self._start,
                self._length,
                sha256,
                head_sha256,
                list_size,
                moment,
                _few_fields(self._head),
            )
        )
        if len(self._lines) >= LINES:
            self._flush_lines()

    def refused(self, number: int, error: CommandRefused) -> None:
        """The server did not give this one; it stays where it is."""
        self.refusals[number] = error

    def _flush(self) -> None:
        if self._writer is not None and self._gathered:
            self._writer.write(self._space[: self._gathered])
            self._gathered = 0

    def _flush_lines(self) -> Writer:
        if self._manifest is None:
            self._manifest = self._store.create(layout.manifest(self._site, self.batch))
        self._manifest.write(_encode_lines(self._lines))
        self._lines.clear()
        return self._manifest

    def _close_segment(self) -> None:
        self._flush()
        if self._writer is not None:
            self._writer.commit()
            self._writer = None
            self._segments += 1

    def close(self) -> None:
        """Publish the last segment; the manifest may follow."""
        self._close_segment()

    def commit(self) -> None:
        """Publish the manifest: from now on the mails exist. :raises AlreadyStored: the batch was committed before."""
        self._flush_lines().commit()

    def discard(self) -> None:
        """Give up what is not published; harmless after :meth:`close` and :meth:`commit`."""
        for writer in (self._writer, self._manifest):
            if writer is not None:
                writer.discard()
        self._writer = self._manifest = None


def _few_fields(head: bytearray) -> dict[str, str]:
    """The first field of each name, unfolded."""
    fields: dict[str, str] = {}
    for name, value in _FIELDS.findall((b"\n" + head).decode("utf-8", "replace")):
        if (name := name.lower()) not in fields:
            if "\n" in value:
                value = value.replace("\r\n", "").replace("\n", "")
            fields[name] = value.rstrip("\r")[:998]
    return fields


def read_manifest(store: Store, site: str, batch: str) -> list[ManifestEntry] | None:
    """The mails of a batch in order, ``None`` when the batch was never committed.

    :raises StoreCorrupt: when a line is not one of ours.
    """
    data = store.find(layout.manifest(site, batch))
    if data is None:
        return None
    try:
        return _decode_lines(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
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
