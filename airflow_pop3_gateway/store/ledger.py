"""The ledger of a site: what is known of each UIDL, and which batches still wait to be classified.

Strategy: one JSON object, read once and rewritten whole by the session that owns the maildrop: before the first
RETR (it names the batch that is about to be written) and after QUIT. What happened in between is in the manifest,
so a session that died is told from these two alone. Another session's write in the meantime is noticed by the
generation and merged, never overwritten.

Invariant: a UIDL leaves the ledger only when the server no longer lists it; a batch leaves it only when its lines
lie in ``transfers/``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_pop3_gateway.errors import StoreCorrupt
from airflow_pop3_gateway.records import LEDGER_SCHEMA, LedgerEntry, LedgerState, ManifestEntry
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.store.objects import Store
from airflow_pop3_gateway.store.spool import read_manifest


@dataclass
class Ledger:
    """The journal of one maildrop, in memory; :meth:`save` writes it back.

    :ivar entries: UIDL → what is known; :ivar batches: committed, not yet classified, oldest first;
        :ivar open_batch: announced, perhaps never committed; :ivar refusals: UIDL → how often the server or a bound
        kept us from it.
    """

    site: str
    entries: dict[str, LedgerEntry] = field(default_factory=dict)
    batches: list[str] = field(default_factory=list)
    open_batch: str | None = None
    refusals: dict[str, int] = field(default_factory=dict)
    generation: int = 0
    _stored: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def load(cls, store: Store, site: str) -> Ledger:
        """The ledger of a site; a new one where there is none.

        :raises StoreCorrupt: when the object is there and cannot be read; restore it or move it away: a missing
            ledger is rebuilt at the price of a second download, and duplicates are still recognised.
        """
        key = layout.ledger(site)
        data = store.find(key)
        if data is None:
            return cls(site)._as_stored()
        try:
            document: Mapping[str, Any] = json.loads(data)
            ledger = cls(
                site,
                {uidl: LedgerEntry.from_json(entry) for uidl, entry in document["entries"].items()},
                list(document["batches"]),
                document["open_batch"],
                dict(document["refusals"]),
                int(document["generation"]),
            )
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise StoreCorrupt(
                f"{store.address(key)} is not a ledger ({error}). Move it away: mails are then downloaded again and "
                "recognised as duplicates, none is lost.",
                key=key,
            ) from None
        return ledger._as_stored()

    def _as_stored(self) -> Ledger:
        self._stored = self._document()
        return self

    def _document(self) -> dict[str, Any]:
        return {
            "schema": LEDGER_SCHEMA,
            "site": self.site,
            "open_batch": self.open_batch,
            "batches": list(self.batches),
            "refusals": dict(self.refusals),
            "entries": dict(self.entries),
        }

    def save(self, store: Store) -> None:
        """Write the whole ledger if it changed; what another session wrote since :meth:`load` is merged in."""
        if self._document() == self._stored:
            return
        stored = Ledger.load(store, self.site)
        if stored.generation != self.generation:
            self.entries = {**stored.entries, **self.entries}
            self.batches = sorted({*stored.batches, *self.batches})
        self.generation = stored.generation + 1
        self._as_stored()
        entries = {uidl: entry.to_json() for uidl, entry in self.entries.items()}
        document = {**self._stored, "generation": self.generation, "entries": entries}
        store.replace(layout.ledger(self.site), json.dumps(document, separators=(",", ":")).encode())

    def add(self, entry: ManifestEntry, state: LedgerState, stored_at: str, why: str = "") -> None:
        """Note a mail that a manifest committed."""
        self.entries[entry.uidl] = LedgerEntry(
            state,
            entry.batch,
            entry.index,
            entry.list_size,
            entry.sha256,
            entry.head_sha256,
            stored_at,
            None,
            why,
        )

    def recover(self, store: Store, state: LedgerState) -> int:
        """Take over the batch of a session that died between its manifest and its last write.

        :param state: what the site's retention makes of a mail that was just committed.
        :returns: how many mails were found in its manifest.
        """
        batch, self.open_batch = self.open_batch, None
        manifest = read_manifest(store, self.site, batch) if batch else None
        if batch is None or manifest is None:
            return 0
        for entry in manifest:
            self.add(entry, state, entry.retrieved_at)
        self.batches = sorted({*self.batches, batch})
        return len(manifest)


def waiting_batches(store: Store, site: str) -> list[str]:
    """Batches that are committed and not yet classified, oldest first; reads the ledger, changes nothing."""
    ledger = Ledger.load(store, site)
    ledger.recover(store, "COMMITTED")
    return [batch for batch in ledger.batches if not store.exists(layout.transfers(site, batch))]
