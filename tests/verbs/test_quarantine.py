"""The verbs that work on a connection: list, release, replay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from support.maildrop import Maildrop, attachment, letter, multipart

from airflow_pop3_gateway.cli import main
from airflow_pop3_gateway.gateway import classify

TWO_FILES = multipart(
    1, attachment(b"a.txt", b"a"), attachment(b"b.txt", b"b"), headers=b"Subject: two\x1b[31m\r\n"
)


@pytest.fixture
def base(maildrop: Callable[..., Maildrop], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A classified mailbox with one mail in quarantine, and the connection to it."""
    drop = maildrop(letter(7), TWO_FILES)
    drop.poll()
    classify(drop.site, drop.store)
    connection = {"conn_type": "pop3", "host": "127.0.0.1", "login": "edi", "extra": {"security": "plain"}}
    monkeypatch.setenv("AIRFLOW_CONN_EDI", json.dumps(connection))
    return tmp_path.as_uri()


def test_list_shows_what_was_rejected_and_a_terminal_is_safe(
    base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quarantine", "list", "edi", "--base-path", base]) == 0
    shown = capsys.readouterr().out
    assert "multiple-attachments  RECOVER  p@partner.example" in shown
    assert "\x1b" not in shown


def test_release_takes_the_mail_as_the_options_say(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["quarantine", "list", "edi", "--base-path", base, "--json"])
    ident = json.loads(capsys.readouterr().out)["local_ident"]
    words = ["quarantine", "release", "edi", ident, "--base-path", base]
    assert main(words) == 1
    assert "would be rejected again: multiple-attachments" in capsys.readouterr().err
    assert main([*words, "--multiple-attachments", "extract"]) == 0
    assert "XFER a.txt" in capsys.readouterr().out
    main(["quarantine", "list", "edi", "--base-path", base])
    assert capsys.readouterr().out == ""


def test_dismiss_takes_the_mail_off_the_list_and_says_who_and_why(
    base: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "ops")
    main(["quarantine", "list", "edi", "--base-path", base, "--json"])
    ident = json.loads(capsys.readouterr().out)["local_ident"]
    assert main(["quarantine", "dismiss", "edi", ident, "--reason", "spam", "--base-path", base]) == 0
    main(["quarantine", "list", "edi", "--base-path", base])
    assert capsys.readouterr().out == ""
    (written,) = (tmp_path / "dismissed").rglob("*.json")
    found = json.loads(written.read_bytes())
    assert (found["local_ident"], found["by"], found["reason"]) == (ident, "ops", "spam")


def test_replay_shows_each_difference_and_where_the_report_lies(
    base: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rules = tmp_path / "rules.json"
    rules.write_text('[{"application": "TEXTS", "content_type": "text/plain"}]')
    assert main(["replay", "edi", "--base-path", base, "--rules", str(rules)]) == 0
    shown = capsys.readouterr()
    assert "MSG MAIL (MAIL, 0 files) -> MSG TEXTS (TEXTS, 0 files)" in shown.out
    assert "2 mails of 1 batches asked again, 1 would differ; report: " in shown.err


def test_applications_with_options_of_their_own_count_as_in_the_dag(
    base: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rules, applications = tmp_path / "rules.json", tmp_path / "applications.json"
    rules.write_text('[{"application": "BOTH", "content_type": "multipart/*"}]')
    applications.write_text('[{"name": "BOTH", "multiple_attachments": "extract"}]')
    options = ["--base-path", base, "--rules", str(rules), "--applications", str(applications)]
    assert main(["replay", "edi", *options]) == 0
    assert "multiple-attachments (MAIL, 1 files) -> XFER a.txt (BOTH, 2 files)" in capsys.readouterr().out
    main(["quarantine", "list", "edi", "--base-path", base, "--json"])
    ident = json.loads(capsys.readouterr().out)["local_ident"]
    assert main(["quarantine", "release", "edi", ident, *options]) == 0
    assert "/BOTH/" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["quarantine", "list", "nobody"], "no connection 'nobody'"),
        (["quarantine", "release", "edi"], "release needs local idents, as list gives them.\n"),
        (["quarantine", "list", "edi", "x"], "list takes no local ident: say release or dismiss.\n"),
        (["quarantine", "release", "edi", "x"], "x: not in quarantine at edi"),
        (["quarantine", "dismiss", "edi"], "dismiss needs local idents, as list gives them.\n"),
        (["quarantine", "dismiss", "edi", "x", "y"], "x, y: not in quarantine at edi"),
        (["replay", "edi", "--rules", "/nowhere.json"], "/nowhere.json"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    base: str, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main([*words, "--base-path", base]) == 1
    assert told in capsys.readouterr().err
