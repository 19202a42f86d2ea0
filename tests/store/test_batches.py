"""Mails of a batch are cut out of shared blocks, or streamed; they are the same octets either way."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_pop3_gateway.errors import StoreCorrupt
from airflow_pop3_gateway.records import ManifestEntry
from airflow_pop3_gateway.store import Store, batches, layout
from airflow_pop3_gateway.store.batches import BatchReader
from airflow_pop3_gateway.store.spool import SpoolWriter, read_manifest

BATCH = "20261123T080910123Z-00000001"


class CountingStore(Store):
    """Counts what is read."""

    reads = 0

    def stream(self, key: str, offset: int, length: int, chunk: int = 1 << 20) -> Iterator[bytes]:
        self.reads += 1
        return super().stream(key, offset, length, chunk)


def spooled(base: Path, mails: list[bytes]) -> tuple[CountingStore, BatchReader, list[ManifestEntry]]:
    store = CountingStore.at(base)
    assert isinstance(store, CountingStore)
    numbers = range(len(mails))
    names, sizes = {n: str(n) for n in numbers}, {n: len(mails[n]) for n in numbers}
    sink = SpoolWriter(store, "edi", BATCH, names, sizes, lambda: "2026-11-23T08:09:10.123Z")
    for number, mail in enumerate(mails):
        sink.begin(number)
        sink.write(mail)
        sink.end(number)
    sink.close()
    sink.commit()
    manifest = read_manifest(store, "edi", BATCH)
    assert manifest is not None
    return store, BatchReader(store, manifest), manifest


@pytest.mark.parametrize("block", [7, 100, 1000, 1 << 20])
def test_every_mail_is_cut_out_as_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(batches, "BLOCK_BYTES", block)
    monkeypatch.setattr(batches, "SMALL_BYTES", min(block, 300))
    chance = random.Random(7)
    mails = [chance.randbytes(chance.choice((1, 6, 7, 8, 99, 301, 1500))) for _ in range(60)]
    _, reader, manifest = spooled(tmp_path, mails)
    for number in chance.sample(range(60), 60):
        assert b"".join(reader.mail(manifest[number])) == mails[number]


def test_a_thousand_small_mails_cost_one_read(tmp_path: Path) -> None:
    store, reader, manifest = spooled(tmp_path, [b"x" * 1000] * 1000)
    for entry in manifest:
        assert len(b"".join(reader.mail(entry))) == 1000
    assert store.reads == 1


def test_rot_in_a_block_is_found(tmp_path: Path) -> None:
    store, reader, manifest = spooled(tmp_path, [b"abc", b"def"])
    store.replace(f"{layout.spool('edi', BATCH)}/{layout.segment_name(0)}", b"abcdeX")
    assert b"".join(reader.mail(manifest[0])) == b"abc"
    with pytest.raises(StoreCorrupt, match="not those that were retrieved"):
        list(reader.mail(manifest[1]))
