"""Objects that become durable together: octets before names, everything or nothing of each, nothing left over."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_pop3_gateway.errors import AlreadyStored, StoreUnavailable
from airflow_pop3_gateway.store import Store, groups
from airflow_pop3_gateway.store.groups import Group, grouping
from airflow_pop3_gateway.store.writers import LocalWriter

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - nothing is written there


class Watched(Group):
    """Notes what happens, and which names are there when octets are synced."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.folder = folder
        self.steps: list[object] = []
        self.broken = False

    def sync(self) -> None:
        if self.broken:
            raise StoreUnavailable("no space", key="syncfs")
        super().sync()
        self.steps.append(names(self.folder))

    def link(self, writer: LocalWriter) -> None:
        self.steps.append(writer.key)
        super().link(writer)


def names(folder: Path) -> list[str]:
    """What a reader sees."""
    return list(Store.at(folder).walk("a"))


def everything(folder: Path) -> list[str]:
    """What lies there, seen or not."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Watched]:
    watched = Watched(tmp_path)
    yield watched
    watched.close()


def put(store: Store, key: str, octets: bytes, group: Group) -> None:
    writer = store.create(key, group)
    try:
        writer.write(octets)
        writer.commit()
    finally:
        writer.discard()


def test_octets_are_durable_before_a_name_appears_and_names_before_publish_returns(
    tmp_path: Path, group: Watched
) -> None:
    store = Store.at(tmp_path)
    put(store, "a/1", b"one", group)
    put(store, "a/x/2", b"two", group)
    assert names(tmp_path) == [] and group.steps == []
    assert group.publish() == set()
    assert group.steps == [[], "a/1", "a/x/2", ["a/1", "a/x/2"]]
    assert (store.read("a/1"), store.read("a/x/2")) == (b"one", b"two")
    assert everything(tmp_path) == ["1", "2"]


def test_names_of_a_later_group_appear_when_those_before_are_durable_and_need_no_sync_of_their_octets(
    tmp_path: Path, group: Watched
) -> None:
    store, later = Store.at(tmp_path), Watched(tmp_path)
    put(store, "a/2", b"record", later)
    put(store, "a/1", b"file", group)
    later.steps = group.steps
    assert group.publish(later) == set()
    assert group.steps == [[], "a/1", ["a/1"], "a/2", ["a/1", "a/2"]]
    later.close()


def test_what_was_published_is_not_published_again(tmp_path: Path, group: Watched) -> None:
    put(Store.at(tmp_path), "a/1", b"one", group)
    group.publish()
    group.steps.clear()
    assert group.publish() == set() and group.steps == []


def test_a_key_that_is_taken_is_told_and_left_as_it_is(tmp_path: Path, group: Watched) -> None:
    store = Store.at(tmp_path)
    store.put("a/1", b"first")
    put(store, "a/1", b"second", group)
    put(store, "a/2", b"other", group)
    assert group.publish() == {"a/1"}
    assert (store.read("a/1"), store.read("a/2")) == (b"first", b"other")
    assert everything(tmp_path) == ["1", "2"]


def test_of_two_writers_of_one_key_in_a_group_the_first_succeeds(tmp_path: Path, group: Watched) -> None:
    store = Store.at(tmp_path)
    put(store, "a/1", b"first", group)
    with pytest.raises(AlreadyStored):
        put(store, "a/1", b"second", group)
    group.publish()
    assert store.read("a/1") == b"first" and everything(tmp_path) == ["1"]


def test_what_is_withdrawn_or_not_published_leaves_nothing(tmp_path: Path, group: Watched) -> None:
    store = Store.at(tmp_path)
    for key in ("a/1", "a/2"):
        put(store, key, b"?", group)
    group.withdraw("a/1")
    group.withdraw("a/3")
    assert group.publish() == set() and names(tmp_path) == ["a/2"]
    put(store, "a/4", b"?", group)
    group.close()
    assert everything(tmp_path) == ["2"]


def test_small_objects_are_in_memory_until_they_are_published_and_no_more_of_them_than_is_bounded(
    tmp_path: Path, group: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.at(tmp_path)
    monkeypatch.setattr(groups, "HELD_BYTES", 8)
    put(store, "a/1", b"12345678", group)
    assert everything(tmp_path) == []
    large = store.create("a/2", group)
    for piece in (b"9", b"10"):
        large.write(piece)
    large.commit()
    assert len(everything(tmp_path)) == 1
    group.publish()
    assert (store.read("a/1"), store.read("a/2")) == (b"12345678", b"910")
    put(store, "a/3", b"", group)
    assert everything(tmp_path) == ["1", "2"]
    group.publish()
    assert store.read("a/3") == b""


def test_a_disk_that_is_full_publishes_no_name_and_leaves_no_file_open(
    tmp_path: Path, group: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    store, before = Store.at(tmp_path), os.listdir("/dev/fd")
    for key in ("a/1", "a/2"):
        put(store, key, b"?", group)
    with monkeypatch.context() as patch, pytest.raises(StoreUnavailable):
        patch.setattr(os, "write", full)
        group.publish()
    group.close()
    assert everything(tmp_path) == [] and len(os.listdir("/dev/fd")) == len(before) - 1


def test_a_disk_that_fails_publishes_no_name(tmp_path: Path, group: Watched) -> None:
    put(Store.at(tmp_path), "a/1", b"one", group)
    group.broken = True
    with pytest.raises(StoreUnavailable):
        group.publish()
    group.close()
    assert everything(tmp_path) == []


@pytest.mark.parametrize(
    ("system", "release", "device", "possible"),
    [
        ("Linux", "6.1.0-13-amd64", os.makedev(8, 1), True),
        ("Linux", "5.8.0", os.makedev(8, 1), True),
        ("Linux", "5.7.19", os.makedev(8, 1), False),
        ("Linux", "6.1.0", os.makedev(0, 1 << 19), False),
        ("Darwin", "23.1.0", os.makedev(8, 1), False),
    ],
)
def test_there_are_groups_only_where_the_sync_is_known_to_be_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, release: str, device: int, possible: bool
) -> None:
    """Network file systems, FUSE and overlays have no block device, and may keep what they were told to sync."""
    monkeypatch.setattr(os, "uname", lambda: os.uname_result((system, "", release, "", "")))
    monkeypatch.setattr(os, "stat", lambda path: os.stat_result((0, 0, device, *[0] * 7)))
    assert grouping(str(tmp_path)) is possible


@pytest.mark.skipif(not os.path.ismount(SHARED_MEMORY), reason="no shared memory here")
def test_in_memory_there_are_groups_for_nothing_has_to_reach_a_disk() -> None:
    assert os.major(os.stat(SHARED_MEMORY).st_dev) == 0
    assert grouping(SHARED_MEMORY)


def test_a_folder_that_is_not_there_has_no_groups(tmp_path: Path) -> None:
    assert not grouping(str(tmp_path / "nowhere"))
