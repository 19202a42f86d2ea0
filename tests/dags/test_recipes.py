"""The recipes do what they say, each with one mail."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from support.maildrop import Maildrop, attachment, multipart
from support.tasks import Outcome, run_task

from airflow_pop3_gateway.config import Application
from airflow_pop3_gateway.gateway import classify
from airflow_pop3_gateway.gateway.applications import Rules
from airflow_pop3_gateway.store.transfers import read_lines
from airflow_pop3_gateway.testing.object_store import S3Server
from airflow_pop3_gateway.testing.smtp_server import Delivered, SmtpServer

__all__ = ["run_task"]
Run = Callable[..., Outcome]
RULES = Rules.of(
    [
        {"application": "FORWARD", "to": "*@archive.example"},
        {"application": "CSV", "file_name": "*.csv"},
        {"application": "EDI", "file_name": "*.edi"},
    ]
)
APPLICATIONS = {"FORWARD": Application("FORWARD", extract_file=False)}


@pytest.fixture
def stored(
    maildrop: Callable[..., Maildrop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[bytes], dict[str, Any]]:
    """Stores one mail; gives its line."""

    def store(mail: bytes) -> dict[str, Any]:
        drop = maildrop(mail)
        batch = drop.poll().batch
        classify(drop.site, drop.store, choose=RULES, applications=APPLICATIONS)
        monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__BASE_PATH", tmp_path.as_uri())
        lines = read_lines(drop.store, drop.site.name, str(batch))
        assert lines is not None
        return next(lines)

    return store


def sample(dag: str, task: str) -> Any:
    folder = Path(__file__).parents[2] / "dags"
    return DagBag(str(folder / f"{dag}.py"), bundle_name="dags-folder").dags[dag].get_task(task)


def test_a_csv_attachment_becomes_rows(
    stored: Callable[[bytes], dict[str, Any]], run_task: Run, tmp_path: Path, connection: Callable[..., str]
) -> None:
    line = stored(multipart(1, attachment(b"orders.csv", b'number,item\r\n7,bolt\r\n8,"nut, small"\r\n')))
    connection("warehouse", conn_type="sqlite", host=str(tmp_path / "warehouse.db"))
    with sqlite3.connect(tmp_path / "warehouse.db") as database:
        database.execute("CREATE TABLE orders (number, item)")
    loaded = run_task(sample("pop3_csv_to_table", "load"), partition_key=line["key"])
    assert (line["application"], loaded.state, loaded.value) == ("CSV", "success", 2)
    with sqlite3.connect(tmp_path / "warehouse.db") as database:
        assert database.execute("SELECT * FROM orders").fetchall() == [("7", "bolt"), ("8", "nut, small")]


def test_an_edi_file_is_copied_to_a_bucket(
    stored: Callable[[bytes], dict[str, Any]],
    run_task: Run,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = stored(multipart(1, attachment(b"INVOIC.edi", b"UNB+UNOC:3'")))
    monkeypatch.setenv("AIRFLOW_CONN_AWS_DEFAULT", s3_server.airflow_connection())
    s3_server.fs().mkdirs("edi-inbox", exist_ok=True)
    copied = run_task(sample("pop3_edi_to_s3", "copy"), partition_key=line["key"])
    key = f"edi-inbox/{line['originator']}/{line['local_ident']}/INVOIC.edi"
    assert (copied.state, copied.value) == ("success", [f"s3://aws_default@{key}"])
    assert s3_server.fs().cat_file(key) == b"UNB+UNOC:3'"


def test_a_mail_is_forwarded_octet_for_octet_and_once(
    stored: Callable[[bytes], dict[str, Any]],
    run_task: Run,
    smtp_server: Callable[..., SmtpServer],
    connection: Callable[..., str],
) -> None:
    mail = multipart(1, attachment(b"a.bin", b"\x00\xff."), headers=b"To: x@archive.example\r\n").replace(
        b"To: edi@us.example\r\n", b""
    )
    line = stored(mail)
    relay = smtp_server()
    connection(
        "smtp_default",
        conn_type="smtp",
        host=relay.host,
        port=relay.port,
        extra={"disable_ssl": True, "disable_tls": True},
    )
    forward = sample("pop3_forward", "forward")
    assert run_task(forward, partition_key=line["key"]).state == "success"
    assert run_task(forward, partition_key=line["key"]).state == "success"
    assert line["application"] == "FORWARD"
    assert relay.box == [Delivered("gateway@example.com", ("archive@example.com",), mail)]
