"""A real scheduler, triggerer, DAG processor and API server: a DAG runs because a mail arrived in Dovecot."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

import pytest
from support.maildrop import letter
from support.parts import Airflow, Live

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
on_sqlite = pytest.mark.parametrize("live", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("live", ["postgres"], indirect=True)
on_both = pytest.mark.parametrize("live", ["sqlite", "postgres"], indirect=True)
"""An Airflow takes half a minute to start; what does not depend on the database is seen on one."""
BURST = 100


def fetched(live: Live) -> bool:
    """Whether nothing is left on the server and no run is under way."""
    return not live.left("edi_inbox") and not live.airflow.runs("pop3_on_mail", "running")


def processed(live: Live) -> list[int]:
    """The numbers of the mails whose records were processed, as often as they were."""
    return sorted(int(line.split()[0]) for line in live.processed.read_text().splitlines())


def states(airflow: Airflow, dag_id: str) -> list[str]:
    """The states of the tasks of a DAG's runs."""
    return [
        task["state"]
        for task in airflow.get(f"/dags/{dag_id}/dagRuns/~/taskInstances").get("task_instances", ())
    ]


def run_after(live: Live, number: int) -> float:
    """Deliver a mail. :returns: seconds until a run started."""
    airflow = live.airflow
    airflow.until(lambda: fetched(live), "all is quiet")
    before = {run["dag_run_id"] for run in airflow.runs("pop3_on_mail")}

    def started() -> list[float]:
        new = [run for run in airflow.runs("pop3_on_mail") if run["dag_run_id"] not in before]
        return [datetime.fromisoformat(run["start_date"]).timestamp() for run in new if run["start_date"]]

    delivered = time.time()
    live.deliver("edi_inbox", letter(number))
    airflow.until(started, f"mail {number} started a run")
    return started()[0] - delivered


@on_both
def test_a_mail_that_arrives_starts_a_run(live: Live, record_property: Any) -> None:
    airflow = live.airflow
    airflow.until(lambda: airflow.get("/dags/pop3_on_mail"), "Airflow has started")
    live.deliver("edi_inbox", letter(1))
    airflow.until(lambda: airflow.runs("pop3_on_mail", "success"), "the first mail started a run")
    airflow.until(lambda: processed(live) == [1], "its record was processed")
    airflow.until(lambda: airflow.runs("told", "success"), "the DAG of its Application ran")
    took = [round(run_after(live, number), 1) for number in (2, 3)]
    record_property("seconds from delivery to the start of the run", took)
    print(f"\nseconds from delivery to the start of the run: {took}")


@on_sqlite
def test_another_file_that_names_the_mailbox_does_not_take_its_watcher_away(live: Live) -> None:
    """Airflow believes the file it read last."""
    airflow = live.airflow

    def read_at() -> str:
        return str(airflow.get("/dags/another").get("last_parsed_time"))

    for _ in range(2):
        before = read_at()
        airflow.until(lambda: read_at() != before, "the other file was read again")  # noqa: B023
    assert airflow.log("triggerer").count("trigger ID 1 starting") == 1


@on_sqlite
def test_a_record_whose_event_was_lost_is_processed_after_the_next_sweep(live: Live) -> None:
    """A DAG that is switched off gets no runs, and none later for what it missed."""
    airflow = live.airflow
    airflow.pause("each", True)
    run_after(live, 10)
    airflow.until(lambda: fetched(live), "the mail was fetched")
    airflow.pause("each", False)
    assert 10 not in processed(live)
    airflow.ask("POST", "/dags/sweep/dagRuns", logical_date=None)
    airflow.until(lambda: 10 in processed(live), "the record was processed")


@on_sqlite
def test_a_triggerer_that_is_killed_is_replaced_by_another_that_goes_on(live: Live) -> None:
    airflow = live.airflow
    airflow.ask("POST", "/dags/waits/dagRuns", logical_date=None)
    airflow.until(lambda: states(airflow, "waits") == ["deferred"], "the sensor waits without a worker")
    airflow.kill("triggerer")
    live.deliver("edi_inbox", letter(20))
    for number in (21, 22):
        live.deliver("second_inbox", letter(number))
    airflow.start("triggerer")
    airflow.until(lambda: 20 in processed(live), "the mailbox rang")
    airflow.until(lambda: airflow.runs("waits", "success"), "the sensor saw its mails")


@on_postgres
def test_of_a_burst_every_record_is_processed_exactly_once(live: Live) -> None:
    airflow = live.airflow
    numbers = list(range(100, 100 + BURST))
    started = time.monotonic()
    for number in numbers:
        live.deliver("edi_inbox", letter(number))
    airflow.until(lambda: set(numbers) <= set(processed(live)), "every record was processed", 400)
    took = time.monotonic() - started
    airflow.until(
        lambda: not airflow.runs("each", "running") and not airflow.runs("each", "queued"), "all is quiet"
    )
    assert [number for number in processed(live) if number >= 100] == numbers
    print(
        f"\na burst of {BURST} mails: {took:.0f} s, {len(airflow.runs('pop3_on_mail'))} runs fetched all there was"
    )
