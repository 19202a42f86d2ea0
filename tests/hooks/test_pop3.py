"""The hook of the connection type ``pop3``."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from airflow_pop3_gateway.errors import AuthenticationFailed, ConfigurationError
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server
from airflow_pop3_gateway.testing.pop3_server import Pop3Server

LETTER = b"Subject: hello\r\n\r\nhello\r\n"
Define = Callable[..., str]


@pytest.fixture
def server(connection: Define) -> Iterator[FaultyPop3Server]:
    with FaultyPop3Server(orders=[LETTER, LETTER]) as running:
        define(connection, running)
        yield running


def define(connection: Define, server: FaultyPop3Server, password: str = "secret", **extra: object) -> None:
    connection(
        "orders",
        conn_type="pop3",
        host=server.host,
        port=server.port,
        login="orders",
        password=password,
        extra={"security": "plain", **extra},
    )


@pytest.mark.usefixtures("server")
def test_a_connection_becomes_a_client_that_is_logged_in() -> None:
    with Pop3Hook("orders").get_conn() as client:
        assert client.stat() == (2, 2 * len(LETTER))


def test_the_test_button_logs_in_and_tells_what_it_saw(server: FaultyPop3Server) -> None:
    worked, sentence = Pop3Hook("orders").test_connection()
    assert worked
    assert "2 messages" in sentence and "no encryption" in sentence
    assert len(server.mailboxes["orders"].mails) == 2


def test_the_test_button_says_what_receipts_need(server: FaultyPop3Server, connection: Define) -> None:
    assert "Set mail_address" in Pop3Hook("orders").test_connection()[1]
    for option in ({"mail_address": "o@us.example"}, {"acknowledgment_option": "not_to_ack"}):
        define(connection, server, **option)
        assert "mail_address" not in Pop3Hook("orders").test_connection()[1]


def test_a_connection_that_airflow_does_not_give_is_perhaps_there_later() -> None:
    """It says so too while its API or a secrets backend is away: retries decide, and they cost no login."""
    with pytest.raises(
        ConfigurationError, match=r"'nobody'.* cannot read it now; create it with type pop3"
    ) as caught:
        _ = Pop3Hook("nobody").site
    assert caught.value.retriable


def test_the_test_button_says_what_is_wrong_and_does_not_try_twice(
    server: FaultyPop3Server, connection: Define
) -> None:
    define(connection, server, password="falsch", retry_count_max=5, retry_delay_min=60)
    worked, sentence = Pop3Hook("orders").test_connection()
    assert not worked
    assert sentence.startswith("AuthenticationFailed: ")
    assert server.transcript.count("PASS ***") == 1
    assert "falsch" not in sentence


def test_the_test_button_names_a_field_that_makes_no_sense(
    server: FaultyPop3Server, connection: Define
) -> None:
    define(connection, server, retention="forever")
    worked, sentence = Pop3Hook("orders").test_connection()
    assert not worked
    assert "retention" in sentence and "delete, keep" in sentence


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_encrypted_connections_work_with_the_servers_authority_and_not_without(
    pop3_server: Callable[..., Pop3Server], connection: Define, security: str
) -> None:
    server = pop3_server({"orders": [LETTER]}, security=security)
    fields = {
        "conn_type": "pop3",
        "host": "localhost",
        "port": server.port,
        "login": "orders",
        "password": "secret",
    }
    connection("orders", **fields, extra={"security": security, "ca_file": server.ca_file})
    worked, sentence = Pop3Hook("orders").test_connection()
    assert worked, sentence
    assert "TLSv1.3" in sentence
    connection("orders", **fields, extra={"security": security})
    worked, sentence = Pop3Hook("orders").test_connection()
    assert not worked
    assert sentence.startswith("TlsFailed: ")


def test_a_refused_login_is_our_typed_error(server: FaultyPop3Server, connection: Define) -> None:
    define(connection, server, password="falsch")
    with pytest.raises(AuthenticationFailed):
        Pop3Hook("orders").get_conn()
