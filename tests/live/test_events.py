"""A real scheduler, triggerer, DAG processor and API server: a DAG runs because a mail arrived in Dovecot."""

from __future__ import annotations

import email
import json
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
    airflow.trigger("sweep")
    airflow.until(lambda: 10 in processed(live), "the record was processed")


@on_sqlite
def test_a_sensor_that_is_cleared_or_whose_worker_dies_with_the_news_looks_again(live: Live) -> None:
    airflow = live.airflow
    run, frail = airflow.trigger("waits", subject="3*"), airflow.trigger("frail", subject="3*")
    airflow.until(lambda: states(airflow, "frail") == ["deferred"], "both wait without a worker")
    airflow.until(lambda: "deferred" in states(airflow, "waits"), "both wait without a worker")
    airflow.ask("POST", "/dags/waits/clearTaskInstances", dag_run_id=run, dry_run=False, only_failed=False)
    for number in (31, 32):
        live.deliver("second_inbox", letter(number))
    for dag_id, run_id in (("waits", run), ("frail", frail)):
        task = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/wait"
        airflow.until(lambda: airflow.get(task).get("state") == "success", f"{dag_id} saw its mails")  # noqa: B023
        assert airflow.get(task)["try_number"] == 2
        assert airflow.get(f"{task}/xcomEntries/return_value")["value"]["messages"] == 2
        assert airflow.get(f"{task}/links")["extra_links"]["Transfers"].endswith(
            "/pop3-gateway/#second_inbox"
        )


@on_sqlite
def test_a_mailbox_rings_when_its_dag_is_switched_on_again(live: Live) -> None:
    """Airflow takes the watcher away with the DAG."""
    airflow = live.airflow

    def watched() -> bool:
        (asset,) = airflow.get("/assets?name_pattern=pop3-mailbox-edi_inbox")["assets"]
        return bool(asset["watchers"])

    airflow.until(watched, "the mailbox is watched")
    ended = airflow.log("triggerer").count("trigger completed")
    airflow.pause("pop3_on_mail", True)
    airflow.until(lambda: airflow.log("triggerer").count("trigger completed") > ended, "nobody watches")
    live.deliver("edi_inbox", letter(40))
    airflow.pause("pop3_on_mail", False)
    airflow.until(lambda: 40 in processed(live), "the mail was fetched")


@on_sqlite
def test_the_forms_test_button_logs_in_and_says_what_it_saw(live: Live) -> None:
    form = json.loads(live.airflow.environment["AIRFLOW_CONN_SECOND_INBOX"])
    form = {**form, "connection_id": "second_inbox", "extra": json.dumps(form["extra"])}
    right, wrong = (
        live.airflow.ask("POST", "/connections/test", **{**form, **change})
        for change in ({}, {"password": "wrong"})
    )
    assert (right["status"], wrong["status"]) == (True, False)
    assert right["message"].startswith("Logged in at ") and wrong["message"].startswith(
        "AuthenticationFailed: "
    )


@on_sqlite
def test_somebody_is_told_at_a_deadline_as_the_page_says(live: Live) -> None:
    """Over a relay with STARTTLS, where an asynchronous notifier of the provider fails."""
    run = live.airflow.trigger("payments")
    live.airflow.until(lambda: live.relay.box, "a mail came")
    mail = email.message_from_bytes(live.relay.box[0].octets)
    (text,) = mail.get_payload()
    assert (mail["Subject"], mail["To"]) == ("No receipt yet", "edi@us.example")
    assert text.get_payload(decode=True).decode() == f"payments {run}"


@on_sqlite
def test_of_two_triggerers_one_goes_on_when_the_other_is_killed_and_nothing_is_done_twice(live: Live) -> None:
    airflow = live.airflow
    airflow.start("triggerer", "second triggerer")
    airflow.until(
        lambda: airflow.get("/jobs?job_type=TriggererJob&is_alive=true").get("total_entries") == 2, "two run"
    )
    run = airflow.trigger("waits", subject="5*")
    live.deliver("edi_inbox", letter(50))
    airflow.until(lambda: 50 in processed(live), "the mailbox rang")
    airflow.kill("triggerer")
    live.deliver("edi_inbox", letter(51))
    for number in (52, 53):
        live.deliver("second_inbox", letter(number))
    airflow.until(lambda: 51 in processed(live), "the mailbox rang")
    task = f"/dags/waits/dagRuns/{run}/taskInstances/wait"
    airflow.until(lambda: airflow.get(task).get("state") == "success", "the sensor saw its mails")
    airflow.until(lambda: not airflow.runs("each", "running"), "all is quiet")
    numbers = processed(live)
    assert len(numbers) == len(set(numbers))


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
