"""Waiting for an acknowledgment as a task, deferred or not; what the triggerer sees."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.sdk.serde import deserialize, serialize
from support.tasks import Outcome
from support.transfers import IDENT, transfer

from airflow_pop3_gateway.errors import (
    AcknowledgmentOverdue,
    ConfigurationError,
    NotAcknowledged,
    StoreUnavailable,
)
from airflow_pop3_gateway.gateway import track
from airflow_pop3_gateway.gateway.clock import utc_now
from airflow_pop3_gateway.hooks.track import overdue_transfers, track_transfer
from airflow_pop3_gateway.operators import OverdueOperator
from airflow_pop3_gateway.records.sent import EVENT_SCHEMA, EventRow, SentEvent
from airflow_pop3_gateway.sensors import AcknowledgmentSensor
from airflow_pop3_gateway.sensors import acknowledgment as acknowledgment_sensor
from airflow_pop3_gateway.store import Store, sent
from airflow_pop3_gateway.triggers import AcknowledgmentTrigger, acknowledgment

Run = Callable[[Any], Outcome]
A = "a@partner.example"
KEY = sent.key_of(IDENT)
LONG_AGO, FAR_OFF = "2020-01-01T00:00:00.000Z", "2999-01-01T00:00:00.000Z"


@pytest.fixture
def store(base_path: str) -> Store:
    return Store.at(base_path)


def send(store: Store, deadline: str | None = None) -> dict[str, str]:
    """A transfer the relay took; what the sending task returned of it."""
    made = transfer(A, created_at="2019-12-31T08:00:00.000Z", ack_deadline=deadline)
    sent.create(store, made)
    happens(store, "smtp-0001", "smtp", EventRow(A, "undefined", "accepted"))
    return {"key": KEY, "base_path": store.url}


def happens(store: Store, name: str, kind: Any, row: EventRow) -> None:
    sent.append(store, KEY, SentEvent(EVENT_SCHEMA, name, kind, "2026-11-23T08:00:01.000Z", (row,)))


def comes(store: Store, verdict: Any, kind: str = "mdn") -> None:
    happens(store, f"{kind}-{verdict}", kind, EventRow(A, verdict, "processed", detail="what it says"))


def sensor(reference: Any, **arguments: Any) -> AcknowledgmentSensor:
    return AcknowledgmentSensor(task_id="wait", sent=reference, **{"poke_interval": 0.01, **arguments})


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize("reference", ["output", "key"])
def test_a_positive_receipt_ends_it(
    store: Store, base_path: str, run_task: Run, deferrable: bool, reference: str
) -> None:
    output = send(store)
    comes(store, "positive")
    outcome = run_task(sensor(output if reference == "output" else KEY, deferrable=deferrable))
    assert outcome.state == "success"
    assert (outcome.value["status"]["state"], outcome.value["base_path"]) == ("ACKED", base_path)


@pytest.mark.parametrize("deferrable", [True, False])
@pytest.mark.parametrize(
    ("deadline", "verdict", "cause"),
    [(None, "negative", NotAcknowledged), (LONG_AGO, "undefined", AcknowledgmentOverdue)],
)
def test_a_refusal_and_silence_fail_at_once_each_by_its_name(
    store: Store, run_task: Run, deferrable: bool, deadline: str | None, verdict: str, cause: type[Exception]
) -> None:
    output = send(store, deadline)
    comes(store, verdict)
    outcome = run_task(sensor(output, deferrable=deferrable, retries=3))
    assert outcome.state == "failed"
    assert isinstance(outcome.error, AirflowFailException)
    assert isinstance(outcome.error.__cause__, cause)
    assert IDENT in str(outcome.error) and A in str(outcome.error)
    assert run_task(sensor(output, deferrable=deferrable, soft_fail=True)).state == "skipped"


def test_while_it_waits_no_worker_does(store: Store, run_task: Run) -> None:
    output = send(store, FAR_OFF)
    comes(store, "undefined", "dsn")
    assert run_task(sensor(output)).state == "deferred"


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_store_that_fails_postpones_the_look_of_a_worker_too(
    store: Store, run_task: Run, deferrable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, real = send(store), track.tracked
    comes(store, "positive")
    failures = [StoreUnavailable("later")]

    def failing(*arguments: Any) -> track.Tracked:
        if failures:
            raise failures.pop()
        return real(*arguments)

    monkeypatch.setattr(acknowledgment_sensor, "tracked", failing)
    assert run_task(sensor(output, deferrable=deferrable)).state == ("deferred" if deferrable else "success")


def test_a_transfer_nobody_knows_fails(store: Store, run_task: Run) -> None:
    assert run_task(sensor("0" * 40)).state == "failed"
    assert run_task(sensor({"no": "key"})).state == "failed"


def test_what_the_triggerer_saw_is_judged_by_the_task(store: Store, base_path: str) -> None:
    output = send(store)
    comes(store, "positive")
    event = {"tracked": track.tracked(store, KEY, utc_now()).to_json()}
    value = sensor(output).execute_complete({}, event)
    assert value is not None and value["base_path"] == base_path
    with pytest.raises(AirflowFailException, match="StoreCorrupt: gone"):
        sensor(output).execute_complete({}, {"error": "StoreCorrupt", "message": "gone"})
    comes(store, "negative")
    event = {"tracked": track.tracked(store, KEY, utc_now()).to_json()}
    with pytest.raises(AirflowSkipException, match="NotAcknowledged"):
        sensor(output, soft_fail=True).execute_complete({}, event)


@pytest.mark.parametrize("wrong", [{"sent": ["a"]}, {"base_path": 7}])
def test_wrong_arguments_are_refused_when_the_dag_is_parsed(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        AcknowledgmentSensor(task_id="wait", **{"sent": KEY, **wrong})


# -- the triggerer ----------------------------------------------------------------------------------------------


def trigger(base_path: str, key: str = KEY) -> AcknowledgmentTrigger:
    return AcknowledgmentTrigger(key=key, base_path=base_path, poke_interval=0.01)


def first(subject: AcknowledgmentTrigger) -> Any:
    async def run() -> list[Any]:
        return [event.payload async for event in subject.run()]

    (payload,) = asyncio.run(run())
    return payload


def test_it_survives_a_restart_and_carries_no_secret(base_path: str) -> None:
    path, arguments = trigger(base_path).serialize()
    assert path == "airflow_pop3_gateway.triggers.acknowledgment.AcknowledgmentTrigger"
    assert deserialize(serialize(arguments)) == {"key": KEY, "base_path": base_path, "poke_interval": 0.01}


def test_it_fires_when_the_receipt_comes_and_reads_only_what_is_new(
    store: Store, base_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(store, FAR_OFF)
    looks, reads = [], []

    def counting(*arguments: Any) -> int:
        looks.append(sent.count_events(*arguments))
        if len(looks) == 5:
            comes(store, "positive")
        return looks[-1]

    def reading(*arguments: Any) -> track.Tracked:
        reads.append(track.tracked(*arguments))
        return reads[-1]

    monkeypatch.setattr(acknowledgment, "count_events", counting)
    monkeypatch.setattr(acknowledgment, "tracked", reading)
    assert first(trigger(base_path))["tracked"]["status"]["state"] == "ACKED"
    assert (len(looks), len(reads)) == (6, 2)


def test_it_fires_at_the_deadline(store: Store, base_path: str) -> None:
    send(store, LONG_AGO)
    assert first(trigger(base_path))["tracked"]["overdue"]


def test_a_store_that_fails_postpones_and_a_transfer_nobody_knows_ends_it(
    store: Store, base_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    send(store)
    comes(store, "positive")
    failures = [StoreUnavailable("later"), StoreUnavailable("later")]

    def failing(*arguments: Any) -> int:
        if failures:
            raise failures.pop()
        return sent.count_events(*arguments)

    monkeypatch.setattr(acknowledgment, "count_events", failing)
    assert first(trigger(base_path))["tracked"]["status"]["state"] == "ACKED"
    assert first(trigger(base_path, "0" * 40))["error"] == "StoreCorrupt"


def test_a_store_that_hangs_keeps_no_other_trigger_waiting(
    base_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threads of an event loop are few, and look names up for everybody."""
    asked, answered = threading.Event(), threading.Event()

    def hang(place: str) -> Store:
        asked.set()
        answered.wait()
        raise StoreUnavailable("later")

    monkeypatch.setattr(acknowledgment, "kept_store", hang)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        stuck = asyncio.create_task(anext(trigger(base_path).run()))
        try:
            while not asked.is_set():
                await asyncio.sleep(0.01)
            await asyncio.wait_for(loop.getaddrinfo("localhost", 110), 10)
        finally:
            answered.set()
            stuck.cancel()

    asyncio.run(run())


# -- all transfers ----------------------------------------------------------------------------------------------


def test_overdue_transfers_fail_the_task_until_they_are_settled(store: Store, run_task: Run) -> None:
    send(store, LONG_AGO)
    outcome = run_task(OverdueOperator(task_id="overdue"))
    assert outcome.state == "failed"
    assert outcome.error is not None and isinstance(outcome.error.__cause__, AcknowledgmentOverdue)
    assert outcome.error.__cause__.keys == (KEY,)
    assert [one["key"] for one in overdue_transfers()] == [KEY]
    assert track_transfer(KEY)["overdue"]
    comes(store, "positive")
    assert run_task(OverdueOperator(task_id="overdue")).state == "success"
    assert overdue_transfers() == []
