"""The spool: exact octets in segments, and what the manifest says of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pop3_gateway.errors import AlreadyStored, CommandRefused, StoreCorrupt
from airflow_pop3_gateway.store import Store, layout, spool
from airflow_pop3_gateway.store.spool import SpoolWriter, commit_manifest, open_mail, read_manifest

BATCH = "20261123T080910123Z-00000001"
MAIL = b"Message-ID: <1@a>\r\nSubject: one\r\n two\r\nFrom: a@a\r\n\r\nbody\r\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path)


def writer(store: Store, sizes: dict[int, int], most: int | None = None) -> SpoolWriter:
    names = {number: f"uid{number}" for number in sizes}
    return SpoolWriter(store, "edi", BATCH, names, sizes, lambda: "2026-11-23T08:09:10.123Z", most)


def give(sink: SpoolWriter, number: int, *chunks: bytes) -> None:
    sink.begin(number)
    for chunk in chunks:
        sink.write(memoryview(chunk))
    sink.end(number)


def test_a_mail_comes_back_octet_for_octet(store: Store) -> None:
    sink = writer(store, {1: len(MAIL), 2: 3})
    give(sink, 1, MAIL)
    give(sink, 2, b"a\n\xff")
    sink.close()
    assert b"".join(open_mail(store, sink.entries[1])) == MAIL
    assert b"".join(open_mail(store, sink.entries[2])) == b"a\n\xff"


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, len(MAIL)), max_size=8))
def test_the_entry_does_not_depend_on_how_the_octets_arrive(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    points = [0, *sorted(cuts), len(MAIL)]
    sink = writer(Store.at(tmp_path_factory.mktemp("spool")), {1: len(MAIL)})
    give(sink, 1, *(MAIL[a:b] for a, b in zip(points, points[1:], strict=False)))
    entry = sink.entries[1]
    assert entry.sha256 == hashlib.sha256(MAIL).hexdigest()
    assert entry.head_sha256 == hashlib.sha256(MAIL[: MAIL.index(b"body")]).hexdigest()
    assert entry.headers == {"message-id": "<1@a>", "subject": "one two", "from": "a@a"}
    sink.discard()


def test_a_large_mail_gets_a_segment_of_its_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "ALONE_BYTES", 100)
    sink = writer(store, {1: 10, 2: 500, 3: 10, 4: 10})
    for number, size in ((1, 10), (2, 500), (3, 10), (4, 10)):
        give(sink, number, b"x" * size)
    sink.close()
    assert [sink.entries[n].segment for n in (1, 2, 3, 4)] == [layout.segment_name(n) for n in (0, 1, 2, 2)]
    assert store.names(layout.spool("edi", BATCH)) == [layout.segment_name(n) for n in (0, 1, 2)]


def test_a_mail_that_grows_past_its_bound_is_dropped_and_the_next_is_whole(store: Store) -> None:
    """LIST may lie; the bound holds while the octets stream."""
    sink = writer(store, {1: 5, 2: len(MAIL)}, most=100)
    give(sink, 1, *(b"x" * 60 for _ in range(5)))
    give(sink, 2, MAIL)
    sink.close()
    assert sink.too_large == [1]
    assert b"".join(open_mail(store, sink.entries[2])) == MAIL


def test_an_empty_answer_is_no_mail(store: Store) -> None:
    sink = writer(store, {1: 5})
    give(sink, 1)
    sink.close()
    assert sink.empty == [1] and not sink.entries


def test_a_refused_mail_is_noted_and_the_others_go_on(store: Store) -> None:
    sink = writer(store, {1: 5, 2: 1})
    sink.refused(1, CommandRefused("no", command="RETR", text="no"))
    give(sink, 2, b"x")
    sink.close()
    assert list(sink.refusals) == [1] and list(sink.entries) == [2]


def test_the_manifest_is_the_commit_and_is_created_once(store: Store) -> None:
    sink = writer(store, {1: len(MAIL)})
    give(sink, 1, MAIL)
    sink.close()
    assert read_manifest(store, "edi", BATCH) is None
    commit_manifest(store, "edi", BATCH, list(sink.entries.values()))
    assert read_manifest(store, "edi", BATCH) == list(sink.entries.values())
    with pytest.raises(AlreadyStored):
        commit_manifest(store, "edi", BATCH, [])


def test_octets_that_changed_in_the_store_are_never_taken_for_the_mail(store: Store) -> None:
    sink = writer(store, {1: len(MAIL)})
    give(sink, 1, MAIL)
    sink.close()
    key = f"{layout.spool('edi', BATCH)}/{layout.segment_name(0)}"
    store.replace(key, MAIL.replace(b"body", b"bogy"))
    with pytest.raises(StoreCorrupt, match="not those that were retrieved"):
        list(open_mail(store, sink.entries[1]))


def test_a_broken_manifest_is_corruption(store: Store) -> None:
    store.put(layout.manifest("edi", BATCH), b'{"uidl": 1}\n')
    with pytest.raises(StoreCorrupt, match="cannot be read"):
        read_manifest(store, "edi", BATCH)
