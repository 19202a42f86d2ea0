"""The sample DAGs that answer requests for receipts, with Airflow itself, a mailbox and a relay."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models import TaskInstance
from airflow.models.hitl import HITLDetail
from airflow.models.trigger import handle_event_submit
from airflow.sdk import timezone
from airflow.triggers.base import TriggerEvent
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from support.maildrop import ASKS_FOR_A_RECEIPT, attachment, letter, multipart

from airflow_pop3_gateway.testing.pop3_server import Pop3Server
from airflow_pop3_gateway.testing.smtp_server import SmtpServer

FOLDER = Path(__file__).parents[2] / "dags"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("database")]


@pytest.fixture
def run(
    pop3_server: Callable[..., Pop3Server],
    smtp_server: Callable[..., SmtpServer],
    connection: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Callable[..., tuple[dict[tuple[str, int], str], SmtpServer]]:
    """Runs a sample DAG once on a mailbox. :returns: the states of its tasks, and the relay."""

    def run_once(name: str, *mails: bytes, **options: Any) -> tuple[dict[tuple[str, int], str], SmtpServer]:
        server, relay = pop3_server({"edi": list(mails)}), smtp_server()
        extra = {"security": "plain", "mail_address": "edi@us.example", **options}
        for site in ("partners", "approvals"):
            connection(site, conn_type="pop3", host=server.host, port=server.port, login="edi",
                       password=server.password, extra=extra)  # fmt: skip
        connection("smtp_default", conn_type="smtp", host=relay.host, port=relay.port,
                   extra={"disable_ssl": True, "disable_tls": True})  # fmt: skip
        monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__BASE_PATH", tmp_path.as_uri())
        dag = DagBag(str(FOLDER / f"{name}.py"), bundle_name="dags-folder").dags[name]
        done = dag.test()
        return {(task.task_id, task.map_index): str(task.state) for task in done.get_task_instances()}, relay

    return run_once


def asking(number: int, octets: bytes = b"order") -> bytes:
    return multipart(number, attachment(b"order.txt", octets), headers=ASKS_FOR_A_RECEIPT)


def test_each_partner_hears_what_became_of_his_file(run: Callable[..., Any]) -> None:
    states, relay = run(
        "pop3_acknowledge_outcome", asking(1), asking(2, b""), letter(3), acknowledge_after="processed"
    )
    assert [states["handle.process", index] for index in range(3)] == ["success", "failed", "success"]
    assert [states["handle.answer", index] for index in range(3)] == ["success"] * 3
    said = {each.octets.split(b"Original-Message-ID: ")[1].split(b"\r\n")[0]: each for each in relay.box}
    assert set(said) == {b"<1@partner.example>", b"<2@partner.example>"}
    assert (
        b"Disposition: automatic-action/MDN-sent-automatically; processed\r\n"
        in said[b"<1@partner.example>"].octets
    )
    assert b"could not be processed" not in said[b"<1@partner.example>"].octets
    assert b"MDN-sent-automatically; processed/error\r\nError: A file" in said[b"<2@partner.example>"].octets
    assert {each.mail_from for each in relay.box} == {""}


def person(choices: dict[str, tuple[str, str]], shown: dict[str, str]) -> Callable[[float], None]:
    """Somebody at Airflow's UI: whenever the run would sleep until a person decides, one question is decided."""

    def decide(seconds: float) -> None:
        with create_session() as session:
            asked = session.query(TaskInstance).filter_by(state=TaskInstanceState.AWAITING_INPUT).first()
            assert asked is not None, "nobody is asked, who sleeps?"
            detail = session.query(HITLDetail).filter_by(ti_id=asked.id).one()
            subject = next(word for word in choices if word in detail.body)
            shown[subject] = detail.body
            choice, text = choices[subject]
            detail.responded_by = {"id": "7", "name": "anna"}
            detail.responded_at = timezone.utcnow()
            detail.chosen_options, detail.params_input = [choice], {"text": text}
            event = TriggerEvent(detail.as_resume_event_payload())
            handle_event_submit(event, task_instance=asked, session=session)

    return decide


def test_a_person_decides_in_airflow_who_gets_a_receipt(
    run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = {
        "yes, please": ("Acknowledge", ""),
        "rather": ("Refuse", "Not for us"),
        "never": ("No receipt", ""),
    }
    shown: dict[str, str] = {}
    monkeypatch.setattr(time, "sleep", person(choices, shown))
    subjects = [b"yes, please", b"rather [not](http://evil.example) {{ conn.x }}", b"never"]
    mails = [
        asking(n).replace(b"From: p@", b"Subject: " + subject + b"\r\nFrom: p@")
        for n, subject in enumerate(subjects)
    ]
    states, relay = run("pop3_approve_receipts", *mails, acknowledgment_option="ack_by_user")
    assert {states["ask", index] for index in range(3)} == {states["acknowledge", -1]} == {"success"}
    yes, no = sorted((each.octets for each in relay.box), key=lambda octets: b"processed/error" in octets)
    assert b"Disposition: manual-action/MDN-sent-manually; processed\r\n" in yes
    assert b"manual-action/MDN-sent-manually; processed/error\r\nError: Not for us\r\n" in no
    assert "` rather [not](http://evil.example) {{ conn.x }} `" in shown["rather"], "shown as it is, as code"


def test_where_nobody_asks_nobody_is_asked(run: Callable[..., Any]) -> None:
    states, relay = run("pop3_approve_receipts", letter(1), acknowledgment_option="ack_by_user")
    assert (states["ask", -1], states["acknowledge", -1], relay.box) == ("skipped", "success", [])
