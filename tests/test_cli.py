"""The command line: one table of verbs, with exit codes that can be relied on."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_pop3_gateway.cli import PROGRAM, VERBS, Verb, airflow_commands, main

CSV = b"order;pieces\r\n4711;12\r\n"
MAIL = (
    b"From: partner@example.com\r\nTo: us@example.com\r\nSubject: order\r\nMessage-ID: <1@example.com>\r\n"
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Type: text/csv\r\nContent-Disposition: attachment; filename=order.csv\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nb3JkZXI7cGllY2VzDQo0NzExOzEyDQo=\r\n--b--\r\n"
)


@pytest.fixture
def mail(tmp_path: Path) -> Path:
    path = tmp_path / "order.eml"
    path.write_bytes(MAIL)
    return path


def test_classify_says_what_the_gateway_would_make_of_a_mail(
    mail: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["classify", "--json", str(mail)]) == 0
    (answer,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (answer["file"], answer["type"], answer["file_name"]) == (str(mail), "XFER", "order.csv")
    (attachment,) = answer["attachments"]
    assert attachment["name"] == "order.csv"
    assert attachment["content_type"] == "text/csv"
    assert attachment["size"] == len(CSV)
    assert attachment["sha256"] == hashlib.sha256(CSV).hexdigest()
    assert answer["report"] is None
    assert answer["defects"] == []


def test_classify_for_people(mail: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify", str(mail)]) == 0
    output = capsys.readouterr().out
    assert "TYPE=XFER FILE_NAME=order.csv" in output
    assert f"order.csv  text/csv  {len(CSV)} octets" in output


def test_rules_and_applications_are_tried_on_mails_at_hand(
    mail: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules, applications = tmp_path / "rules.json", tmp_path / "applications.json"
    rules.write_text(
        '[{"application": "ORDERS", "originator": "edi_*", "destination": "orders?"},'
        ' {"reject": true, "originator": "spam"}]'
    )
    applications.write_text('[{"name": "ORDERS", "extract_file": false}]')
    words = ["classify", str(mail), "--rules", str(rules), "--applications", str(applications)]
    main(words)
    assert "TYPE=XFER FILE_NAME=order.csv APPLICATION=MAIL (multipart-one-file)" in capsys.readouterr().out
    main([*words, "--originator", "edi_1", "--destination", "orders1"])
    assert "TYPE=XFER FILE_NAME=ORDERS.eml APPLICATION=ORDERS (whole-mail)" in capsys.readouterr().out
    main([*words, "--originator", "spam"])
    assert "rejected    application-rejected rule 2 rejects this mail" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "text", "told"),
    [
        (
            "--applications",
            '[{"name": "A", "unzipp": true}]',
            "there is no field 'unzipp'; did you mean 'unzip'?",
        ),
        ("--applications", '[{"name": "A", "unzip": "yes"}]', "unzip='yes' is neither true nor false"),
        ("--applications", '[{"name": 1}]', "application 1: application name 1"),
        ("--applications", '{"name": "A"}', "must be a list of Applications"),
        ("--rules", "[1]", "rule 1 is not an object"),
        ("--application", "a/b", "must be a plain word"),
    ],
)
def test_rules_and_applications_that_make_no_sense_are_wrong_usage(
    mail: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, text: str, told: str
) -> None:
    file = tmp_path / "x.json"
    file.write_text(text)
    value = text if option == "--application" else str(file)
    assert main(["classify", str(mail), option, value]) == 2
    assert told in capsys.readouterr().err


def test_a_file_that_cannot_be_read_is_an_answer_and_the_others_go_on(
    mail: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = str(mail.parent / "missing.eml")
    assert main(["classify", "--json", missing, str(mail.parent), str(mail)]) == 1
    output = capsys.readouterr()
    answers = [json.loads(line) for line in output.out.splitlines()]
    assert [answer["type"] for answer in answers] == [None, None, "XFER"]
    assert answers[0]["error"] == "No such file or directory"
    assert missing in output.err


@pytest.mark.parametrize(
    "garbage", [b"", b"\r\n", b"\x00\xff" * 500, b"Content-Type: multipart/mixed\r\n\r\n--"]
)
def test_garbage_is_classified_like_any_mail(
    tmp_path: Path, garbage: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.eml").write_bytes(garbage)
    assert main(["classify", "--json", str(tmp_path / "x.eml")]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["type"] in ("XFER", "MSG", "EERP")


def test_a_dash_reads_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(MAIL)))
    assert main(["classify", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == "-"


def test_what_a_partner_wrote_never_moves_the_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x.eml").write_bytes(MAIL.replace(b"filename=order.csv", b'filename="a\x1b[2Jb.csv"'))
    main(["classify", str(tmp_path / "x.eml")])
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["classify"], ["classify", "--nonsense", "x"], ["brew"]])
def test_wrong_usage_is_exit_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_classify_does_not_wait_for_airflow(mail: Path) -> None:
    probe = (
        "import sys; from airflow_pop3_gateway.cli import main; "
        f"main(['classify', '--json', {str(mail)!r}]); "
        "sys.exit(any(name.partition('.')[0] in ('airflow', 'moto', 'twisted') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False).returncode == 0


def test_a_reader_who_leaves_early_is_no_error(mail: Path) -> None:
    program = [sys.executable, "-m", "airflow_pop3_gateway", "classify", "--json", *[str(mail)] * 50]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_every_verb_leads_to_its_work(verb: object) -> None:
    module, _, function = verb.work.partition(":")  # type: ignore[attr-defined]
    assert callable(getattr(importlib.import_module(module), function))


def test_airflow_gets_the_same_verbs_with_the_same_arguments() -> None:
    from airflow.cli.cli_parser import _add_command

    (group,) = airflow_commands()
    assert group.name == PROGRAM
    top = argparse.ArgumentParser()
    _add_command(top.add_subparsers(), group)
    arguments = top.parse_args([PROGRAM, "classify", "a.eml", "--json", "--multiple-attachments", "extract"])
    assert (arguments.files, arguments.json, arguments.multiple_attachments) == (["a.eml"], True, "extract")
    with pytest.raises(SystemExit) as caught:
        arguments.func(
            argparse.Namespace(**{**vars(arguments), "files": ["/nonexistent"], "application": "MAIL"})
        )
    assert caught.value.code == 1


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb.name)
def test_airflows_help_says_every_word_of_ours(verb: Verb) -> None:
    """Its formatter reads markup: a word in brackets was not shown."""
    from airflow.cli.cli_parser import LazyRichHelpFormatter, _add_command

    (group,) = airflow_commands()
    top = argparse.ArgumentParser(formatter_class=LazyRichHelpFormatter)
    _add_command(top.add_subparsers(), group)
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream), pytest.raises(SystemExit):
        top.parse_args([PROGRAM, verb.name, "--help"])
    shown = "".join(re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).split())
    for words in (verb.help, *(each.options.get("help", "") for each in verb.arguments)):
        assert "".join(words.split()) in shown


def test_a_verb_that_needs_an_extra_names_it() -> None:
    tours = [verb for verb in VERBS if ".demo." in verb.work]
    assert {verb.name: verb.extra for verb in tours} == {"demo": "demo", "standalone": "demo"}
