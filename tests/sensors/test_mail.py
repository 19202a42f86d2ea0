"""Waiting for mail as a task, deferred or not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from support.tasks import Outcome

from airflow_pop3_gateway.errors import ConfigurationError, ConnectionMissing
from airflow_pop3_gateway.sensors import Pop3MailSensor
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server
from airflow_pop3_gateway.triggers import Pop3MailTrigger

Run = Callable[[Any], Outcome]
LETTER = b"From: partner@example.com\r\nSubject: invoice 7\r\n\r\nhello\r\n"


def sensor(**arguments: Any) -> Pop3MailSensor:
    return Pop3MailSensor(task_id="wait", **{"pop3_conn_id": "orders", "poke_interval": 0.01, **arguments})


def deferred(task: Pop3MailSensor) -> Pop3MailTrigger:
    with pytest.raises(TaskDeferred) as left:
        task.execute({})  # type: ignore[typeddict-item]
    assert isinstance(left.value.trigger, Pop3MailTrigger)
    return left.value.trigger


@pytest.mark.parametrize("deferrable", [True, False])
def test_mail_that_is_there_ends_it_at_once_with_counts(
    server: FaultyPop3Server, base_path: str, run_task: Run, deferrable: bool
) -> None:
    server.mailboxes["orders"].deliver(LETTER)
    outcome = run_task(sensor(deferrable=deferrable))
    assert outcome.state == "success"
    assert outcome.value == {
        "site": "orders",
        "messages": 1,
        "octets": len(LETTER),
        "listed": 1,
        "held": "",
        "pop3_conn_id": "orders",
        "base_path": base_path,
    }
    assert len(server.mailboxes["orders"].mails) == 1


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_connection_that_airflow_does_not_give_is_left_to_the_retries_of_the_task(
    base_path: str, run_task: Run, deferrable: bool
) -> None:
    outcome = run_task(sensor(pop3_conn_id="nobody", deferrable=deferrable))
    assert outcome.state == "up_for_retry"
    assert isinstance(outcome.error, ConnectionMissing)


def test_without_enough_mail_no_worker_waits(server: FaultyPop3Server, base_path: str, run_task: Run) -> None:
    server.mailboxes["orders"].deliver(LETTER)
    task = sensor(subject="order*", min_messages=2, timeout=60)
    assert run_task(task).state == "deferred"
    trigger = deferred(task)
    assert (trigger.pop3_conn_id, trigger.base_path) == ("orders", base_path)
    assert trigger.awaited == {"min_messages": 2, "min_bytes": 0, "sender": "*", "subject": "order*"}
    assert "secret" not in str(trigger.serialize())


@pytest.mark.parametrize(("bounds", "seconds"), [({}, 60), ({"execution_timeout": timedelta(seconds=9)}, 9)])
@pytest.mark.usefixtures("server")
def test_an_execution_timeout_bounds_the_waiting_too(bounds: dict[str, Any], seconds: int) -> None:
    """Airflow itself counts only the time on a worker."""
    with pytest.raises(TaskDeferred) as deferral:
        sensor(timeout=60, **bounds).execute({})  # type: ignore[typeddict-item]
    assert deferral.value.timeout == timedelta(seconds=seconds)


def test_what_the_triggerer_saw_is_what_the_task_returns(base_path: str) -> None:
    look = {"site": "orders", "messages": 3, "octets": 7, "listed": 3, "held": ""}
    value = sensor().execute_complete({}, {"look": look})  # type: ignore[typeddict-item]
    assert value == {**look, "pop3_conn_id": "orders", "base_path": base_path}


def test_an_error_the_triggerer_met_fails_the_task_for_good() -> None:
    event = {"error": "AuthenticationFailed", "message": "PASS refused: no"}
    with pytest.raises(AirflowFailException, match="AuthenticationFailed: PASS refused"):
        sensor().execute_complete({}, event)  # type: ignore[typeddict-item]


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_wrong_password_fails_at_once(server: FaultyPop3Server, run_task: Run, deferrable: bool) -> None:
    server.faults = {"auth-fail"}
    outcome = run_task(sensor(deferrable=deferrable, retries=3))
    assert outcome.state == "failed"
    assert isinstance(outcome.error, AirflowFailException)
    assert sum(line.startswith("PASS") for line in server.transcript) == 1


@pytest.mark.parametrize("deferrable", [True, False])
def test_soft_fail_skips_instead(server: FaultyPop3Server, run_task: Run, deferrable: bool) -> None:
    server.faults = {"auth-fail"}
    assert run_task(sensor(deferrable=deferrable, soft_fail=True)).state == "skipped"


def test_soft_fail_skips_when_the_triggerer_waited_too_long() -> None:
    with pytest.raises(AirflowSkipException):
        sensor(soft_fail=True).resume_execution("__fail__", {"error": "Trigger timeout"}, {})  # type: ignore[typeddict-item]


@pytest.mark.parametrize("fault", ["in-use", "login-delay", "greeting-err", "cut:UIDL"])
def test_what_may_pass_defers(server: FaultyPop3Server, run_task: Run, fault: str) -> None:
    server.faults = {fault}
    assert run_task(sensor()).state == "deferred"


def test_on_a_worker_it_pokes_until_there_is_enough(
    server: FaultyPop3Server, run_task: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    pokes = 0
    poke = Pop3MailSensor.poke

    def counted(task: Pop3MailSensor, context: Any) -> Any:
        nonlocal pokes
        pokes += 1
        server.faults = {"in-use"} if pokes == 1 else set()
        if pokes == 3:
            server.mailboxes["orders"].deliver(LETTER)
        return poke(task, context)

    monkeypatch.setattr(Pop3MailSensor, "poke", counted)
    outcome = run_task(sensor(deferrable=False))
    assert (outcome.state, outcome.value["messages"], pokes) == ("success", 1, 3)


def test_on_a_worker_its_time_ends(server: FaultyPop3Server, run_task: Run) -> None:
    outcome = run_task(sensor(deferrable=False, timeout=0, retries=0))
    assert isinstance(outcome.error, AirflowSensorTimeout)


@pytest.mark.parametrize(
    "wrong", [{"min_messages": 0}, {"min_bytes": "x"}, {"sender": 7}, {"subject": ["a"]}, {"pop3_conn_id": 1}]
)
def test_wrong_arguments_are_refused_when_the_dag_is_parsed(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        sensor(**wrong)


def test_it_maps_over_many_sites() -> None:
    with DAG("many", schedule=None):
        Pop3MailSensor.partial(task_id="wait").expand(pop3_conn_id=["a", "b"])
