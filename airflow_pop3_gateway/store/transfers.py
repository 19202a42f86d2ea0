"""Transfer records, and the lines of a classified batch.

Strategy: a record is created once, under the digest of the message's identity; whoever finds it there has met a
duplicate, or his own work of before a crash, and tells the two apart by the place in the spool the record names.
The lines of a batch are published last: that they exist says that nothing of the batch is left to do.

Invariant: records and lines are never rewritten.
"""

from __future__ import annotations

import io
import json
from collections.abc import Container, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from airflow_pop3_gateway.errors import AlreadyStored, StoreCorrupt
from airflow_pop3_gateway.records import TransferRecord, as_json
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.store.groups import Group
from airflow_pop3_gateway.store.objects import Store

TOGETHER = 8
"""Batches whose lines are read at once, where the latest are wanted: the work is waiting for the store."""

Named = tuple[str, list[dict[str, Any]]]


def create_record(store: Store, record: TransferRecord) -> TransferRecord:
    """Publish a record, or give back the one that was there first."""
    return record if publish_record(store, record) else read_record(store, record.key)


def publish_record(store: Store, record: TransferRecord, group: Group | None = None) -> bool:
    """Publish a record, or leave it to the group. :returns: that there was none under its key."""
    try:
        store.put(layout.record(record.key), as_json(record), group)
    except AlreadyStored:
        return False
    return True


def read_record(store: Store, key: str) -> TransferRecord:
    """The record under a key. :raises StoreCorrupt: when it is missing or not a record."""
    data = store.read(layout.record(key))
    try:
        return TransferRecord.from_json(json.loads(data))
    except (ValueError, TypeError) as error:
        raise StoreCorrupt(f"{layout.record(key)} cannot be read: {error}", key=key) from None


class TransferLines:
    """Writes the lines of a batch one by one; :meth:`commit` publishes them."""

    def __init__(self, store: Store, site: str, batch: str) -> None:
        self.key = layout.transfers(site, batch)
        self._writer = store.create(self.key)

    def add(self, line: bytes) -> None:
        """Append one, with its line end."""
        self._writer.write(line)

    def commit(self) -> None:
        """Publish; that another worker published the same lines first is no error."""
        try:
            self._writer.commit()
        except AlreadyStored:
            self.discard()

    def discard(self) -> None:
        """Forget the lines; harmless after :meth:`commit`."""
        self._writer.discard()


def read_lines(store: Store, site: str, batch: str) -> Iterator[dict[str, Any]] | None:
    """The lines of a batch, ``None`` when it is not classified yet."""
    data = store.find(layout.transfers(site, batch))
    return None if data is None else map(json.loads, io.BytesIO(data))


def record_of(line: Mapping[str, Any]) -> TransferRecord:
    """The record a line was made of, without its evidence. :raises StoreCorrupt: when the line is none of ours."""
    try:
        return TransferRecord.from_json({**line, "leaves": (), "defects": ()})
    except TypeError as error:
        key = str(line.get("key", ""))
        raise StoreCorrupt(f"the line of record {key} cannot be read: {error}", key=key) from None


def latest_batches(
    store: Store, days: Iterable[datetime], site: str | None = None
) -> Iterator[list[dict[str, Any]]]:
    """The lines of each batch of some days, the latest batch and the last line of each first.

    :param days: in the order they are looked at; a batch belongs to the day of its session (UTC).
    :param site: ``None`` for every site.
    """
    keys = _latest_keys(store, days, site)
    with ThreadPoolExecutor(TOGETHER) as pool:
        while some := list(islice(keys, TOGETHER)):
            for data in pool.map(store.read, some):
                yield [json.loads(line) for line in reversed(data.splitlines())]


def _latest_keys(store: Store, days: Iterable[datetime], site: str | None) -> Iterator[str]:
    for day in days:
        folder = layout.transfers_of_day(day)
        found = [(layout.batch_of_session(name.removesuffix(".jsonl")), name) for name in store.names(folder)]
        for batch, name in sorted(found, reverse=True):
            if batch and (site is None or name == f"{layout.session(site, batch)}.jsonl"):
                yield f"{folder}/{name}"


def lines_since(store: Store, since: datetime, now: datetime, passed_over: Container[str]) -> Iterator[Named]:
    """The lines of the batches of every site from a day on, oldest day first, with what each batch is called.

    :param passed_over: names of batches that are not read.
    """
    for day in range((now.date() - since.date()).days + 1):
        folder = layout.transfers_of_day(since + timedelta(days=day))
        for file in store.names(folder):
            name = file.removesuffix(".jsonl")
            if name not in passed_over:
                yield name, [json.loads(line) for line in store.read(f"{folder}/{file}").splitlines()]
