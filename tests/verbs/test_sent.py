"""A person looks which transfers wait, what came of one, and dismisses it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.transfers import IDENT, transfer

from airflow_pop3_gateway.cli import main
from airflow_pop3_gateway.records.sent import EVENT_SCHEMA, EventRow, SentEvent
from airflow_pop3_gateway.store import Store, sent
from airflow_pop3_gateway.testing.object_store import S3Server

KEY = sent.key_of(IDENT)
Call = Callable[..., str]


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Call:
    """A transfer to two, of whom one has answered and one could not be reached; runs the verb."""
    store = Store.at(tmp_path)
    made = transfer(
        "a@x.example",
        "b@x.example",
        subject="\x1b[31mOrders",
        created_at="2020-01-01T00:00:00.000Z",
        ack_deadline="2020-01-01T04:00:00.000Z",
    )
    sent.create(store, made)
    rows = (
        EventRow("a@x.example", "undefined", "accepted"),
        EventRow("b@x.example", "undefined", "accepted"),
    )
    sent.append(store, KEY, SentEvent(EVENT_SCHEMA, "smtp-0001", "smtp", "2020-01-01T00:00:01.000Z", rows))
    receipt = (EventRow("a@x.example", "positive", "processed", detail="\x1b[0m"),)
    event = SentEvent(EVENT_SCHEMA, "r-1", "mdn", "2020-01-01T00:00:02.000Z", receipt, "envid", proof="match")
    sent.append(store, KEY, event)

    def run(*words: str, code: int = 0) -> str:
        assert main(["sent", *words, "--base-path", tmp_path.as_uri()]) == code
        out = capsys.readouterr()
        return out.err if code else out.out

    return run


def test_the_list_says_what_waits_how_long_and_a_terminal_is_safe(call: Call) -> None:
    for shown in (call("list"), call("list", "--overdue")):
        assert shown.startswith(f"{KEY}  OVERDUE  +1 -0 ?1  2020-01-01T04:00:00.000Z  {IDENT}")
        assert "\x1b" not in shown
    assert json.loads(call("list", "--json"))["status"]["state"] == "ENDED_TO_ACK"


def test_show_tells_of_each_recipient_and_every_event(call: Call) -> None:
    shown = call("show", KEY)
    assert "  a@x.example: positive  smtp accepted  mdn processed" in shown
    assert "  b@x.example: undefined  smtp accepted\n" in shown
    assert "  2020-01-01T00:00:02.000Z  r-1  mdn  by envid  proof match\n" in shown
    assert "\x1b" not in shown
    assert [event["name"] for event in json.loads(call("show", KEY, "--json"))["events"]] == [
        "smtp-0001",
        "r-1",
    ]


def test_what_was_dismissed_is_off_the_list_and_can_still_be_shown(call: Call) -> None:
    call("dismiss", KEY)
    assert call("list") == ""
    assert KEY in call("show", KEY)


@pytest.mark.parametrize("words", [("show",), ("show", "0" * 40), ("dismiss", "../x"), ("list", KEY)])
def test_wrong_words_are_one_sentence(call: Call, words: tuple[str, ...]) -> None:
    assert call(*words, code=1).count("\n") == 1


@pytest.mark.parametrize("action", ["show", "dismiss"])
def test_a_key_of_nothing_is_told_as_such(call: Call, action: str) -> None:
    assert call(action, "0" * 40, code=1) == f"{'0' * 40} is no transfer that was sent; list what waits.\n"


def test_what_airflow_logs_is_not_among_what_was_asked_for(
    s3_server: S3Server, connection: Callable[..., str]
) -> None:
    """Its log goes to standard output otherwise, into whatever reads the lines."""
    connection("store", **json.loads(s3_server.airflow_connection()))
    where = ["--base-path", f"s3://store@{s3_server.bucket}/asked"]
    command = [sys.executable, "-m", "airflow_pop3_gateway", "sent", "list", "--json", *where]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "credentials retrieved" in done.stderr


@pytest.mark.usefixtures("database")
def test_the_store_may_lie_behind_a_connection_of_airflows_database(s3_server: S3Server) -> None:
    from airflow.models import Connection
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(Connection.from_json(s3_server.airflow_connection(), conn_id="in_database"))
    assert main(["sent", "list", "--base-path", f"s3://in_database@{s3_server.bucket}/sent"]) == 0
