"""From a connection to Dovecot by way of a token server: Dovecot asks that server what a token is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from support.dovecot import Dovecot
from support.tokens import TokenServer

from airflow_pop3_gateway.errors import AuthenticationFailed, ConfigurationError
from airflow_pop3_gateway.hooks.oauth import _kept_of
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.testing import letters
from airflow_pop3_gateway.testing.certificates import Certificates

Define = Callable[..., str]


@pytest.fixture(scope="module")
def tokens(certificates: Certificates) -> Iterator[TokenServer]:
    with TokenServer(certificates) as server:
        yield server


@pytest.fixture(scope="module")
def mail_server(certificates: Certificates, tokens: TokenServer) -> Iterator[Dovecot]:
    with Dovecot(certificates, f"{tokens.base}/introspect") as server:
        server.add("box", letters.message())
        yield server


@pytest.fixture
def orders(
    tokens: TokenServer,
    mail_server: Dovecot,
    certificates: Certificates,
    connection: Define,
    monkeypatch: pytest.MonkeyPatch,
) -> Define:
    """Defines the connection to the mailbox, by token."""
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca_file)
    _kept_of.cache_clear()

    def define(**extra: str) -> str:
        oauth = {
            "token_url": tokens.token_url,
            "client_id": tokens.client_id,
            "client_secret": tokens.client_secret,
            "ca_file": certificates.ca_file,
            **extra,
        }
        place = {"host": "localhost", "port": mail_server.tls_port, "login": "box"}
        return connection("orders", conn_type="pop3", **place, extra=oauth)

    return define


@pytest.mark.parametrize("auth", ["auto", "xoauth2", "oauthbearer"])
@pytest.mark.parametrize("grant", [{}, {"refresh_token": "1//refresh"}], ids=["client", "refresh"])
def test_a_connection_with_oauth_logs_in(orders: Define, auth: str, grant: dict[str, str]) -> None:
    with Pop3Hook(orders(auth=auth, **grant)).get_conn() as client:
        assert client.stat()[0] == 1


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
def test_a_token_that_was_revoked_is_replaced_within_the_session(
    orders: Define, tokens: TokenServer, auth: str
) -> None:
    site = Pop3Hook(orders(auth=auth)).site
    assert site.token_source is not None
    site.token_source("")
    tokens.revoke()
    asked = len(tokens.asked)
    with Pop3Hook("orders").get_conn() as client:
        assert client.stat()[0] == 1
    assert len(tokens.asked) == asked + 1


def test_a_token_for_another_mailbox_is_a_no(
    orders: Define, tokens: TokenServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "mailbox", "other")
    asked = len(tokens.asked)
    with pytest.raises(AuthenticationFailed):
        Pop3Hook(orders()).get_conn()
    assert len(tokens.asked) == asked + 1


def test_the_test_button_says_what_the_token_server_says(orders: Define) -> None:
    worked, sentence = Pop3Hook(orders(client_secret="falsch")).test_connection()
    assert not worked
    assert sentence.startswith(f"{ConfigurationError.__name__}: ") and "client_secret" in sentence
    assert "falsch" not in sentence
