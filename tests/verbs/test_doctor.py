"""``doctor``: by a connection or by options alone, for people and as JSON, with exit codes that can be relied on."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_pop3_gateway.cli import main
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server
from airflow_pop3_gateway.testing.pop3_server import Pop3Server
from airflow_pop3_gateway.verbs import doctor

MAIL = b"Subject: dots\r\n\r\n.a\r\n"
Output = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POP3_PASSWORD", "secret")
    monkeypatch.setenv("COLUMNS", "120")


def by_options(server: Any, *words: str) -> list[str]:
    return ["doctor", "--host", server.host, "--port", str(server.port), "--login", "box", *words]


def test_a_good_server_is_fine(pop3_server: Callable[..., Pop3Server], capsys: Output) -> None:
    server = pop3_server({"box": [MAIL]}, security="tls")
    assert main(by_options(server, "--ca-file", server.ca_file)) == 0
    shown = capsys.readouterr().out
    assert f"{server.host}:{server.port}  tls\n" in shown
    assert "  TLS           TLSv1.3, " in shown and "    SHA-256     " in shown
    assert "ok    login" in shown and "ok    uidl stable" in shown
    assert shown.endswith("verdict fine\n\n")
    assert server.mails("box") == [MAIL]


@pytest.mark.parametrize("option", ["fingerprint", "server-hostname"])
def test_options_of_tls_count(pop3_server: Callable[..., Pop3Server], capsys: Output, option: str) -> None:
    server = pop3_server({"box": []}, security="starttls")
    value = {"fingerprint": "00" * 32, "server-hostname": "pop.example"}[option]
    words = by_options(server, "--ca-file", server.ca_file, "--security", "starttls", f"--{option}", value)
    assert main(words) == 2
    assert "verdict TlsFailed: " in capsys.readouterr().out


def test_as_json_it_is_one_object_a_line(capsys: Output) -> None:
    with FaultyPop3Server(box=[MAIL]) as server:
        assert main(by_options(server, "--security", "plain", "--json")) == 0
    (result,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert result["ok"] and result["host"] == server.host
    assert {"checks", "advice", "capabilities", "mechanisms", "profile", "tls"} <= result.keys()


@pytest.mark.parametrize("fault", ["uidl-same", "no-uidl", "no-top", "retr-cut:5"])
def test_what_matters_is_exit_code_1(fault: str, capsys: Output) -> None:
    with FaultyPop3Server(fault, box=[MAIL, MAIL + b"more\r\n"]) as server:
        assert main(by_options(server, "--security", "plain")) == 1
    shown = capsys.readouterr().out
    assert "FAIL" in shown or "verdict ConnectionLost" in shown


@pytest.mark.parametrize("fault", ["greeting-err", "auth-fail", "in-use"])
def test_no_session_is_exit_code_2_and_is_tried_once(fault: str, capsys: Output) -> None:
    with FaultyPop3Server(fault, box=[MAIL]) as server:
        assert main(by_options(server, "--security", "plain")) == 2
        assert server.transcript.count("PASS ***") == (fault != "greeting-err")
    shown = capsys.readouterr().out
    assert ("(try again later)" in shown) == (fault != "auth-fail")
    assert "secret" not in shown


def test_nobody_there_is_exit_code_2(capsys: Output) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert main(["doctor", "--host", "127.0.0.1", "--port", str(port)]) == 2
    assert "verdict ConnectionLost: " in capsys.readouterr().out


def test_a_connection_is_examined_at_each_of_its_addresses(
    connection: Callable[..., str], capsys: Output
) -> None:
    """A backup that nobody ever looked at is no backup."""
    with FaultyPop3Server(box=[MAIL]) as main_one, FaultyPop3Server("auth-fail", box=[MAIL]) as backup:
        extra = {"security": "plain", "alternates": f"{backup.host}:{backup.port}"}
        place = {"host": main_one.host, "port": main_one.port, "login": "box", "password": "secret"}
        connection("orders", conn_type="pop3", **place, extra=extra)
        assert main(["doctor", "orders", "--json"]) == 2
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["site"], first["port"], first["ok"]) == ("orders", main_one.port, True)
    assert any("Set mail_address" in advice for advice in first["advice"])
    assert (second["port"], second["error"]["kind"]) == (backup.port, "AuthenticationFailed")


def test_without_a_login_no_password_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("POP3_PASSWORD")
    with FaultyPop3Server(box=[]) as server:
        words = ["doctor", "--host", server.host, "--port", str(server.port), "--security", "plain"]
        assert main(words) == 0
        assert server.transcript == ["CAPA", "QUIT"]


@pytest.mark.parametrize(
    ("auth", "prompt"), [("basic", "Password of box at "), ("xoauth2", "Access token of box at ")]
)
def test_a_person_is_asked_for_the_password(monkeypatch: pytest.MonkeyPatch, auth: str, prompt: str) -> None:
    asked: list[str] = []
    monkeypatch.delenv("POP3_PASSWORD")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr(doctor.getpass, "getpass", lambda words: asked.append(words) or "secret")
    with FaultyPop3Server(box=[MAIL]) as server:
        assert main(by_options(server, "--security", "plain", "--auth", auth)) == (
            2 if auth == "xoauth2" else 0
        )
    assert asked[0].startswith(prompt)


def test_without_a_person_the_environment_must_have_it(
    monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    monkeypatch.delenv("POP3_PASSWORD")
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: False))
    assert main(["doctor", "--host", "h", "--login", "box"]) == 2
    assert "POP3_PASSWORD" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["orders", "--host", "h"],
        ["orders", "--port", "995"],
        ["nowhere"],
        ["--host", "h", "--port", "0"],
        ["--host", "a b"],
    ],
)
def test_what_makes_no_sense_is_exit_code_2(words: list[str], capsys: Output) -> None:
    assert main(["doctor", *words]) == 2
    output = capsys.readouterr()
    assert output.err and not output.out


def test_what_a_server_says_never_moves_the_cursor(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    nothing: dict[str, Any] = dict.fromkeys(
        ("error", "tls", "capabilities", "mechanisms", "checks", "advice")
    )
    told = {"host": "h", "port": 995, "security": "tls", "ok": True, "profile": "unknown"}
    result = {**nothing, **told, "greeting": "\x1b[2J", "checks": []}
    monkeypatch.setattr(doctor, "examine", lambda site: result)
    assert main(["doctor", "--host", "h"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_with_options_alone_it_does_not_wait_for_airflow() -> None:
    probe = (
        "import sys; from airflow_pop3_gateway.cli import main; "
        "main(['doctor', '--host', '127.0.0.1', '--port', '1']); "
        "sys.exit(any(name.partition('.')[0] == 'airflow' for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False).returncode == 0
