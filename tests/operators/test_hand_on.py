"""One run for each record: what is handed on is a partition each, and a run takes its record once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import DAG, task
from airflow.sdk.exceptions import AirflowFailException
from support.tasks import Outcome

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.hooks.handover import handed_on
from airflow_pop3_gateway.operators import ClassifyOperator, HandOnOperator, RetrieveOperator
from airflow_pop3_gateway.testing import letters
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server

Run = Callable[..., Outcome]


@pytest.fixture
def stored(server: FaultyPop3Server, run_task: Run) -> None:
    """Two records, one with a file."""
    for mail in (letters.file_attached(), letters.message()):
        server.mailboxes["orders"].deliver(mail)
    retrieved = run_task(RetrieveOperator(task_id="retrieve", pop3_conn_id="orders")).value
    run_task(ClassifyOperator(task_id="classify", retrieved=retrieved))


def process(run_task: Run, key: str | None, run_id: str = "a", **options: Any) -> Outcome:
    """A task of a run for one record; returns the record's FILE_NAME and the size of its files."""
    with DAG("process", schedule=None):

        @task(task_id="process", retries=1)
        def work() -> Any:
            with handed_on(**options) as record:
                sizes = [Path(file["url"].removeprefix("file://")).stat().st_size for file in record["files"]]
                return [record["file_name"], sizes]

        return run_task(work().operator, run_id=run_id, partition_key=key)


@pytest.mark.usefixtures("stored")
def test_every_record_is_a_partition_and_they_share_what_the_event_says(
    run_task: Run, base_path: str
) -> None:
    outcome = run_task(HandOnOperator(task_id="hand_on", application="MAIL"))
    assert outcome.state == "success"
    assert sorted(event["partition_key"] for event in outcome.events) == sorted(outcome.value["keys"])
    assert {event["dest_asset_key"]["uri"] for event in outcome.events} == {"pop3-application://MAIL/each"}
    assert all(
        event["extra"] == {"base_path": base_path, "consumer": "MAIL", "messages": 2}
        for event in outcome.events
    )


@pytest.mark.usefixtures("stored")
def test_a_run_takes_its_record_and_another_run_for_it_skips(run_task: Run) -> None:
    keys = run_task(HandOnOperator(task_id="hand_on", application="MAIL")).value["keys"]
    done = [process(run_task, key, f"run {key}").value for key in keys]
    assert sorted(name for name, _ in done) == ["INVOIC.edi", "MAIL"]
    assert process(run_task, keys[0], "a second run").state == "skipped"


def test_when_nothing_waits_it_is_skipped_and_rings_nowhere(server: FaultyPop3Server, run_task: Run) -> None:
    outcome = run_task(HandOnOperator(task_id="hand_on", application="MAIL"))
    assert (outcome.state, outcome.events) == ("skipped", [])


@pytest.mark.usefixtures("stored")
def test_another_consumer_and_place_can_be_named(run_task: Run, base_path: str) -> None:
    hand_on = HandOnOperator(
        task_id="hand_on", application="MAIL", consumer="archive", base_path=base_path, most=1
    )
    (key, _) = run_task(hand_on).value["keys"]
    assert process(run_task, key, "x", consumer="archive").state == "success"
    assert process(run_task, key, "y", consumer="archive").state == "skipped"
    assert process(run_task, key, "y", consumer="table").state == "success"


def test_a_run_without_a_partition_says_how_to_schedule_it(run_task: Run) -> None:
    outcome = process(run_task, None)
    assert isinstance(outcome.error, AirflowFailException)
    assert "PartitionedAssetTimetable" in str(outcome.error)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"application": "../x"}, "application name"),
        ({"consumer": 7}, "consumer must be"),
        ({"days": -1}, "days"),
        ({"most": 0}, "most"),
    ],
)
def test_wrong_arguments_are_refused_when_the_dag_is_parsed(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        HandOnOperator(task_id="hand_on", **{"application": "MAIL", **wrong})
