"""Classify: each mail of a batch becomes one transfer record, its files, and a receipt that waits.

The order of the steps is the guarantee, for one mail::

    1  read the octets from the spool, decide and extract in one pass      files, each all at once
    2  create the record under the digest of its identity                  the commit, and the duplicate check
    3  put the receipt that was asked for into the outbox                  nothing is sent here

and for a batch: its lines in ``transfers/`` come last. Keys of files are made from the mail's place in the spool, so
a second run writes the same names and finds its own work; a record that names another place is a duplicate.

Invariant: one record for each mail of a manifest, whatever is in the mail; a mail that cannot be understood is
disposed of as ``error_mail_disposal`` says and stays in the spool; only trouble with the store stops a batch.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from airflow_pop3_gateway.config import Application, RemoteSite
from airflow_pop3_gateway.errors import StoreCorrupt
from airflow_pop3_gateway.gateway.applications import Chooser, Octets, proposed_application
from airflow_pop3_gateway.gateway.deposit import Deposit
from airflow_pop3_gateway.gateway.retrieve import Progress, no_progress
from airflow_pop3_gateway.records import Classified, ManifestEntry, TransferRecord
from airflow_pop3_gateway.store import Store, layout
from airflow_pop3_gateway.store.batches import BatchReader
from airflow_pop3_gateway.store.ledger import waiting_batches
from airflow_pop3_gateway.store.spool import read_manifest
from airflow_pop3_gateway.store.transfers import TransferLines, read_lines, record_of

log = logging.getLogger(__name__)

WORKERS = 8
"""Mails of a batch that are understood at once: the work waits for the store more than for the processor."""
WINDOW = 512
"""Mails that are on the way at once, so that a batch of any length needs bounded memory."""


def classify(
    site: RemoteSite,
    store: Store,
    batches: Sequence[str] | None = None,
    *,
    choose: Chooser = proposed_application,
    applications: Mapping[str, Application] | None = None,
    on_progress: Progress = no_progress,
) -> Classified:
    """Classify batches of a site; those that are done already are counted, not done again.

    :param batches: names of batches; ``None`` for all that wait.
    :param choose: names the Application of a mail from its header (the Gateway's ExitPop3GetAppli).
    :param applications: Applications with options of their own, by name.
    :param on_progress: called with (mails, octets, mails of the batch) after each mail.
    :raises StoreCorrupt: when a batch was never committed, or its octets are not those that were retrieved.
    :raises StoreUnavailable: when the store fails; run again, nothing is done twice.
    """
    started = time.monotonic()
    tally = _Tally(site.name)
    deposit = Deposit(site, store, choose, applications or {})
    for batch in waiting_batches(store, site.name) if batches is None else batches:
        lines = read_lines(store, site.name, batch)
        if lines is None:
            records = _classify_batch(deposit, batch, on_progress)
        else:
            records = map(record_of, lines)
        tally.add(batch, records)
    return msgspec.structs.replace(tally.result(), seconds=round(time.monotonic() - started, 3))


def _classify_batch(deposit: Deposit, batch: str, on_progress: Progress) -> Iterator[TransferRecord]:
    """The records of a batch, whose lines are published when the last one was taken."""
    manifest = read_manifest(deposit.store, deposit.site.name, batch)
    if manifest is None:
        raise StoreCorrupt(
            f"{deposit.site.name}: batch {batch} has no manifest; take batch names from a retrieve result.",
            batch=batch,
        )
    reader = BatchReader(deposit.store, manifest)

    lines = TransferLines(deposit.store, deposit.site.name, batch)
    octets = 0
    try:
        for count, record in enumerate(_in_order(deposit, reader, manifest), 1):
            lines.add(record.line())
            yield record
            octets += record.raw.length
            on_progress(count, octets, len(manifest))
        lines.commit()
    finally:
        lines.discard()


def _in_order(
    deposit: Deposit, reader: BatchReader, manifest: Sequence[ManifestEntry]
) -> Iterator[TransferRecord]:
    """File mails several at once, and give the records in the order of the manifest.

    Mails that seem to have one identity wait for the first of them, so that it is the later one that is the duplicate.
    """

    def given(entry: ManifestEntry) -> tuple[ManifestEntry, Octets]:
        return entry, lambda: reader.mail(entry)

    seen: set[Any] = set()
    with ThreadPoolExecutor(WORKERS) as pool:
        for start in range(0, len(manifest), WINDOW):
            window = manifest[start : start + WINDOW]
            first: list[ManifestEntry] = []
            later: list[ManifestEntry] = []
            for entry in window:
                mark = entry.headers.get("message-id") or tuple(sorted(entry.headers.items()))
                (later if mark in seen else first).append(entry)
                seen.add(mark)
            records = deposit.file_together([given(entry) for entry in first], pool.map)
            records += [deposit.file(*given(entry)) for entry in later]
            yield from sorted(records, key=lambda record: record.raw.index)


class _Tally:
    """Counts over the records of batches, the same for work of now and of before."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._batches: list[str] = []
        self._counts: Counter[str] = Counter()
        self._types: Counter[str] = Counter()
        self._applications: Counter[str] = Counter()
        self._by_application: dict[str, dict[str, Any]] = {}

    def add(self, batch: str, records: Iterable[TransferRecord]) -> None:
        self._batches.append(batch)
        for record in records:
            rejected = record.rejected
            self._types[record.type] += 1
            self._applications[record.application] += 1
            if record.state == "ENDED":
                self._count(record)
            self._counts["messages"] += 1
            self._counts["octets"] += record.raw.length
            self._counts["files"] += len(record.files)
            self._counts["canceled"] += record.state == "CANCELED"
            self._counts["duplicates"] += rejected is not None and rejected.duplicate_of is not None
            self._counts["recovered"] += rejected is not None and record.disposal == "recover"
            if record.acknowledgment is not None and record.acknowledgment.decision == "send":
                self._counts["receipts"] += len(record.acknowledgment.receipts)

    def _count(self, record: TransferRecord) -> None:
        none = {"messages": 0, "files": 0, "octets": 0, "types": {}}
        counts = self._by_application.setdefault(record.application, none)
        counts["messages"] += 1
        counts["files"] += len(record.files)
        counts["octets"] += sum(file.size for file in record.files)
        counts["types"][record.type] = counts["types"].get(record.type, 0) + 1

    def result(self) -> Classified:
        return Classified(
            self._site,
            batches=tuple(self._batches),
            transfers=tuple(layout.transfers(self._site, batch) for batch in self._batches),
            types=dict(self._types),
            applications=dict(self._applications),
            by_application=self._by_application,
            **self._counts,
        )
