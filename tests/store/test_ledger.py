"""The ledger: read once, written whole, merged with what another session wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
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

ONE, TWO = (f"2026112{day}T080910123Z-0000000{day}" for day in (3, 4))
NOW = datetime(2026, 11, 23, 8, 9, 11, tzinfo=timezone.utc)


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
    Ledger("edi").open(store, ONE)
    commit_manifest(store, "edi", ONE, [entry("a"), entry("b", index=1)])
    ledger = Ledger.load(store, "edi")
    assert ledger.recover(store, "KEPT") == 2
    assert {uidl: known.state for uidl, known in ledger.entries.items()} == {"a": "KEPT", "b": "KEPT"}
    assert ledger.batches == [ONE]
    ledger.save(store)
    again = Ledger.load(store, "edi")
    assert again.announced == [ONE] and again.recover(store, "KEPT") == 0


def test_a_session_without_a_manifest_may_still_run(store: Store) -> None:
    """Its batch is remembered until it is committed, or for two days."""
    Ledger("edi").open(store, ONE)
    for hours, announced in ((1, [ONE]), (47, [ONE]), (49, [])):
        ledger = Ledger.load(store, "edi")
        assert ledger.recover(store, "KEPT") == 0
        ledger.settle(store, NOW + timedelta(hours=hours))
        ledger.save(store)
        assert Ledger.load(store, "edi").announced == announced


def test_a_batch_stays_announced_until_a_ledger_has_it_and_its_lines_are_published(store: Store) -> None:
    """Classified first: the session that follows still learns its mails from the manifest."""
    Ledger("edi").open(store, ONE)
    commit_manifest(store, "edi", ONE, [entry("a")])
    for lines, waiting, announced in ((False, [ONE], [ONE]), (True, [], [])):
        if lines:
            store.put(layout.transfers("edi", ONE), b"")
        ledger = Ledger.load(store, "edi")
        ledger.recover(store, "KEPT")
        ledger.settle(store, NOW)
        assert Ledger.load(store, "edi").announced == [ONE], "nothing is forgotten before it is written"
        ledger.save(store)
        assert (ledger.batches, Ledger.load(store, "edi").announced) == (waiting, announced)
        assert list(Ledger.load(store, "edi").entries) == ["a"]


def test_a_batch_that_will_have_no_manifest_is_forgotten(store: Store) -> None:
    ledger = Ledger("edi")
    ledger.open(store, ONE)
    ledger.close(ONE, committed=False)
    ledger.save(store)
    assert Ledger.load(store, "edi").announced == []


def test_two_saves_in_the_same_instant_lose_no_batch(
    any_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is written between the look at what is there and the write."""
    first, second = Ledger.load(any_store, "edi"), Ledger.load(any_store, "edi")
    for ledger, batch, uidl in ((first, ONE, "a"), (second, TWO, "b")):
        ledger.open(any_store, batch)
        commit_manifest(any_store, "edi", batch, [entry(uidl, batch)])
        ledger.entries[uidl] = known("DELETED", batch)
        ledger.close(batch, committed=True)
    replace = any_store.replace

    def late(key: str, data: bytes | Iterator[bytes]) -> None:
        monkeypatch.undo()
        second.save(any_store)
        replace(key, data)

    monkeypatch.setattr(any_store, "replace", late)
    first.save(any_store)
    assert waiting_batches(any_store, "edi") == [ONE, TWO]
    third = Ledger.load(any_store, "edi")
    third.recover(any_store, "KEPT")
    assert list(third.entries) == ["a", "b"]


@pytest.mark.parametrize("ends_first", [True, False])
def test_a_session_that_is_taken_over_may_still_live(store: Store, ends_first: bool) -> None:
    """Between its manifest and its last write another one recovers its batch; both end, in either order."""
    living = Ledger.load(store, "edi")
    living.open(store, ONE)
    commit_manifest(store, "edi", ONE, [entry("a")])
    other = Ledger.load(store, "edi")
    other.recover(store, "DELETE_PENDING")
    living.entries["a"] = known("DELETED")
    living.close(ONE, committed=True)
    for ledger in (living, other) if ends_first else (other, living):
        ledger.save(store)
    ended = Ledger.load(store, "edi")
    assert (ended.batches, ended.announced, list(ended.entries)) == ([ONE], [ONE], ["a"])


def test_what_a_later_session_knows_of_a_mail_outlives_the_recovery_of_an_earlier_one(store: Store) -> None:
    ledger = Ledger("edi", {"a": known("DELETED"), "b": known("KEPT", TWO)}, announced=[ONE])
    commit_manifest(store, "edi", ONE, [entry("a"), entry("b", index=1), entry("c", index=2)])
    ledger.recover(store, "DELETE_PENDING")
    assert {uidl: one.state for uidl, one in ledger.entries.items()} == {
        "a": "DELETED",
        "b": "KEPT",
        "c": "DELETE_PENDING",
    }


def test_batches_wait_until_their_lines_are_published(store: Store) -> None:
    ledger = Ledger("edi", batches=[ONE])
    ledger.open(store, TWO)
    ledger.save(store)
    commit_manifest(store, "edi", TWO, [entry("b", TWO)])
    assert waiting_batches(store, "edi") == [ONE, TWO]
    store.put(layout.transfers("edi", ONE), b"")
    assert waiting_batches(store, "edi") == [TWO]


@pytest.mark.parametrize("junk", [b"", b"{", b"[]", b'{"entries": 1}', b"\xff"])
def test_a_broken_ledger_is_named_with_the_way_out(store: Store, junk: bytes) -> None:
    store.replace(layout.ledger("edi"), junk)
    with pytest.raises(StoreCorrupt, match="Move it away"):
        Ledger.load(store, "edi")
