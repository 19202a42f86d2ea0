"""The one way to write: exclusive and all-or-nothing, on a folder and on S3."""

from __future__ import annotations

import errno
import os
import stat
import threading
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from airflow_pop3_gateway.errors import (
    AlreadyStored,
    ConfigurationError,
    StoreCorrupt,
    StoreError,
    StoreUnavailable,
    StoreUnsuitable,
)
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.store.writers import UPLOAD_BLOCK

LARGE = UPLOAD_BLOCK + 12_345  # goes out in parts where the store has parts


def test_what_was_put_is_read_back(any_store: Store) -> None:
    any_store.put("a/b", b"octets")
    assert any_store.read("a/b") == b"octets"
    assert any_store.exists("a/b")


def test_an_empty_object_is_an_object(any_store: Store) -> None:
    any_store.put("a/empty", b"")
    assert any_store.find("a/empty") == b""


@pytest.mark.parametrize("size", [1, LARGE])
def test_the_second_writer_of_a_key_is_told_and_changes_nothing(any_store: Store, size: int) -> None:
    any_store.put("a/b", b"1" * size)
    with pytest.raises(AlreadyStored) as told:
        any_store.put("a/b", b"2" * size)
    assert told.value.path == "a/b"
    assert any_store.read("a/b") == b"1" * size


@pytest.mark.parametrize("size", [1, LARGE])
def test_nothing_is_published_when_the_body_raises(any_store: Store, size: int) -> None:
    writer = any_store.create("a/b")
    try:
        with pytest.raises(ZeroDivisionError):
            writer.write(b"x" * size)
            raise ZeroDivisionError
    finally:
        writer.discard()
    assert not any_store.exists("a/b")
    assert any_store.names("a") == []


def test_discard_after_commit_is_harmless(any_store: Store) -> None:
    writer = any_store.create("a/b")
    writer.write(b"kept")
    writer.commit()
    writer.discard()
    assert any_store.read("a/b") == b"kept"


def test_a_large_object_keeps_its_octets(any_store: Store) -> None:
    octets = os.urandom(LARGE)
    writer = any_store.create("large")
    for start in range(0, LARGE, 1_000_003):
        writer.write(memoryview(octets)[start : start + 1_000_003])
    writer.commit()
    assert b"".join(any_store.stream("large", 0, LARGE)) == octets
    assert b"".join(any_store.stream("large", 5, 1000, chunk=7)) == octets[5:1005]


def test_a_range_past_the_end_is_corruption_not_a_short_answer(any_store: Store) -> None:
    any_store.put("short", b"12345")
    with pytest.raises(StoreCorrupt, match="ends 5 octets early"):
        list(any_store.stream("short", 0, 10))


def test_missing_is_none_to_find_and_corruption_to_read(any_store: Store) -> None:
    assert any_store.find("nowhere") is None
    with pytest.raises(StoreCorrupt, match="missing"):
        any_store.read("nowhere")
    with pytest.raises(StoreCorrupt, match="missing"):
        list(any_store.stream("nowhere", 0, 1))


def test_replace_publishes_over_an_older_object(any_store: Store) -> None:
    any_store.replace("ledger", b"one")
    any_store.replace("ledger", b"two")
    assert any_store.read("ledger") == b"two"


def test_names_and_walk_list_what_is_published_and_nothing_else(any_store: Store) -> None:
    any_store.put("a/1", b"")
    any_store.put("a/b/2", b"")
    unfinished = any_store.create("a/3")
    unfinished.write(b"not yet")
    assert any_store.names("a") == ["1", "b"]
    assert list(any_store.walk("a")) == ["a/1", "a/b/2"]
    assert any_store.names("nothing") == []
    unfinished.discard()


def test_delete_is_harmless_when_there_is_nothing(any_store: Store) -> None:
    any_store.delete("a/b")
    any_store.delete_tree("a")
    any_store.put("a/b/c", b"")
    any_store.delete_tree("a")
    assert list(any_store.walk("a")) == []


def test_of_many_writers_of_one_key_exactly_one_wins(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    outcomes: list[str] = []
    ready = threading.Barrier(8)

    def write(number: int) -> None:
        writer = store.create("contested")
        writer.write(b"%d" % number)
        ready.wait()
        try:
            writer.commit()
        except AlreadyStored:
            outcomes.append("second")
        else:
            outcomes.append(f"won {number}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [outcome for outcome in outcomes if outcome != "second"]
    assert len(outcomes) == 8
    assert winners == [f"won {store.read('contested').decode()}"]


@pytest.mark.parametrize("key", ["", "/a", "a//b", "a/../b", ".", "a/."])
def test_a_key_never_leaves_the_base_path(tmp_path: Path, key: str) -> None:
    with pytest.raises(StoreError, match="not a key"):
        Store.at(tmp_path).put(key, b"")


def test_a_store_that_cannot_be_written_says_so_when_it_is_opened(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    with pytest.raises(StoreUnavailable):
        Store.at(occupied)


def test_a_path_that_cannot_be_opened_names_the_field() -> None:
    with pytest.raises(ConfigurationError, match="base path 'nosuch://x'"):
        Store.at("nosuch://x")


class _Forgetful(MemoryFileSystem):  # type: ignore[misc]
    """A store that answers a second create like the first."""

    protocol = "forgetful"

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: object) -> None:
        super().pipe_file(path, value, mode="overwrite")


class _Base:
    def __init__(self, fs: object) -> None:
        self.fs, self.path = fs, "/base"

    def __str__(self) -> str:
        return "forgetful://base"


def test_a_store_that_lets_a_second_writer_succeed_is_refused() -> None:
    with pytest.raises(StoreUnsuitable, match="second writer"):
        Store.at(_Base(_Forgetful()))


@pytest.mark.parametrize("way", ["put", "replace"])
def test_octets_are_synced_before_their_name_appears_and_the_name_after_it(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.at(tmp_path)
    fsync = os.fsync
    synced: list[tuple[bool, bool]] = []

    def watched(descriptor: int) -> None:
        fsync(descriptor)
        synced.append((stat.S_ISDIR(os.fstat(descriptor).st_mode), (tmp_path / "a/b").exists()))

    monkeypatch.setattr(os, "fsync", watched)
    getattr(store, way)("a/b", b"octets")
    assert synced == [(False, False), (True, True)]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_folder_without_hard_links_is_refused_for_good(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shares of SMB are such; waiting would not help."""

    def link(*paths: str) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(StoreUnsuitable, match="hard links"):
        Store.at(tmp_path)


def test_trouble_of_the_file_system_is_unavailability_with_its_words(tmp_path: Path) -> None:
    store = Store.at(tmp_path)
    (tmp_path / "a").write_text("in the way")
    with pytest.raises(StoreUnavailable, match="NotADirectory"):
        store.put("a/b", b"")
