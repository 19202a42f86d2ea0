"""The sample DAG that sends, with Airflow itself and a relay."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from airflow.dag_processing.dagbag import DagBag

from airflow_pop3_gateway.store import Store, sent
from airflow_pop3_gateway.testing.smtp_server import SmtpServer

FOLDER = Path(__file__).parents[2] / "dags"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("database")
def test_a_file_is_sent_and_waits_for_its_acknowledgment(
    smtp_server: Callable[..., SmtpServer],
    connection: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    relay = smtp_server("dsn")
    ours = {"mail_address": "edi@us.example"}
    connection("pop3_default", conn_type="pop3", host="pop.us.example", login="edi", extra=ours)
    plain = {"disable_ssl": True, "disable_tls": True}
    connection("smtp_default", conn_type="smtp", host="127.0.0.1", port=relay.port, extra=plain)
    monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__BASE_PATH", (tmp_path / "base").as_uri())
    file = tmp_path / "ORDERS.edi"
    file.write_bytes(b"UNA")
    dag = DagBag(str(FOLDER / "pop3_send_and_track.py"), bundle_name="dags-folder").dags[
        "pop3_send_and_track"
    ]

    run = dag.test(
        run_conf={"file": str(file), "to": "orders@partner.example"}, mark_success_pattern="acknowledged"
    )

    assert {task.task_id: str(task.state) for task in run.get_task_instances()}["send"] == "success"
    (mail,) = relay.box
    assert (mail.mail_from, mail.recipients) == ("edi@us.example", ("orders@partner.example",))
    store = Store.at(tmp_path / "base")
    waiting = sent.read(store, *sent.waiting_keys(store))
    assert (waiting.application, waiting.asked_by["run_id"]) == ("ORDERS", run.run_id)
    assert waiting.subject.startswith("Orders of 20")
