"""The list of sites comes from where people keep it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from airflow_pop3_gateway.errors import ConfigurationError, ConnectionLost, StoreUnavailable
from airflow_pop3_gateway.hooks.sites import sites_from_file, sites_from_variable, sites_of_airflow


class Api(BaseHTTPRequestHandler):
    """As much of Airflow's API as lists connections."""

    connections: ClassVar[list[dict[str, str]]] = [
        {"connection_id": f"site{number:03d}", "conn_type": "pop3" if number % 2 else "smtp"}
        for number in range(250)
    ]

    def do_POST(self) -> None:
        login = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = login == {"username": "robot", "password": "secret"} and self.path == "/auth/token"
        self._answer(201 if known else 401, {"access_token": "t0ken"} if known else {})

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.headers["Authorization"] != "Bearer t0ken" or parts.path != "/api/v2/connections":
            self._answer(403, {})
            return
        first = int(query["offset"])
        page = self.connections[first : first + min(int(query["limit"]), 100)]
        self._answer(200, {"connections": page, "total_entries": len(self.connections)})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[int]:
    """The port of the API."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Log in</html>",
        b"\x81",
        b"[]",
        b'{"token": "t0ken"}',
        b'{"access_token": "t0ken"}',
        '{"access_token": "t\u00f6ken"}'.encode(),
    ],
)
def test_an_answer_that_is_none_of_airflows_api_names_the_connection(
    body: bytes, connection: Callable[..., str]
) -> None:
    """A proxy that asks for a login of its own answers too."""

    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        connection("api", conn_type="http", host="127.0.0.1", port=server.server_port)
        with pytest.raises(ConfigurationError, match="'api'"):
            sites_of_airflow("api")
        server.shutdown()


def test_a_variable_lists_them_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_SITES", '["orders", "invoices", "orders"]')
    assert sites_from_variable("sites") == ["orders", "invoices"]
    assert sites_from_variable("no_such", default=["pop3_default"]) == ["pop3_default"]
    with pytest.raises(ConfigurationError, match="no_such"):
        sites_from_variable("no_such")


@pytest.mark.parametrize("text", ['["a", "b"]', "a\n# not this\n\n  b  # but this\n"])
def test_a_file_lists_them_as_json_or_as_lines(text: str, tmp_path: Path) -> None:
    (tmp_path / "sites").write_text(text)
    assert sites_from_file((tmp_path / "sites").as_uri()) == ["a", "b"]
    with pytest.raises(ConfigurationError, match="no file"):
        sites_from_file((tmp_path / "nothing").as_uri())


def test_a_storage_that_cannot_be_reached_is_later(connection: Callable[..., str]) -> None:
    extra = {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"max_attempts": 0}}}
    connection("dead_s3", conn_type="aws", login="demo", password="demo", extra=extra)
    with pytest.raises(StoreUnavailable, match="s3://dead_s3@bucket/sites"):
        sites_from_file("s3://dead_s3@bucket/sites")


@pytest.mark.parametrize("url", ["nope://bucket/sites", "http://[::1"])
def test_a_place_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        sites_from_file(url)
    assert caught.value.field == "url"


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sites").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="no text"):
        sites_from_file((tmp_path / "sites").as_uri())


@pytest.mark.parametrize("text", ["[1]", '[""]', '{"a": "b"}', "two words", "7", "null"])
def test_what_is_no_list_of_ids_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_SITES", text)
    with pytest.raises(ConfigurationError, match="'sites'"):
        sites_from_variable("sites")


def test_every_connection_of_the_environment_and_of_airflow_is_found(
    api: int, connection: Callable[..., str]
) -> None:
    connection("orders", conn_type="pop3", host="pop.example.com", login="o")
    connection("relay", conn_type="smtp", host="smtp.example.com")
    connection("airflow_api", conn_type="http", host="127.0.0.1", port=api, login="robot", password="secret")
    assert sites_of_airflow() == ["orders"]
    of_api = [f"site{number:03d}" for number in range(1, 250, 2)]
    assert sites_of_airflow("airflow_api") == ["orders", *of_api]


@pytest.mark.parametrize("host", ["http://[::1", "ftp://127.0.0.1", "127.0.0.1:http"])
def test_a_host_that_is_no_address_names_the_connection(host: str, connection: Callable[..., str]) -> None:
    with pytest.raises(ConfigurationError, match="'airflow_api'"):
        sites_of_airflow(connection("airflow_api", conn_type="http", host=host))


def test_a_connection_that_airflow_does_not_give_is_perhaps_there_later() -> None:
    with pytest.raises(ConfigurationError, match=r"'nobody'.* with type http") as caught:
        sites_of_airflow("nobody")
    assert caught.value.retriable


def test_a_refused_login_and_a_dead_api_are_told_apart(api: int, connection: Callable[..., str]) -> None:
    connection("airflow_api", conn_type="http", host="http://127.0.0.1", port=api, login="robot")
    with pytest.raises(ConfigurationError, match="airflow_api"):
        sites_of_airflow("airflow_api")
    connection("airflow_api", conn_type="http", host="127.0.0.1", port=1, login="robot")
    with pytest.raises(ConnectionLost, match="cannot be reached") as caught:
        sites_of_airflow("airflow_api")
    assert caught.value.__cause__ is None  # it would have the password
