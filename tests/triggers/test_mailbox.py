"""The doorbell: it rings for mail nobody rang for, again while mail is left, and tells counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent
from airflow.triggers.shared_stream import SharedStreamManager

from airflow_pop3_gateway.gateway.peek import Awaited, Sight
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server
from airflow_pop3_gateway.triggers import Pop3MailboxTrigger, watch
from airflow_pop3_gateway.triggers.mailbox import AFTER_RESTART, LEAST_OFTEN, RING_AGAIN, Bell, Diary
from airflow_pop3_gateway.triggers.watch import Trouble


class Clock:
    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 8, 0, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.time

    def wait(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def mails(*names: str) -> Sight:
    return Sight("orders", dict.fromkeys(names, 100), listed=len(names))


def test_it_rings_once_for_the_same_mail(clock: Clock) -> None:
    bell = Bell(Awaited(), now=clock)
    assert [bell.rings(mails(*names)) for names in ("", "a", "a", "ab", "ab", "")] == [
        False,
        True,
        False,
        True,
        False,
        False,
    ]


def test_it_rings_again_when_a_run_took_some_and_left_some(clock: Clock) -> None:
    """``max_messages`` bounds a session: the rest is the next run's."""
    bell = Bell(Awaited(), now=clock)
    assert [bell.rings(mails(*names)) for names in ("abcd", "cd", "cd", "d", "")] == [
        True,
        True,
        False,
        True,
        False,
    ]


def test_for_mail_that_stays_it_rings_less_and_less_often(clock: Clock) -> None:
    """A ring may be lost, and a mail may be one the server never gives."""
    bell = Bell(Awaited(), now=clock)
    bell.rings(mails("a"))
    waited = []
    since = 0.0
    for _ in range(600):
        clock.wait(60)
        since += 60
        if bell.rings(mails("a")):
            waited.append(since)
            since = 0
    assert waited[:4] == [RING_AGAIN, 2 * RING_AGAIN, 4 * RING_AGAIN, 8 * RING_AGAIN]
    clock.wait(10 * LEAST_OFTEN)
    assert bell.rings(mails("a"))
    assert bell.memory["again_after"] == LEAST_OFTEN


def test_while_nobody_looks_nothing_is_forgotten(clock: Clock) -> None:
    """A site that is suspended shows nothing, which is not that it is empty."""
    bell = Bell(Awaited(), now=clock)
    sights = (mails("a"), Sight("orders", held="suspended"), mails("a"))
    assert [bell.rings(sight) for sight in sights] == [True, False, False]


def test_mail_that_comes_again_after_the_maildrop_was_empty_is_new(clock: Clock) -> None:
    bell = Bell(Awaited(), now=clock)
    assert [bell.rings(mails(*names)) for names in ("a", "", "a")] == [True, False, True]


def test_too_little_mail_and_a_site_that_is_held_do_not_ring(clock: Clock) -> None:
    bell = Bell(Awaited(min_messages=2, min_bytes=300), now=clock)
    assert not bell.rings(mails("a"))
    assert not bell.rings(mails("a", "b"))
    assert bell.rings(mails("a", "b", "c"))
    assert not Bell(Awaited(), now=clock).rings(Sight("orders", held="suspended"))


def test_after_a_restart_it_does_not_ring_at_once_for_what_it_rang_for_before(clock: Clock) -> None:
    """But soon, for Airflow drops a ring of a watcher that it takes away: a DAG was switched off and on."""
    first = Bell(Awaited(), now=clock)
    first.rings(mails("a", "b"))
    memory = json.loads(json.dumps(first.memory))
    assert not Bell(Awaited(), memory, now=clock).rings(mails("b", "a"))
    assert Bell(Awaited(), memory, now=clock).rings(mails("a", "b", "c"))
    again = Bell(Awaited(), memory, now=clock)
    assert not again.rings(mails("a", "b"))
    clock.wait(AFTER_RESTART)
    assert again.rings(mails("a", "b"))
    clock.wait(AFTER_RESTART)
    assert not again.rings(mails("a", "b")), "a restart makes no storm"


class State:
    """An asset's state store that can be down."""

    def __init__(self, **values: Any) -> None:
        self.values = values
        self.writes: list[str] = []
        self.down = False

    async def aget(self, key: str, default: Any) -> Any:
        self._check()
        return self.values.get(key, default)

    async def aset(self, key: str, value: Any) -> None:
        self._check()
        self.writes.append(key)
        self.values[key] = json.loads(json.dumps(value))

    def _check(self) -> None:
        if self.down:
            raise RuntimeError("the API is down")


def test_health_is_noted_when_it_changes_and_now_and_then(clock: Clock) -> None:
    """A note costs a request: a thousand mailboxes every minute would be a thousand of them."""
    state = State()
    diary = Diary(state, now=clock)

    async def live() -> None:
        for outcome in (
            mails(),
            mails(),
            Trouble("TimedOut", "no greeting"),
            Trouble("TimedOut", "no greeting"),
        ):
            await diary.note(outcome, {})
        clock.wait(3600)
        await diary.note(Trouble("TimedOut", "no greeting"), {})

    asyncio.run(live())
    assert state.writes == ["pop3_health"] * 3
    assert state.values["pop3_health"]["state"] == "TimedOut"


def test_trouble_with_the_state_stops_no_watcher(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    state = State()
    state.down = True
    diary = Diary(state, now=clock)

    async def live() -> None:
        assert await diary.recall() == {}
        for _ in range(3):
            await diary.note(mails("a"), {"rung_at": "x"})
        state.down = False
        await diary.note(mails("a"), {"rung_at": "x"})

    asyncio.run(live())
    assert len(caplog.records) == 1
    assert state.writes == ["pop3_watermark", "pop3_health"]


def test_a_watermark_of_somebody_else_is_not_believed() -> None:
    assert asyncio.run(Diary(State(pop3_watermark=[1])).recall()) == {}


def test_only_the_id_and_numbers_are_serialised() -> None:
    trigger = Pop3MailboxTrigger("orders", min_messages=3)
    path, kwargs = trigger.serialize()
    assert path == "airflow_pop3_gateway.triggers.mailbox.Pop3MailboxTrigger"
    assert kwargs == {"pop3_conn_id": "orders", "base_path": None, "min_messages": 3, "min_bytes": 0}
    assert Pop3MailboxTrigger(**kwargs).serialize() == (path, kwargs)


def test_watchers_of_one_maildrop_share_a_stream_whatever_they_wait_for() -> None:
    assert Pop3MailboxTrigger("a").shared_stream_key() == Pop3MailboxTrigger("a", None, 9).shared_stream_key()
    assert Pop3MailboxTrigger("a").shared_stream_key() != Pop3MailboxTrigger("b").shared_stream_key()


def test_one_login_serves_every_watcher_and_each_rings_as_it_likes(
    server: FaultyPop3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through Airflow's own manager of shared streams."""
    monkeypatch.setattr(watch, "FIRST", 0.0)
    server.mailboxes["orders"].deliver(b"From: a@b.c\r\n\r\nx\r\n")
    server.mailboxes["orders"].deliver(b"From: a@b.c\r\n\r\ny\r\n")
    rung: dict[int, TriggerEvent] = {}

    async def live() -> None:
        manager = SharedStreamManager()
        enough = asyncio.Event()

        async def subscribe(number: int, trigger: Pop3MailboxTrigger) -> None:
            key = trigger.shared_stream_key()
            stream = manager.subscribe(trigger_id=number, trigger=trigger, key=key)
            async for event in trigger.filter_shared_stream(stream):
                rung[number] = event
                if len(rung) == 2:
                    enough.set()

        few, many, more = (Pop3MailboxTrigger("orders", None, least) for least in (1, 2, 3))
        tasks = [asyncio.create_task(subscribe(n, t)) for n, t in enumerate((few, many, more))]
        await enough.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await manager.stop_all()

    asyncio.run(live())
    assert sorted(rung) == [0, 1]
    assert server.mailboxes["orders"].logins == 1
    assert rung[0].payload == {
        "site": "orders",
        "messages": 2,
        "octets": 36,
        "listed": 2,
        "held": "",
        "pop3_conn_id": "orders",
    }


def test_what_a_watcher_rang_for_lies_in_the_state_of_its_asset() -> None:
    trigger = Pop3MailboxTrigger("orders")
    trigger.asset_state_store = state = State()  # type: ignore[assignment]

    async def stream() -> AsyncIterator[Sight | Trouble]:
        yield mails("a")
        yield Trouble("TimedOut", "no greeting")

    async def live(subject: Pop3MailboxTrigger) -> list[TriggerEvent]:
        return [event async for event in subject.filter_shared_stream(stream())]

    assert len(asyncio.run(live(trigger))) == 1
    assert state.values["pop3_watermark"]["messages"] == 1
    assert state.values["pop3_health"]["state"] == "TimedOut"
    restarted = Pop3MailboxTrigger("orders")
    restarted.asset_state_store = state  # type: ignore[assignment]
    assert asyncio.run(live(restarted)) == []


def test_where_streams_are_not_shared_it_watches_by_itself(
    server: FaultyPop3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "FIRST", 0.0)
    server.mailboxes["orders"].deliver(b"From: a@b.c\r\n\r\nx\r\n")

    async def first() -> TriggerEvent:
        return await anext(Pop3MailboxTrigger("orders").run())

    assert asyncio.run(first()).payload["messages"] == 1
