"""The ledger: read once, written whole, merged with what another session wrote."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from airflow_pop3_gateway.errors import StoreCorrupt
from airflow_pop3_gateway.records import (
    LEDGER_SCHEMA,
    MANIFEST_SCHEMA,
    LedgerEntry,
    LedgerState,
    ManifestEntry,
)
from airflow_pop3_gateway.store import Store, layout
from airflow_pop3_gateway.store.ledger import PIECE, Ledger, waiting_batches

ONE, TWO = "20261123T080910123Z-00000001", "20261123T080910124Z-00000002"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path)


def entry(uidl: str, batch: str = ONE, index: int = 0) -> ManifestEntry:
    digest = "0" * 64
    return ManifestEntry(
        MANIFEST_SCHEMA,
        "edi",
        batch,
        index,
        uidl,
        "segment-0000.eml",
        0,
        9,
        digest,
        digest,
        9,
        "2026-11-23T08:09:10.123Z",
        {},
    )


def known(state: LedgerState, batch: str = ONE, index: int = 0, why: str = "") -> LedgerEntry:
    digest = "0" * 64
    return LedgerEntry(state, batch, index, 9, digest, digest, "2026-11-23T08:09:10.123Z", why=why)


def commit_manifest(store: Store, site: str, batch: str, entries: list[ManifestEntry]) -> None:
    store.put(layout.manifest(site, batch), msgspec.json.Encoder().encode_lines(entries))


def test_a_site_nobody_polled_has_an_empty_ledger(store: Store) -> None:
    assert Ledger.load(store, "edi") == Ledger("edi")


@pytest.mark.parametrize("uidl", ["plain", "with space", "\xff\x85 raw octets", 'quo"te', "x" * 500])
def test_any_uidl_survives_the_way_to_the_store_and_back(store: Store, uidl: str) -> None:
    ledger = Ledger("edi")
    ledger.entries[uidl] = known("KEPT", why="left")
    ledger.save(store)
    assert Ledger.load(store, "edi").entries == ledger.entries


def test_thousands_of_entries_are_one_json_object(store: Store) -> None:
    """They are written in pieces."""
    ledger = Ledger("edi", refusals={"c": 2})
    ledger.entries = {str(index): known("KEPT", index=index, why='le"ft') for index in range(2 * PIECE + 1)}
    ledger.save(store)
    document = json.loads(store.read(layout.ledger("edi")))
    assert document["entries"] == {uidl: msgspec.to_builtins(one) for uidl, one in ledger.entries.items()}
    assert (document["schema"], document["site"], document["refusals"]) == (LEDGER_SCHEMA, "edi", {"c": 2})


def test_an_unchanged_ledger_is_not_written_again(store: Store) -> None:
    ledger = Ledger("edi", batches=[ONE])
    ledger.save(store)
    again = Ledger.load(store, "edi")
    again.save(store)
    assert Ledger.load(store, "edi").generation == 1


def test_two_sessions_at_once_lose_neither_batches_nor_entries(store: Store) -> None:
    """A server without a lock, and two workers: the later save merges."""
    first, second = Ledger.load(store, "edi"), Ledger.load(store, "edi")
    first.entries["a"] = known("DELETED")
    first.batches.append(ONE)
    second.entries["b"] = known("KEPT", TWO)
    second.batches.append(TWO)
    first.save(store)
    second.save(store)
    merged = Ledger.load(store, "edi")
    assert set(merged.entries) == {"a", "b"}
    assert merged.batches == [ONE, TWO]


def test_a_session_that_died_after_its_manifest_is_taken_over(store: Store) -> None:
    Ledger("edi", open_batch=ONE).save(store)
    commit_manifest(store, "edi", ONE, [entry("a"), entry("b", index=1)])
    ledger = Ledger.load(store, "edi")
    assert ledger.recover(store, "KEPT") == 2
    assert {uidl: known.state for uidl, known in ledger.entries.items()} == {"a": "KEPT", "b": "KEPT"}
    assert ledger.batches == [ONE] and ledger.open_batch is None


def test_a_session_that_died_before_its_manifest_left_nothing(store: Store) -> None:
    Ledger("edi", open_batch=ONE).save(store)
    store.put(f"{layout.spool('edi', ONE)}/segment-0000.eml", b"half a ma")
    ledger = Ledger.load(store, "edi")
    assert ledger.recover(store, "KEPT") == 0
    assert ledger == Ledger("edi", generation=1)


def test_batches_wait_until_their_lines_are_published(store: Store) -> None:
    Ledger("edi", batches=[ONE], open_batch=TWO).save(store)
    commit_manifest(store, "edi", TWO, [entry("b", TWO)])
    assert waiting_batches(store, "edi") == [ONE, TWO]
    store.put(layout.transfers("edi", ONE), b"")
    assert waiting_batches(store, "edi") == [TWO]


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"entries": 1}', b"\xff"])
def test_a_broken_ledger_is_named_with_the_way_out(store: Store, junk: bytes) -> None:
    store.replace(layout.ledger("edi"), junk)
    with pytest.raises(StoreCorrupt, match="Move it away"):
        Ledger.load(store, "edi")
