"""The ledger of a site: what is known of each UIDL, and which batches still wait to be classified.

Strategy: a batch is announced by an object of its own before its first RETR; the ledger is one JSON object, read once
and rewritten whole after QUIT by the session that owns the maildrop. What happened in between is in the manifest, so a
session that died is told from its announcement. Another session's write in the meantime is noticed by its digest and
merged. A write in the same instant is lost, and with it nothing: the announcement still stands, and leads to the
manifest.

Invariant: a UIDL leaves the ledger only when the server no longer lists it; an announcement goes only when the lines of
its batch lie in ``transfers/`` and a ledger was written that has its mails, or when there will be no manifest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import msgspec

from airflow_pop3_gateway.errors import StoreCorrupt
from airflow_pop3_gateway.records import LEDGER_SCHEMA, LedgerEntry, LedgerState
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.store.objects import Store
from airflow_pop3_gateway.store.spool import read_manifest

PIECE = 256
"""Entries that are written at once."""
OPEN_FOR = timedelta(days=2)
"""How long a batch without a manifest may be that of a session that still runs."""


class _Document(msgspec.Struct):
    """What is read of the JSON object."""

    batches: list[str]
    refusals: dict[str, int]
    entries: dict[str, LedgerEntry]
    generation: int


_decode = msgspec.json.Decoder(_Document).decode
_encode = msgspec.json.Encoder().encode


@dataclass
class Ledger:
    """The journal of one maildrop, in memory; :meth:`save` writes it back.

    :ivar entries: UIDL → what is known; :ivar batches: committed, not yet classified, oldest first;
        :ivar announced: batches that were begun and are not settled; :ivar refusals: UIDL → how often the server or a
        bound kept us from it.
    """

    site: str
    entries: dict[str, LedgerEntry] = field(default_factory=dict)
    batches: list[str] = field(default_factory=list)
    refusals: dict[str, int] = field(default_factory=dict)
    generation: int = 0
    announced: list[str] = field(default_factory=list, compare=False)
    _settled: set[str] = field(default_factory=set, repr=False, compare=False)
    _stored: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    _digest: str = field(default="", repr=False, compare=False)

    @classmethod
    def load(cls, store: Store, site: str) -> Ledger:
        """The ledger of a site; a new one where there is none.

        :raises StoreCorrupt: when the object is there and cannot be read; restore it or move it away: a missing
            ledger is rebuilt at the price of a second download, and duplicates are still recognised.
        """
        key = layout.ledger(site)
        # In this order: what another session settles in between is in the ledger that is read after.
        announced = store.names(layout.announced(site))
        ledger = cls._read(site, store.address(key), store.find(key))
        ledger.announced = announced
        return ledger

    @classmethod
    def _read(cls, site: str, address: str, data: bytes | None) -> Ledger:
        if data is None:
            return cls(site)._as_stored(hashlib.sha256())
        try:
            read = _decode(data)
        except (msgspec.MsgspecError, UnicodeError) as error:
            raise StoreCorrupt(
                f"{address} is not a ledger ({error}). Move it away: mails are then downloaded again and "
                "recognised as duplicates, none is lost.",
                key=layout.ledger(site),
            ) from None
        ledger = cls(site, read.entries, read.batches, read.refusals, read.generation)
        return ledger._as_stored(hashlib.sha256(data))

    def _as_stored(self, digest: hashlib._Hash) -> Ledger:
        self._stored = self._document()
        self._digest = digest.hexdigest()
        return self

    def _document(self) -> dict[str, Any]:
        return {
            "schema": LEDGER_SCHEMA,
            "site": self.site,
            "batches": list(self.batches),
            "refusals": dict(self.refusals),
            "entries": dict(self.entries),
        }

    def save(self, store: Store) -> None:
        """Write the whole ledger if it changed; what another session wrote since :meth:`load` is merged in."""
        if self._document() != self._stored:
            self._write(store)
        for batch in self._settled:
            store.delete(layout.announced(self.site, batch))

    def _write(self, store: Store) -> None:
        key = layout.ledger(self.site)
        data = store.find(key)
        if hashlib.sha256(data or b"").hexdigest() != self._digest:
            stored = self._read(self.site, store.address(key), data)
            self.entries = {**stored.entries, **self.entries}
            self.batches = sorted({*stored.batches, *self.batches} - self._settled)
            self.generation = stored.generation
        del data
        self.generation += 1
        digest = hashlib.sha256()
        store.replace(key, self._written(digest))
        self._as_stored(digest)

    def _written(self, digest: hashlib._Hash) -> Iterator[bytes]:
        """The document as JSON in pieces, for there may be very many entries; they are digested on the way."""
        rest = {**self._document(), "generation": self.generation}
        del rest["entries"]
        piece = _encode(rest)[:-1] + b',"entries":{'
        entries, comma = iter(self.entries.items()), b""
        while some := dict(islice(entries, PIECE)):
            digest.update(piece)
            yield piece
            piece, comma = comma + _encode(some)[1:-1], b","
        digest.update(piece := piece + b"}}")
        yield piece

    def open(self, store: Store, batch: str) -> None:
        """Announce a batch; from now on a session that dies with it is taken over by another."""
        store.put(layout.announced(self.site, batch), b"")
        self.announced.append(batch)

    def close(self, batch: str, *, committed: bool) -> None:
        """A batch that was announced has its manifest, or will never have one."""
        if committed:
            self.batches.append(batch)
        else:
            self._settled.add(batch)

    def settle(self, store: Store, now: datetime) -> None:
        """Let batches leave with :meth:`save`: those that are classified, and those that were given up long ago."""
        oldest = layout.batch_name(now - OPEN_FOR, "")
        done = {batch for batch in self.batches if store.exists(layout.transfers(self.site, batch))}
        never = {batch for batch in self.announced if batch < oldest and batch not in self.batches}
        self._settled |= done | never
        self.batches = [batch for batch in self.batches if batch not in done]

    def recover(self, store: Store, state: LedgerState) -> int:
        """Take over what sessions committed that died before their last write, or have not come to it yet.

        :param state: what the site's retention makes of a mail that was just committed.
        :returns: how many mails were found in their manifests.
        """
        found = 0
        for batch in self.announced:
            if batch in self.batches or (manifest := read_manifest(store, self.site, batch)) is None:
                continue
            for mail in manifest:
                if (known := self.entries.get(mail.uidl)) is None or known.batch < batch:
                    self.entries[mail.uidl] = LedgerEntry(
                        state,
                        batch,
                        mail.index,
                        mail.list_size,
                        mail.sha256,
                        mail.head_sha256,
                        mail.retrieved_at,
                    )
            found += len(manifest)
            self.batches.append(batch)
        self.batches.sort()
        return found


def waiting_batches(store: Store, site: str) -> list[str]:
    """Batches that are committed and not yet classified, oldest first; reads the ledger, changes nothing."""
    ledger = Ledger.load(store, site)
    ledger.recover(store, "COMMITTED")
    return [batch for batch in ledger.batches if not store.exists(layout.transfers(site, batch))]
