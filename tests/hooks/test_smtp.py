"""Receipts leave by Airflow's connection type ``smtp``: every kind of TLS, null reverse-path, octet for octet."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_pop3_gateway.errors import ConfigurationError, RelayRefused, RelayUnavailable, StoreUnavailable
from airflow_pop3_gateway.gateway.send import Envelope
from airflow_pop3_gateway.hooks.smtp import GatewaySmtpHook
from airflow_pop3_gateway.testing.certificates import Certificates
from airflow_pop3_gateway.testing.smtp_server import Delivered, SmtpServer

MESSAGE = b"From: gw@example.com\r\nSubject: receipt\r\n\r\n.dot\r\n..two\r\ncaf\xe9\r\n"
PLAIN = {"disable_ssl": True, "disable_tls": True}
Start = Callable[..., SmtpServer]
Define = Callable[..., str]


@pytest.fixture
def relay(connection: Define) -> Callable[..., str]:
    """Defines the connection ``relay`` to a server."""

    def define(server: SmtpServer, **fields: Any) -> str:
        return connection("relay", conn_type="smtp", host="localhost", port=server.port, **fields)

    return define


@pytest.fixture
def trusted(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process trusts the authority of the tests."""
    monkeypatch.setenv("SSL_CERT_FILE", certificates.ca_file)


def send(conn_id: str, recipients: tuple[str, ...] = ("a@example.com",), data: bytes = MESSAGE) -> Any:
    with GatewaySmtpHook(conn_id) as hook:
        return hook.send_raw("", recipients, data)


def test_the_message_arrives_octet_for_octet_from_the_null_reverse_path(
    relay: Define, smtp_server: Start
) -> None:
    server = smtp_server()
    assert send(relay(server, extra=PLAIN)) == {}
    assert server.box == [Delivered("", ("a@example.com",), MESSAGE)]


@pytest.mark.usefixtures("trusted")
def test_starttls_with_login(relay: Define, smtp_server: Start) -> None:
    server = smtp_server(security="starttls", login="u", password="geheim")
    send(relay(server, login="u", password="geheim", extra={"disable_ssl": True}))
    assert len(server.box) == 1


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("extra", [{}, {"disable_tls": True}])
def test_implicit_tls_with_the_default_options_too(
    relay: Define, smtp_server: Start, extra: dict[str, Any]
) -> None:
    server = smtp_server(security="tls")
    send(relay(server, extra=extra))
    assert len(server.box) == 1


def test_a_mail_whose_octets_break_off_is_completed_by_no_other(relay: Define, smtp_server: Start) -> None:
    """What is said next on its connection would be taken for its end."""
    server = smtp_server()

    def break_off() -> Iterator[bytes]:
        yield MESSAGE * 2000
        raise StoreUnavailable("the file cannot be read")

    with GatewaySmtpHook(relay(server, extra=PLAIN)) as hook:
        with pytest.raises(StoreUnavailable):
            hook.submit(Envelope("", ("a@example.com",), 0), break_off)
        assert hook.send_raw("", ["b@example.com"], MESSAGE) == {}
    assert server.box == [Delivered("", ("b@example.com",), MESSAGE)]


def test_one_connection_carries_many_messages(relay: Define, smtp_server: Start) -> None:
    server = smtp_server()
    with GatewaySmtpHook(relay(server, extra=PLAIN)) as hook:
        clients = {
            id(hook._smtp_client) for _ in range(3) if hook.send_raw("", ["a@example.com"], MESSAGE) == {}
        }
    assert len(clients) == 1
    assert len(server.box) == 3


def test_no_connection_is_opened_when_there_is_nothing_to_send(connection: Define) -> None:
    with GatewaySmtpHook(connection("nowhere", conn_type="smtp", host="127.0.0.1", port=1, extra=PLAIN)):
        pass


def test_one_recipient_refused_among_several_is_told_and_the_others_get_it(
    relay: Define, smtp_server: Start
) -> None:
    server = smtp_server("rcpt-550:bad@example.com")
    answer = send(relay(server, extra=PLAIN), ("a@example.com", "bad@example.com"))
    assert list(answer) == ["bad@example.com"]
    assert answer["bad@example.com"].startswith("550 ")
    assert server.box[0].recipients == ("a@example.com",)


def test_a_permanent_refusal_is_final_and_the_connection_goes_on(relay: Define, smtp_server: Start) -> None:
    server = smtp_server("rcpt-550:bad@example.com")
    with GatewaySmtpHook(relay(server, extra=PLAIN)) as hook:
        with pytest.raises(RelayRefused) as caught:
            hook.send_raw("", ["bad@example.com"], MESSAGE)
        hook.send_raw("", ["a@example.com"], MESSAGE)
    assert caught.value.facts["refused"] == {"bad@example.com": "550 5.1.1 no such user"}
    assert len(server.box) == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("rcpt-450:a@example.com", RelayUnavailable),
        ("sender-4xx", RelayUnavailable),
        ("data-451", RelayUnavailable),
        ("cut-data", RelayUnavailable),
        ("lose-answer", RelayUnavailable),
        ("data-554", RelayRefused),
        ("refuse-null-sender", RelayRefused),
    ],
)
def test_4xx_and_a_lost_connection_are_later_and_5xx_is_no(
    relay: Define, smtp_server: Start, fault: str, error: type[Exception]
) -> None:
    server = smtp_server(fault)
    conn_id = relay(server, extra=PLAIN)
    with GatewaySmtpHook(conn_id) as hook:
        with pytest.raises(error):
            hook.send_raw("", ["a@example.com"], MESSAGE)
        server.faults.clear()
        server.box.clear()
        hook.send_raw("", ["a@example.com"], MESSAGE)
    assert len(server.box) == 1


def test_an_address_with_a_line_break_never_becomes_a_command(relay: Define, smtp_server: Start) -> None:
    server = smtp_server()
    with pytest.raises(RelayRefused, match="cannot be given"):
        send(relay(server, extra=PLAIN), ("a\r\nRCPT TO:<b@example.com>",))
    assert server.box == []


def test_an_international_address_goes_to_a_relay_that_takes_it(relay: Define, smtp_server: Start) -> None:
    server = smtp_server()
    send(relay(server, extra=PLAIN), ("jos\u00e9@example.com",))
    assert server.box[0].recipients == ("jos\u00e9@example.com",)


def test_a_connection_that_airflow_does_not_give_is_perhaps_there_later() -> None:
    for ask in (lambda: hook.default_sender, lambda: hook.send_raw("", ["b@x.example"], b"")):
        with (
            GatewaySmtpHook("nobody") as hook,
            pytest.raises(ConfigurationError, match=r"'nobody'.* with type smtp") as caught,
        ):
            ask()
        assert caught.value.retriable


def test_nobody_there_is_later(connection: Define) -> None:
    connection("relay", conn_type="smtp", host="127.0.0.1", port=1, extra=PLAIN)
    with pytest.raises(RelayUnavailable, match=r"127\.0\.0\.1:1"):
        send("relay")


@pytest.mark.parametrize("fields", [{"host": "mail..example"}, {"login": "u", "password": "geh\u00e9im"}])
def test_what_cannot_be_said_to_a_relay_is_for_a_person_and_never_shown(
    fields: dict[str, str], connection: Define, smtp_server: Start
) -> None:
    """The standard library's words quote a letter of the password, and its error has all of them."""
    server = smtp_server(login="u", password="x")
    where = {"host": server.host, "port": server.port, "extra": PLAIN}
    with pytest.raises(ConfigurationError, match="'relay': host, login and password") as caught:
        send(connection("relay", conn_type="smtp", **{**where, **fields}))
    assert "xe9" not in str(caught.value) and caught.value.__cause__ is None


@pytest.mark.parametrize("option", [{"timeout": "soon"}, {"timeout": [1]}, {"timeout": 0}])
def test_an_option_that_makes_no_sense_is_for_a_person(
    option: dict[str, Any], relay: Define, smtp_server: Start
) -> None:
    with pytest.raises(ConfigurationError, match="'relay', its extra: "):
        send(relay(smtp_server(), extra={**PLAIN, **option}))


def test_an_extra_that_is_no_object_is_for_a_person(relay: Define, smtp_server: Start) -> None:
    conn_id = relay(smtp_server(), extra=7)
    for ask in (lambda: send(conn_id), lambda: GatewaySmtpHook(conn_id).default_sender):
        with pytest.raises(ConfigurationError, match="'relay', its extra: "):
            ask()


@pytest.mark.usefixtures("trusted")
def test_a_wrong_password_is_for_a_person_and_never_shown(relay: Define, smtp_server: Start) -> None:
    server = smtp_server(security="starttls", login="u", password="geheim")
    with pytest.raises(ConfigurationError, match="login and password") as caught:
        send(relay(server, login="u", password="falsch", extra={"disable_ssl": True}))
    assert "falsch" not in str(caught.value)


def test_a_relay_that_wants_a_login_is_for_a_person(relay: Define, smtp_server: Start) -> None:
    server = smtp_server(login="u", password="geheim")
    with pytest.raises(ConfigurationError, match="wants a login"):
        send(relay(server, extra=PLAIN))


def test_a_certificate_nobody_vouches_for_is_for_a_person(relay: Define, smtp_server: Start) -> None:
    with pytest.raises(ConfigurationError, match="certificate"):
        send(relay(smtp_server(security="tls")))


def test_a_relay_without_starttls_never_gets_the_message_in_the_clear(
    relay: Define, smtp_server: Start
) -> None:
    server = smtp_server()
    with pytest.raises(ConfigurationError, match="STARTTLS"):
        send(relay(server, extra={"disable_ssl": True}))
    assert server.box == []


def test_the_provider_still_has_what_we_build_on() -> None:
    """Pins the private attribute and the two switches; fails when the smtp provider moves them."""
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    assert SmtpHook("x")._smtp_client is None
    source = inspect.getsource(SmtpHook.get_conn)
    assert "self._smtp_client = self._build_client()" in source
    assert "if self.smtp_starttls:" in source
