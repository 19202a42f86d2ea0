"""Tokens come from an endpoint, are kept until they end, and are replaced when they are refused; secrets stay secret."""

from __future__ import annotations

import json
import logging
import pickle
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from airflow.sdk import Connection
from support.tokens import TokenServer

from airflow_pop3_gateway.errors import (
    ConfigurationError,
    ConnectionLost,
    GatewayError,
    ServerUnavailable,
    TimedOut,
    TlsFailed,
)
from airflow_pop3_gateway.hooks import oauth
from airflow_pop3_gateway.hooks.connection import site_from
from airflow_pop3_gateway.hooks.oauth import TokenEndpoint
from airflow_pop3_gateway.testing.certificates import Certificates


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    """Each test is a process of its own, as far as tokens are kept."""
    oauth._kept_of.cache_clear()


@pytest.fixture
def server(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[TokenServer]:
    """A token server that this process trusts, for the tests' authority is the system's."""
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca_file)
    with TokenServer(certificates) as tokens:
        yield tokens


@pytest.fixture
def ask(server: TokenServer) -> Callable[..., TokenEndpoint]:
    """An endpoint of the server, by the client's own credentials unless a test says otherwise."""

    def endpoint(**options: str) -> TokenEndpoint:
        return TokenEndpoint(
            **{
                "token_url": server.token_url,
                "client_id": server.client_id,
                "client_secret": server.client_secret,
                **options,
            }
        )

    return endpoint


Ask = Callable[..., TokenEndpoint]


def test_a_client_asks_in_its_own_name(server: TokenServer, ask: Ask) -> None:
    assert ask(scope="mail.read mail.delete")() == "token-1"
    assert server.asked == [
        {
            "grant_type": "client_credentials",
            "client_id": server.client_id,
            "client_secret": server.client_secret,
            "scope": "mail.read mail.delete",
        }
    ]


def test_a_refresh_token_asks_in_the_name_of_who_granted_it(server: TokenServer, ask: Ask) -> None:
    assert ask(refresh_token="1//refresh")() == "token-1"
    (form,) = server.asked
    assert (form["grant_type"], form["refresh_token"]) == ("refresh_token", "1//refresh")
    assert "scope" not in form


def test_a_token_is_kept_for_every_session_of_the_process(server: TokenServer, ask: Ask) -> None:
    assert [ask()(), ask()(), pickle.loads(pickle.dumps(ask()))()] == ["token-1"] * 3
    assert ask(scope="other")() == "token-2"


@pytest.mark.parametrize("lifetime", [60, "60", None, "soon", [], float("inf"), -1])
def test_a_token_that_ends_within_a_session_or_nobody_knows_when_is_not_kept(
    server: TokenServer, ask: Ask, lifetime: Any
) -> None:
    server.lifetime = lifetime
    assert [ask()(), ask()()] == ["token-1", "token-2"]


def test_a_kept_token_is_renewed_in_time(
    server: TokenServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ask()() == "token-1"
    later = oauth.time.monotonic() + 3600 - oauth.MARGIN
    monkeypatch.setattr(oauth.time, "monotonic", lambda: later)
    assert ask()() == "token-2"


def test_a_kept_token_that_is_refused_is_replaced(server: TokenServer, ask: Ask) -> None:
    ask()()
    assert ask()() == "token-1"
    assert ask()("token-1") == "token-2"
    assert ask()() == "token-2"


def test_a_new_token_that_is_refused_cannot_be_bettered_now_but_at_the_next_login(
    server: TokenServer, ask: Ask
) -> None:
    token = ask()()
    assert ask()(token) == token
    assert len(server.asked) == 1
    assert ask()() == "token-2"


def test_a_refused_token_that_another_session_replaced_is_not_replaced_again(
    server: TokenServer, ask: Ask
) -> None:
    ask()()
    ask()()
    assert [ask()("token-1"), ask()("token-1")] == ["token-2"] * 2


def test_a_refresh_token_that_changes_is_followed_while_the_process_runs(
    server: TokenServer, ask: Ask
) -> None:
    server.lifetime = 0
    server.extra = {"refresh_token": "second"}
    endpoint = ask(refresh_token="first")
    endpoint()
    server.extra = {}
    endpoint()
    endpoint()
    assert [form["refresh_token"] for form in server.asked] == ["first", "second", "second"]


def test_trouble_on_the_way_changes_no_refresh_token_and_a_no_brings_back_the_one_of_the_connection(
    server: TokenServer, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth, "AGAIN", 0.0)
    server.lifetime = 0
    server.extra = {"refresh_token": "second"}
    endpoint = ask(refresh_token="first")
    endpoint()
    for answer, kind in (
        ((503, b""), ServerUnavailable),
        ((400, b'{"error": "invalid_grant"}'), ConfigurationError),
    ):
        server.answer = answer
        with pytest.raises(kind):
            endpoint()
    server.answer = None
    endpoint()
    assert [form["refresh_token"] for form in server.asked] == ["first", "second", "second", "first"]


@pytest.mark.parametrize(
    ("status", "error", "field"),
    [
        (401, "invalid_client", "client_secret"),
        (400, "invalid_grant", "refresh_token"),
        (400, "invalid_scope", "scope"),
        (400, "unauthorized_client", "client_id"),
        (400, "unsupported_grant_type", "token_url"),
        (200, "invalid_client", "client_secret"),
    ],
)
def test_a_no_names_the_field_to_correct_and_the_endpoints_reason(
    server: TokenServer, ask: Ask, status: int, error: str, field: str
) -> None:
    body = {"error": error, "error_description": "AADSTS70000: not\r\nso"}
    server.answer = (status, json.dumps(body).encode())
    with pytest.raises(ConfigurationError, match=f"{error}: AADSTS70000: not  so.*correct {field}") as caught:
        ask()()
    assert caught.value.facts == {"field": field}


@pytest.mark.parametrize(
    "answer",
    [
        (500, b"<html>"),
        (503, b'{"error": "x"}'),
        (429, b"{}"),
        (400, b'{"error": "temporarily_unavailable"}'),
    ],
)
def test_trouble_of_the_endpoints_own_is_for_later(
    server: TokenServer, ask: Ask, answer: tuple[int, bytes]
) -> None:
    server.answer = answer
    with pytest.raises(ServerUnavailable):
        ask()()


@pytest.mark.parametrize(
    "answer",
    [
        (200, b""),
        (200, b"<html>sign in</html>"),
        (200, b"[1]"),
        (200, b'{"access_token": ""}'),
        (200, b'{"access_token": 7}'),
        (200, b'{"access_token": "a\\u0001b"}'),
        (200, b'{"access_token": "a b"}'),
        (200, b"[" * 100_000),
        (200, b" " * (oauth.MAX_ANSWER + 1)),
        (302, b""),
        (307, b""),
        (404, b"not here"),
        (404, b'{"error": {"code": 404}}'),
    ],
)
def test_what_is_no_answer_of_a_token_endpoint_is_a_wrong_address(
    server: TokenServer, ask: Ask, answer: tuple[int, bytes]
) -> None:
    server.answer = answer
    with pytest.raises(ConfigurationError) as caught:
        ask()()
    assert caught.value.facts == {"field": "token_url"}
    assert len(server.asked) == 1  # no redirect was followed


def test_an_endpoint_nobody_vouches_for_gets_no_secret(certificates: Certificates) -> None:
    with TokenServer(certificates) as server:
        with pytest.raises(TlsFailed):
            TokenEndpoint(server.token_url, server.client_id, server.client_secret)()
        assert server.asked == []


def test_an_endpoint_that_is_not_there_is_for_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionLost):
        TokenEndpoint(f"https://127.0.0.1:{port}/token", "id", "secret")()


def test_an_endpoint_that_is_silent_is_for_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth, "TIMEOUT", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(TimedOut):
        TokenEndpoint(f"https://127.0.0.1:{listener.getsockname()[1]}/token", "id", "secret")()


@pytest.mark.parametrize("error", [httpx.InvalidURL("x"), httpx.UnsupportedProtocol("x")])
def test_an_address_that_is_none_is_a_wrong_address(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*words: Any, **options: Any) -> None:
        raise error

    monkeypatch.setattr(httpx, "stream", refuse)
    with pytest.raises(ConfigurationError, match="no address"):
        TokenEndpoint("https://h/", "id", "secret")()


def test_an_endpoint_in_trouble_is_asked_by_one_and_keeps_nobody_waiting_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A hundred mailboxes of one tenant share an endpoint, and a triggerer has few threads."""
    monkeypatch.setattr(oauth, "TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(8) as pool:
        endpoint = TokenEndpoint(f"https://127.0.0.1:{listener.getsockname()[1]}/token", "id", "secret")
        together = threading.Barrier(8)

        def ask() -> BaseException | None:
            together.wait()
            with pytest.raises(TimedOut) as caught:
                endpoint()
            return caught.value

        assert len({id(trouble) for trouble in pool.map(lambda _: ask(), range(8))}) == 8
        listener.accept()[0].close()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
        later = oauth.time.monotonic() + oauth.AGAIN
        monkeypatch.setattr(oauth.time, "monotonic", lambda: later)
        with pytest.raises(TimedOut):
            endpoint()
        listener.accept()[0].close()


@pytest.mark.parametrize("grant", [{}, {"refresh_token": "1//refresh"}])
def test_no_secret_is_in_a_repr_a_log_or_an_error(
    server: TokenServer, ask: Ask, caplog: pytest.LogCaptureFixture, grant: dict[str, str]
) -> None:
    """Not even of an endpoint that says back what it heard."""
    caplog.set_level(logging.DEBUG)
    endpoint = ask(**grant)
    shown = [repr(endpoint), repr(site_from(connection(**vars(endpoint)))), str(endpoint())]
    echo = f"{server.client_secret} {grant.get('refresh_token')}"
    for answer in ((400, {"error": "x", "error_description": echo}), (500, {"error": echo})):
        server.answer = (answer[0], json.dumps(answer[1]).encode())
        oauth._kept_of.cache_clear()
        with pytest.raises(GatewayError) as caught:
            endpoint()
        shown += [repr(caught.value), str(caught.value.facts)]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        nowhere = f"https://127.0.0.1:{listener.getsockname()[1]}/token"
    with pytest.raises(ConnectionLost) as lost:
        TokenEndpoint(nowhere, "id", server.client_secret)()
    assert lost.value.__cause__ is None and lost.value.__suppress_context__, "the request would be in the log"
    shown += [record.getMessage() for record in caplog.records]
    for text in shown:
        assert server.client_secret not in text
        assert "1//refresh" not in text
    assert "token-1" not in caplog.text


def connection(**extra: Any) -> Connection:
    return Connection(
        conn_id="orders",
        conn_type="pop3",
        host="h",
        login="box",
        extra=json.dumps({"auth": "xoauth2", **extra}),
    )


APP = {"client_id": "id", "client_secret": "secret"}


def test_a_tenant_is_the_token_url_and_the_scope_of_microsoft_365() -> None:
    assert site_from(connection(tenant_id="contoso.example", **APP)).token_source == TokenEndpoint(
        "https://login.microsoftonline.com/contoso.example/oauth2/v2.0/token",
        "id",
        "secret",
        scope="https://outlook.office365.com/.default",
    )


def test_with_a_refresh_token_the_scope_is_what_was_granted() -> None:
    source = site_from(connection(tenant_id="t", refresh_token="1//", **APP)).token_source
    assert isinstance(source, TokenEndpoint)
    assert (source.refresh_token, source.scope) == ("1//", "")


def test_a_connection_without_oauth_has_no_source() -> None:
    assert site_from(connection(access_token="lasting")).token_source is None


def test_a_site_with_a_source_is_a_value_like_any_other() -> None:
    site = site_from(connection(token_url="https://h/token", **APP))
    assert pickle.loads(pickle.dumps(site)) == site
    assert "secret" not in repr(site)


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"tenant_id": "t", "access_token": "x", **APP}, "access_token"),
        ({"tenant_id": "t", "token_url": "https://h/", **APP}, "token_url"),
        (APP, "token_url"),
        ({"token_url": "http://h/token", **APP}, "token_url"),
        ({"token_url": "h/token", **APP}, "token_url"),
        ({"token_url": "https:///token", **APP}, "token_url"),
        ({"token_url": "https://[::1/token", **APP}, "token_url"),
        ({"token_url": "https://id:secret@h/token", **APP}, "token_url"),
        ({"tenant_id": "t/../u", **APP}, "tenant_id"),
        ({"tenant_id": "t", "client_secret": "secret"}, "client_id"),
        ({"tenant_id": "t", "client_id": "id"}, "client_secret"),
        ({"scope": "mail"}, "token_url"),
    ],
)
def test_options_that_make_no_sense_together_are_named(extra: dict[str, str], field: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Connection 'orders', {field}: ") as caught:
        site_from(connection(**extra))
    assert "id:secret" not in str(caught.value)
