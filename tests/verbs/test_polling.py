"""A person suspends, resumes, asks and polls."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_pop3_gateway.cli import main
from airflow_pop3_gateway.testing import letters
from airflow_pop3_gateway.testing.pop3_server import Pop3Server
from airflow_pop3_gateway.testing.smtp_server import SmtpServer


@pytest.fixture
def base(tmp_path: Path) -> list[str]:
    """The options for a base path of its own."""
    return ["--base-path", tmp_path.as_uri()]


@pytest.fixture
def relay(smtp_server: Callable[..., SmtpServer]) -> SmtpServer:
    """Where receipts go."""
    return smtp_server()


@pytest.fixture
def server(
    pop3_server: Callable[..., Pop3Server], relay: SmtpServer, connection: Callable[..., str]
) -> Pop3Server:
    """A mailbox of two mails and a relay, with their connections."""
    running = pop3_server({"edi": [letters.message(), letters.asks_for_receipt()]})
    extra = {"security": "plain", "smtp_conn_id": "relay", "mail_address": "edi@example.com"}
    connection("edi", conn_type="pop3", host=running.host, port=running.port, login="edi",
               password=running.password, extra=extra)  # fmt: skip
    connection("relay", conn_type="smtp", host=relay.host, port=relay.port,
               extra={"disable_ssl": True, "disable_tls": True})  # fmt: skip
    return running


def test_poll_runs_every_step_even_at_a_suspended_site(
    server: Pop3Server, relay: SmtpServer, base: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["suspend", "edi", "--reason", "quiet", *base]) == 0
    assert main(["poll", "edi", "--json", *base]) == 0
    suspended, *lines = capsys.readouterr().out.splitlines()
    retrieved, classified, acknowledged = map(json.loads, lines)
    assert suspended.startswith("edi: suspended")
    assert (retrieved["messages"], classified["messages"], acknowledged["sent"]) == (2, 2, 1)
    assert server.mails("edi") == []
    assert len(relay.box) == 1


def test_poll_tells_people_what_was_done_and_that_receipts_wait(
    server: Pop3Server, relay: SmtpServer, base: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    relay.faults.add("sender-4xx")
    assert main(["poll", "edi", *base]) == 1
    told = capsys.readouterr()
    retrieved, classified, acknowledged = told.out.splitlines()
    assert retrieved.startswith("edi retrieved: batch 2") and "messages 2, " in retrieved
    assert ", types 1 MSG 1 XFER, applications 2 MAIL, receipts 1, " in classified
    assert acknowledged == "edi acknowledged: postponed 1"
    assert told.err.endswith("1 receipts wait until the relay takes them; receipts outbox edi says why.\n")
    relay.faults.clear()
    server.deliver("edi", letters.message())
    assert main(["poll", "edi", *base]) == 1  # the next attempt is not due
    assert "edi classified: batches 2" in capsys.readouterr().out
    assert main(["status", "edi", *base]) == 0
    assert capsys.readouterr().out.startswith(f"edi: address {server.host}:{server.port}, login edi, ")


@pytest.mark.usefixtures("server")
def test_status_goes_on_behind_a_site_that_cannot_be_asked(
    base: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "nobody", "edi", *base]) == 1
    told = capsys.readouterr()
    assert told.out.startswith("edi: ")
    assert "no connection 'nobody'" in told.err


@pytest.mark.usefixtures("server")
def test_a_user_without_a_name_may_suspend_too(
    base: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers run as any number."""

    def unknown(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    assert main(["suspend", "edi", *base]) == 0
    main(["status", "edi", *base])
    assert f"by user {os.getuid()}" in capsys.readouterr().out


def test_status_shows_what_is_held_until_it_is_resumed(
    server: Pop3Server, base: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["suspend", "edi", "--reason", "quiet", *base])
    main(["suspend", "edi", *base])
    assert "edi: was suspended before" in capsys.readouterr().out
    assert main(["status", "edi", *base]) == 0
    assert ": quiet" in capsys.readouterr().out
    assert main(["resume", "edi", *base]) == 0
    main(["resume", "edi", *base])
    assert capsys.readouterr().out.splitlines() == ["edi: is polled again", "edi: was not suspended"]
    assert main(["status", "edi", "--json", *base]) == 0
    assert json.loads(capsys.readouterr().out)["held"] == ""


@pytest.mark.usefixtures("server")
def test_a_reason_somebody_gave_on_the_page_never_moves_the_cursor(
    base: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["suspend", "edi", "--reason", "\x1b[2J", *base])
    main(["status", "edi", *base])
    assert r"\x1b[2J" in capsys.readouterr().out


def test_a_connection_that_is_not_there_is_one_sentence(
    base: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["suspend", "nobody"], ["resume", "nobody"], ["status", "nobody"], ["poll", "nobody"]):
        assert main([*words, *base]) == 1
        assert "no connection 'nobody'" in capsys.readouterr().err
