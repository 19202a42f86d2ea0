"""Two or three processes at one site at once, killed and failing at any step: afterwards nothing is lost or done twice."""

from __future__ import annotations

import hashlib
import json
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from support.interleaving import World
from support.maildrop import ASKS_FOR_A_RECEIPT, attachment, letter, multipart

from airflow_pop3_gateway.config import Address, LocalSite, RemoteSite
from airflow_pop3_gateway.gateway import acknowledge, classify, purge, retrieve
from airflow_pop3_gateway.records import TransferRecord
from airflow_pop3_gateway.store import attempts

RUNS = 200
SESSIONS_OR_WHAT_FOLLOWS = (3, 2, 0, 0, 0), (0, 0, 2, 3, 1)


class OneByOne:
    """A pool without threads: the processes take turns, not what is within them."""

    def __init__(self, workers: int) -> None:
        self.map = map

    def __enter__(self) -> OneByOne:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def mails() -> Iterator[bytes]:
    """Of every kind: a text, a file, one that asks for a receipt, one that is recovered whole, the same octets again."""
    number = 0
    while True:
        for headers, files in ((b"", 1), (ASKS_FOR_A_RECEIPT, 1), (b"", 2)):
            number += 1
            yield multipart(
                number, *[attachment(b"%d.edi" % n, b"UNA") for n in range(files)], headers=headers
            )
        yield letter(number := number + 1)
        yield letter(number)


def site(retention: Any) -> RemoteSite:
    return RemoteSite(
        name="edi",
        address=Address("127.0.0.1", 110),
        login="edi",
        security="plain",
        retention=retention,
        local_site=LocalSite(mail_address="edi@us.example"),
    )


def work(world: World, at: RemoteSite) -> dict[str, Callable[[], object]]:
    """What a process may be about."""
    store = world.store

    def whole() -> None:
        """A run of the DAG."""
        polled = retrieve(at, store, world.maildrop.connect, now=world.now)
        classify(at, store, polled.batches)
        acknowledge(at, store, world.send, now=world.now)

    return {
        "whole": whole,
        "retrieve": lambda: retrieve(at, store, world.maildrop.connect, now=world.now),
        "classify": lambda: classify(at, store),
        "acknowledge": lambda: acknowledge(at, store, world.send, now=world.now),
        "purge": lambda: purge(at, store, days=0, now=world.now),
    }


def wrong(world: World, keeps: bool, exact: bool) -> Iterator[str]:
    """What is not as it must be after the last run.

    :param exact: no two sessions can have fetched the same mail.
    """
    objects, maildrop = world.store.objects, world.maildrop
    records = [
        TransferRecord.from_json(json.loads(octets))
        for key, octets in objects.items()
        if key.startswith("records/")
    ]
    delivered = Counter(hashlib.sha256(mail).hexdigest() for mail in maildrop.delivered)
    stored = Counter(record.raw.sha256 for record in records)
    first = Counter(
        record.raw.sha256 for record in records if not (record.rejected and record.rejected.duplicate_of)
    )
    if first != Counter(delivered.keys()):
        yield f"records that are no duplicates: {first}, mails: {delivered}"
    if any(stored[sha] < count for sha, count in delivered.items()):
        yield f"fewer records than mails: {stored}, {delivered}"
    if exact and stored != delivered:
        yield f"more records than mails: {stored}, {delivered}"
    if maildrop.early:
        yield "deleted before it was stored"
    if len(maildrop.mails) != (len(maildrop.delivered) if keeps else 0):
        yield f"{len(maildrop.mails)} of {len(maildrop.delivered)} mails are left on the server"
    for file in (file for record in records for file in record.files):
        if hashlib.sha256(objects.get(file.path, b"")).hexdigest() != file.sha256:
            yield f"{file.path} is not what its record says"
    lines = (objects[key].splitlines() for key in world.store.below("transfers"))
    if Counter(json.loads(line)["key"] for some in lines for line in some) != Counter(
        record.key for record in records
    ):
        yield "lines and records differ"
    for key in world.store.below("outbox"):
        if key.count("/") == 1 and json.loads(objects[key])["state"] != "SENT":
            yield f"{key} did not go out"
    if max(world.confirmed.values(), default=1) > 1:
        yield f"sent twice: {world.confirmed}"


@pytest.mark.parametrize("locks", [True, False], ids=["locked", "without a lock"])
def test_whatever_dies_beside_whatever_the_next_runs_repair_what_is_left(
    locks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[classify.__module__], "ThreadPoolExecutor", OneByOne)
    for seed in range(RUNS):
        faults = seed % 4 * 0.005
        world = World(seed, kills=seed % 3 * 0.01, faults=faults, locks=locks)
        chance = world.chance
        keeps = seed % 5 == 4
        does = work(world, site("keep" if keeps else "delete"))
        monkeypatch.setattr(attempts, "_host", lambda world=world: f"the host of {id(world.now_runs)}")
        monkeypatch.setattr(
            secrets, "token_hex", lambda length, chance=chance: chance.randbytes(length).hex()
        )
        letters = mails()
        for _ in range(chance.randint(1, 6)):
            for _ in range(chance.randint(1, 3)):
                world.maildrop.deliver(next(letters))
            names = chance.choices(
                list(does), chance.choice(SESSIONS_OR_WHAT_FOLLOWS), k=chance.randint(1, 3)
            )
            world.run(*(does[name] for name in names))
            world.time += timedelta(minutes=chance.choice((0, 1, 30)))
        world.calm = True
        for _ in range(3):
            world.time += timedelta(hours=3)
            world.run(does["whole"])
        assert not list(wrong(world, keeps, exact=locks and not faults)), f"seed {seed}"
