"""The spool: exact octets in segments, and what the manifest says of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pop3_gateway.errors import AlreadyStored, CommandRefused, StoreCorrupt
from airflow_pop3_gateway.records import MANIFEST_SCHEMA, ManifestEntry
from airflow_pop3_gateway.store import Store, layout, spool
from airflow_pop3_gateway.store.spool import LINES, SpoolWriter, open_mail, read_manifest

BATCH = "20261123T080910123Z-00000001"
LATIN_1 = st.characters(max_codepoint=0xFF)  # what a UIDL is decoded to
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


def committed(sink: SpoolWriter, store: Store) -> dict[int, ManifestEntry]:
    """The lines of the manifest, by message number."""
    sink.close()
    sink.commit()
    return dict(zip(sink.arrived, read_manifest(store, "edi", BATCH) or (), strict=True))


def test_a_mail_comes_back_octet_for_octet(store: Store) -> None:
    sink = writer(store, {1: len(MAIL), 2: 3})
    give(sink, 1, MAIL)
    give(sink, 2, b"a\n\xff")
    lines = committed(sink, store)
    assert b"".join(open_mail(store, lines[1])) == MAIL
    assert b"".join(open_mail(store, lines[2])) == b"a\n\xff"


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(0, len(MAIL)), max_size=8))
def test_the_entry_does_not_depend_on_how_the_octets_arrive(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int]
) -> None:
    points = [0, *sorted(cuts), len(MAIL)]
    store = Store.at(tmp_path_factory.mktemp("spool"))
    sink = writer(store, {1: len(MAIL)})
    give(sink, 1, *(MAIL[a:b] for a, b in zip(points, points[1:], strict=False)))
    entry = committed(sink, store)[1]
    assert entry.sha256 == hashlib.sha256(MAIL).hexdigest()
    assert entry.head_sha256 == hashlib.sha256(MAIL[: MAIL.index(b"body")]).hexdigest()
    assert entry.headers == {"message-id": "<1@a>", "subject": "one two", "from": "a@a"}


def test_a_large_mail_gets_a_segment_of_its_own(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "ALONE_BYTES", 100)
    sink = writer(store, {1: 10, 2: 500, 3: 10, 4: 10})
    for number, size in ((1, 10), (2, 500), (3, 10), (4, 10)):
        give(sink, number, b"x" * size)
    lines = committed(sink, store)
    assert [lines[n].segment for n in (1, 2, 3, 4)] == [layout.segment_name(n) for n in (0, 1, 2, 2)]
    segments = [layout.segment_name(n) for n in (0, 1, 2)]
    assert store.names(layout.spool("edi", BATCH)) == ["manifest.jsonl", *segments]


def test_a_mail_that_grows_past_its_bound_is_dropped_and_the_next_is_whole(store: Store) -> None:
    """LIST may lie; the bound holds while the octets stream."""
    sink = writer(store, {1: 5, 2: len(MAIL)}, most=100)
    give(sink, 1, *(b"x" * 60 for _ in range(5)))
    give(sink, 2, MAIL)
    lines = committed(sink, store)
    assert sink.too_large == [1]
    assert b"".join(open_mail(store, lines[2])) == MAIL


def test_an_empty_answer_is_no_mail(store: Store) -> None:
    sink = writer(store, {1: 5})
    give(sink, 1)
    sink.close()
    assert sink.empty == [1] and not sink.arrived


def test_a_refused_mail_is_noted_and_the_others_go_on(store: Store) -> None:
    sink = writer(store, {1: 5, 2: 1})
    sink.refused(1, CommandRefused("no", command="RETR", text="no"))
    give(sink, 2, b"x")
    sink.close()
    assert list(sink.refusals) == [1] and list(sink.arrived) == [2]


def test_the_manifest_is_the_commit_and_is_created_once(store: Store) -> None:
    sink, second = writer(store, {1: len(MAIL)}), writer(store, {1: len(MAIL)})
    give(sink, 1, MAIL)
    give(second, 1, MAIL)
    sink.close()
    assert read_manifest(store, "edi", BATCH) is None
    assert len(committed(sink, store)) == 1
    with pytest.raises(AlreadyStored):
        second.commit()
    second.discard()


def test_lines_that_were_flushed_before_the_commit_are_not_seen(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A manifest of any length costs the memory of one buffer."""
    monkeypatch.setattr(spool, "GATHER_BYTES", 100)
    sink = writer(store, dict.fromkeys(range(50), 1))
    for number in range(50):
        give(sink, number, b"x")
    assert read_manifest(store, "edi", BATCH) is None
    assert [line.index for line in committed(sink, store).values()] == list(range(50))


def test_a_session_that_is_given_up_leaves_nothing_to_be_seen(store: Store) -> None:
    sink = writer(store, {1: len(MAIL)})
    give(sink, 1, MAIL)
    sink.discard()
    sink.discard()
    assert store.names(layout.spool("edi", BATCH)) == []


def test_a_mail_that_was_stored_before_gets_no_line(store: Store) -> None:
    asked: list[tuple[int, str, int]] = []

    def stored_before(number: int, sha256: str, list_size: int) -> bool:
        asked.append((number, sha256, list_size))
        return number == 1

    names = {1: "a", 2: "b"}
    sink = SpoolWriter(store, "edi", BATCH, names, {1: 7, 2: 8}, lambda: "", stored_before=stored_before)
    give(sink, 1, b"one")
    give(sink, 2, b"two")
    lines = committed(sink, store)
    assert [(line.uidl, line.index) for line in lines.values()] == [("b", 0)]
    assert asked == [(1, hashlib.sha256(b"one").hexdigest(), 7), (2, hashlib.sha256(b"two").hexdigest(), 8)]


@settings(max_examples=50, deadline=None)
@given(
    uidl=st.text(LATIN_1),
    subject=st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])),
)
def test_whatever_stands_in_a_line_comes_back(
    tmp_path_factory: pytest.TempPathFactory, uidl: str, subject: str
) -> None:
    store = Store.at(tmp_path_factory.mktemp("spool"))
    sink = SpoolWriter(store, "edi", BATCH, {1: uidl}, {1: 3}, lambda: "2026-11-23T08:09:10.123Z")
    give(sink, 1, b"subject:" + subject.encode() + b"\r\n\r\n")
    sink.close()
    sink.commit()
    (entry,) = read_manifest(store, "edi", BATCH) or ()
    (line,) = store.read(layout.manifest("edi", BATCH)).splitlines()
    assert json.loads(line) == msgspec.to_builtins(entry)
    assert entry.schema == MANIFEST_SCHEMA and entry.uidl == uidl
    assert entry.headers["subject"] == subject.lstrip(" \t")[:998]


def test_a_batch_has_as_many_lines_as_mails(store: Store) -> None:
    """They are written some at a time."""
    sizes = dict.fromkeys(range(1, 2 * LINES + 2), 9)
    sink = writer(store, sizes)
    for number in sizes:
        give(sink, number, b"Subject: %d\r\n\r\n" % number)
    mails = committed(sink, store)
    assert [mails[number].headers["subject"] for number in sizes] == [str(number) for number in sizes]


def test_octets_that_changed_in_the_store_are_never_taken_for_the_mail(store: Store) -> None:
    sink = writer(store, {1: len(MAIL)})
    give(sink, 1, MAIL)
    entry = committed(sink, store)[1]
    key = f"{layout.spool('edi', BATCH)}/{layout.segment_name(0)}"
    store.replace(key, MAIL.replace(b"body", b"bogy"))
    with pytest.raises(StoreCorrupt, match="not those that were retrieved"):
        list(open_mail(store, entry))


def test_a_broken_manifest_is_corruption(store: Store) -> None:
    store.put(layout.manifest("edi", BATCH), b'{"uidl": 1}\n')
    with pytest.raises(StoreCorrupt, match="cannot be read"):
        read_manifest(store, "edi", BATCH)
