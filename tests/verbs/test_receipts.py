"""A person looks who waits for an acknowledgment, and answers."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.maildrop import ASKS_FOR_A_RECEIPT, Maildrop, attachment, multipart

from airflow_pop3_gateway.cli import main
from airflow_pop3_gateway.gateway import classify, purge
from airflow_pop3_gateway.store import answers, outbox
from airflow_pop3_gateway.testing.smtp_server import SmtpServer


@pytest.fixture
def drop(
    maildrop: Callable[..., Maildrop],
    smtp_server: Callable[..., SmtpServer],
    connection: Callable[..., str],
) -> Maildrop:
    """A classified mailbox where one request waits for a person, its connection, and a relay."""
    asking = multipart(1, attachment(b"a.txt", b"a"), headers=ASKS_FOR_A_RECEIPT + b"Subject: \x1b[31m\r\n")
    drop = maildrop(asking, acknowledgment_option="ack_by_user")
    drop.poll()
    classify(drop.site, drop.store)
    extra = {"security": "plain", "mail_address": "edi@us.example", "acknowledgment_option": "ack_by_user"}
    connection("edi", conn_type="pop3", host="127.0.0.1", login="edi", extra=extra)
    relay = smtp_server()
    drop.relay = relay  # type: ignore[attr-defined]
    connection("smtp_default", conn_type="smtp", host=relay.host, port=relay.port,
               extra={"disable_ssl": True, "disable_tls": True})  # fmt: skip
    return drop


@pytest.fixture
def call(drop: Maildrop, tmp_path: Path) -> Callable[..., int]:
    return lambda *words: main(["receipts", *words, "--base-path", tmp_path.as_uri()])


def ident_of(call: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> str:
    call("list", "edi", "--json")
    return str(json.loads(capsys.readouterr().out)["local_ident"])


def test_list_shows_who_waits_and_a_terminal_is_safe(
    call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("list", "edi") == 0
    shown = capsys.readouterr().out
    assert "ack_by_user  p@partner.example  p@partner.example" in shown
    assert "\x1b" not in shown
    call("list", "edi", "--json")
    assert "head" not in json.loads(capsys.readouterr().out)


def test_a_negative_answer_goes_out_at_once_as_a_persons(
    drop: Maildrop, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    ident = ident_of(call, capsys)
    assert call("answer", "edi", ident, "--negative", "--text", "Not ours") == 0
    assert capsys.readouterr().out.startswith("edi: 1 answered failed, 0 had this answer; 1 receipts sent")
    (taken,) = drop.relay.box  # type: ignore[attr-defined]
    assert b"manual-action/MDN-sent-manually; processed/error\r\nError: Not ours\r\n" in taken.octets
    assert answers.find_answer(drop.store, ident).by == getpass.getuser()  # type: ignore[union-attr]
    call("list", "edi")
    assert capsys.readouterr().out == ""


def test_an_answer_that_comes_too_late_is_said_and_not_sent(
    drop: Maildrop, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    ident = ident_of(call, capsys)
    assert call("answer", "edi", ident) == 0
    assert call("answer", "edi", ident) == 0
    capsys.readouterr()
    assert call("answer", "edi", ident, "--outcome", "deleted", "--json") == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["contradicted"] == [ident]
    assert "Answered otherwise before" in told.err
    assert len(drop.relay.box) == 1  # type: ignore[attr-defined]


def test_a_mail_that_does_not_wait_is_one_sentence(
    call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("answer", "edi", "../x\x1b") == 1
    assert capsys.readouterr().err == "../x\\x1b waits for no answer at edi; list what does.\n"
    assert call("answer", "edi") == 1
    assert capsys.readouterr().err == "answer needs local idents, as list gives them.\n"
    assert call("outbox", "edi", "x") == 1
    assert capsys.readouterr().err == "outbox takes no local ident: say answer.\n"


def test_the_outbox_shows_what_did_not_go_out_and_why(
    drop: Maildrop, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    drop.relay.faults.add("sender-4xx")  # type: ignore[attr-defined]
    call("answer", "edi", ident_of(call, capsys))
    capsys.readouterr()
    assert call("outbox", "edi") == 0
    shown = capsys.readouterr().out
    assert shown.startswith("PENDING  p@partner.example  <") and "451" in shown and "next attempt 2" in shown
    (key,) = outbox.pending(drop.store, "edi")
    outbox.settle(drop.store, outbox.read(drop.store, key), state="REFUSED", last_error="550 no")
    call("outbox", "edi", "--json")
    facts = json.loads(capsys.readouterr().out)
    assert (facts["state"], facts["last_error"], "message" in facts) == ("REFUSED", "550 no", False)
    purge(drop.site, drop.store, days=0)
    call("outbox", "edi")
    assert capsys.readouterr().out == ""
