"""SendTransferOperator: arguments in, one transfer for each run of the task, a small reference out."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException
from support.tasks import Outcome

from airflow_pop3_gateway.errors import ConfigurationError, RelayUnavailable
from airflow_pop3_gateway.hooks.store import open_store
from airflow_pop3_gateway.sdk import SendTransferOperator, send_transfer
from airflow_pop3_gateway.store import sent
from airflow_pop3_gateway.testing.smtp_server import SmtpServer

Run = Callable[..., Outcome]


@pytest.fixture
def relay(connection: Callable[..., str], smtp_server: Callable[..., SmtpServer]) -> SmtpServer:
    """What ``smtp_default`` leads to."""
    server = smtp_server("dsn")
    extra = {"disable_ssl": True, "disable_tls": True, "from_email": "us@us.example"}
    connection("smtp_default", conn_type="smtp", host="127.0.0.1", port=server.port, extra=extra)
    return server


def operator(**arguments: Any) -> SendTransferOperator:
    asked = {"task_id": "send", "to": "a@x.example", "subject": "hello", "message": "hello"}
    return SendTransferOperator(**{**asked, **arguments})


def test_a_file_goes_out_and_a_small_reference_goes_on(
    relay: SmtpServer, run_task: Run, base_path: str, tmp_path: Path
) -> None:
    file = tmp_path / "ORDERS.edi"
    file.write_bytes(b"UNA")
    result = run_task(operator(file=str(file), ack_within=timedelta(hours=1))).value
    assert len(relay.box) == 1
    assert (result["accepted"], result["requested"], result["base_path"]) == (1, ["dsn", "mdn"], base_path)
    assert len(json.dumps(result)) < 1000
    record = sent.read(open_store(base_path), result["key"])
    assert record.asked_by == {"dag_id": "mail", "run_id": "manual", "task_id": "send", "map_index": "-1"}
    assert record.ack_deadline == result["ack_deadline"] is not None


def test_a_retry_is_the_same_transfer_and_another_run_another_one(relay: SmtpServer, run_task: Run) -> None:
    first = run_task(operator()).value
    assert run_task(operator()).value["key"] == first["key"]
    assert len(relay.box) == 1
    assert run_task(operator(), run_id="next").value["key"] != first["key"]
    assert len(relay.box) == 2


def test_a_transfer_id_is_one_transfer_in_whatever_run(relay: SmtpServer, run_task: Run) -> None:
    keys = {run_task(operator(transfer_id="invoice 7"), run_id=run).value["key"] for run in ("one", "two")}
    assert (len(keys), len(relay.box)) == (1, 1)


def test_a_function_of_ones_own_sends_what_it_likes(relay: SmtpServer, run_task: Run) -> None:
    with DAG("mail", schedule=None):

        @task
        def own() -> list[str]:
            asked: dict[str, Any] = {"to": "a@x.example", "subject": "hello"}
            return [
                send_transfer(message="one", **asked)["key"],
                send_transfer(message="two", transfer_id="two", **asked)["key"],
            ]

        assert len(set(run_task(own().operator).value)) == 2
    assert len(relay.box) == 2


def test_two_transfers_of_one_task_without_a_name_are_refused(relay: SmtpServer, run_task: Run) -> None:
    with DAG("mail", schedule=None):

        @task
        def own() -> None:
            for words in ("one", "two"):
                send_transfer(message=words, to="a@x.example", subject="hello")

        outcome = run_task(own().operator)
    assert isinstance(outcome.error, AirflowFailException)
    assert "transfer_id" in str(outcome.error)
    assert len(relay.box) == 1


def test_later_is_retried_and_no_is_final(relay: SmtpServer, run_task: Run) -> None:
    relay.faults.add("rcpt-450:a@x.example")
    outcome = run_task(operator(retries=3))
    assert (outcome.state, type(outcome.error)) == ("up_for_retry", RelayUnavailable)
    relay.faults |= {"data-554"}
    relay.faults.remove("rcpt-450:a@x.example")
    outcome = run_task(operator(retries=3))
    assert (outcome.state, type(outcome.error)) == ("failed", AirflowFailException)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"to": 7}, "to must be"),
        ({"file": b"x"}, "file must be"),
        ({"xfb": "appli=X"}, "xfb must be"),
        ({"ack_within": 3600}, "ack_within must be"),
        ({"acknowledgment_option": "maybe"}, "to_ack, not_to_ack"),
        ({"message": None}, "give a file"),
        ({"subject": None}, "needs a subject"),
        ({"ready_made": "file:///x.eml"}, "leave out message, subject"),
    ],
)
def test_wrong_arguments_are_refused_when_the_dag_is_parsed(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        operator(**arguments)


def test_it_can_be_mapped(relay: SmtpServer) -> None:
    with DAG("mail", schedule=None):
        SendTransferOperator.partial(task_id="send", to="a@x.example", subject="hello").expand(
            file=["file:///a", "file:///b"]
        )
