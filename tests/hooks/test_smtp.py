"""Receipts leave by Airflow's connection type ``smtp``: every kind of TLS, null reverse-path, octet for octet."""

from __future__ import annotations

import asyncio
import inspect
import smtplib
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from airflow_pop3_gateway.errors import ConfigurationError, RelayRefused, RelayUnavailable
from airflow_pop3_gateway.hooks.smtp import GatewaySmtpHook

MESSAGE = b"From: gw@example.com\r\nSubject: receipt\r\n\r\n.dot\r\n..two\r\ncaf\xe9\r\n"
PLAIN = {"disable_ssl": True, "disable_tls": True}


class Relay:
    """What aiosmtpd asks; answers by the recipient's name."""

    def __init__(self) -> None:
        self.box: list[tuple[str, list[str], bytes, list[str]]] = []
        self.answers: dict[str, str] = {}
        self.data_answer = "250 taken"

    async def handle_RCPT(
        self, server: Any, session: Session, envelope: Envelope, to: str, options: Any
    ) -> str:
        if to in self.answers:
            return self.answers[to]
        envelope.rcpt_tos.append(to)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        if self.data_answer.startswith("250"):
            content = envelope.original_content
            assert content is not None and envelope.mail_from is not None
            self.box.append((envelope.mail_from, envelope.rcpt_tos, content, envelope.mail_options))
        return self.data_answer


def authenticate(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
    return AuthResult(success=isinstance(data, LoginPassword) and data.password == b"geheim", handled=False)


class FreePort(Controller):
    """Listens on any port that is free, and says which."""

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


@pytest.fixture
def relay() -> Relay:
    return Relay()


@pytest.fixture
def start(relay: Relay) -> Iterator[Callable[..., int]]:
    """Starts an SMTP server with the relay behind it; gives its port."""
    running: list[Controller] = []

    def start_one(**options: Any) -> int:
        controller = FreePort(relay, hostname="127.0.0.1", port=0, **options)
        controller.start()
        running.append(controller)
        return int(controller.port)

    yield start_one
    for controller in running:
        controller.stop()


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server context whose certificate this process trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


Define = Callable[..., str]


def send(conn_id: str, recipients: tuple[str, ...] = ("a@example.com",), data: bytes = MESSAGE) -> Any:
    with GatewaySmtpHook(conn_id) as hook:
        return hook.send_raw("", recipients, data)


def test_the_message_arrives_octet_for_octet_from_the_null_reverse_path(
    relay: Relay, start: Callable[..., int], connection: Define
) -> None:
    connection("relay", conn_type="smtp", host="localhost", port=start(), extra=PLAIN)
    assert send("relay") == {}
    assert [(sender, to, data) for sender, to, data, _ in relay.box] == [("<>", ["a@example.com"], MESSAGE)]
    assert "BODY=8BITMIME" in relay.box[0][3]


def test_starttls_with_login(
    relay: Relay, start: Callable[..., int], connection: Define, trusted: ssl.SSLContext
) -> None:
    port = start(tls_context=trusted, require_starttls=True, authenticator=authenticate, auth_required=True)
    connection(
        "relay",
        conn_type="smtp",
        host="localhost",
        port=port,
        login="u",
        password="geheim",
        extra={"disable_ssl": True},
    )
    send("relay")
    assert len(relay.box) == 1


@pytest.mark.parametrize("extra", [{}, {"disable_tls": True}])
def test_implicit_tls_with_the_default_options_too(
    relay: Relay,
    start: Callable[..., int],
    connection: Define,
    trusted: ssl.SSLContext,
    extra: dict[str, Any],
) -> None:
    connection("relay", conn_type="smtp", host="localhost", port=start(ssl_context=trusted), extra=extra)
    send("relay")
    assert len(relay.box) == 1


def test_one_connection_carries_many_messages_and_none_is_opened_for_nothing(
    relay: Relay, start: Callable[..., int], connection: Define
) -> None:
    connection("relay", conn_type="smtp", host="localhost", port=start(), extra=PLAIN)
    connection("nowhere", conn_type="smtp", host="localhost", port=1, extra=PLAIN)
    with GatewaySmtpHook("nowhere"):
        pass
    with GatewaySmtpHook("relay") as hook:
        clients = {
            id(hook._smtp_client) for _ in range(3) if hook.send_raw("", ["a@example.com"], MESSAGE) == {}
        }
    assert len(clients) == 1
    assert len(relay.box) == 3


def test_one_recipient_refused_among_several_is_told_and_the_others_get_it(
    relay: Relay, start: Callable[..., int], connection: Define
) -> None:
    relay.answers["bad@example.com"] = "550 no such user"
    connection("relay", conn_type="smtp", host="localhost", port=start(), extra=PLAIN)
    assert send("relay", ("a@example.com", "bad@example.com")) == {"bad@example.com": "550 no such user"}
    assert relay.box[0][1] == ["a@example.com"]


def test_a_permanent_refusal_is_final_and_the_connection_goes_on(
    relay: Relay, start: Callable[..., int], connection: Define
) -> None:
    relay.answers["bad@example.com"] = "550 no such user"
    connection("relay", conn_type="smtp", host="localhost", port=start(), extra=PLAIN)
    with GatewaySmtpHook("relay") as hook:
        with pytest.raises(RelayRefused) as caught:
            hook.send_raw("", ["bad@example.com"], MESSAGE)
        hook.send_raw("", ["a@example.com"], MESSAGE)
    assert caught.value.facts["refused"] == {"bad@example.com": "550 no such user"}
    assert len(relay.box) == 1


@pytest.mark.parametrize(
    ("recipient", "data", "error"),
    [
        ("450 try later", "250 taken", RelayUnavailable),
        ("250 OK", "451 disk full", RelayUnavailable),
        ("250 OK", "554 spam", RelayRefused),
    ],
)
def test_4xx_is_later_and_5xx_is_no(
    relay: Relay,
    start: Callable[..., int],
    connection: Define,
    recipient: str,
    data: str,
    error: type[Exception],
) -> None:
    if not recipient.startswith("250"):
        relay.answers["a@example.com"] = recipient
    relay.data_answer = data
    connection("relay", conn_type="smtp", host="localhost", port=start(), extra=PLAIN)
    with pytest.raises(error):
        send("relay")
    assert relay.box == []


@pytest.mark.parametrize("recipient", ["a\r\nRCPT TO:<b@example.com>", "jos\u00e9@example.com"])
def test_an_address_smtp_cannot_carry_is_refused(
    relay: Relay, start: Callable[..., int], connection: Define, recipient: str
) -> None:
    connection("relay", conn_type="smtp", host="localhost", port=start(enable_SMTPUTF8=False), extra=PLAIN)
    with pytest.raises(RelayRefused, match="cannot be given"):
        send("relay", (recipient,))
    assert relay.box == []


def test_an_international_address_goes_to_a_relay_that_takes_it(
    relay: Relay, start: Callable[..., int], connection: Define
) -> None:
    connection("relay", conn_type="smtp", host="localhost", port=start(enable_SMTPUTF8=True), extra=PLAIN)
    send("relay", ("jos\u00e9@example.com",))
    assert relay.box[0][1] == ["jos\u00e9@example.com"]


def test_nobody_there_is_later(connection: Define) -> None:
    connection("relay", conn_type="smtp", host="127.0.0.1", port=1, extra=PLAIN)
    with pytest.raises(RelayUnavailable, match=r"127\.0\.0\.1:1"):
        send("relay")


def test_a_wrong_password_is_for_a_person_and_never_shown(
    start: Callable[..., int], connection: Define, trusted: ssl.SSLContext
) -> None:
    port = start(tls_context=trusted, require_starttls=True, authenticator=authenticate)
    connection(
        "relay",
        conn_type="smtp",
        host="localhost",
        port=port,
        login="u",
        password="falsch",
        extra={"disable_ssl": True},
    )
    with pytest.raises(ConfigurationError, match="login and password") as caught:
        send("relay")
    assert "falsch" not in str(caught.value)


def test_a_certificate_nobody_vouches_for_is_for_a_person(
    start: Callable[..., int], connection: Define, trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    connection("relay", conn_type="smtp", host="localhost", port=start(ssl_context=trusted))
    with pytest.raises(ConfigurationError, match="certificate"):
        send("relay")


def test_a_relay_without_starttls_never_gets_the_message_in_the_clear(
    relay: Relay, start: Callable[..., int], connection: Define
) -> None:
    connection("relay", conn_type="smtp", host="localhost", port=start(), extra={"disable_ssl": True})
    with pytest.raises(ConfigurationError, match="STARTTLS"):
        send("relay")
    assert relay.box == []


def test_a_connection_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'missing_relay'"):
        send("missing_relay")


def test_the_provider_still_has_what_we_build_on() -> None:
    """Pins the private attribute and the two switches; fails when the smtp provider moves them."""
    from airflow.providers.smtp.hooks.smtp import SmtpHook

    assert SmtpHook("x")._smtp_client is None
    source = inspect.getsource(SmtpHook.get_conn)
    assert "self._smtp_client = self._build_client()" in source
    assert "if self.smtp_starttls:" in source
    assert issubclass(smtplib.SMTP_SSL, smtplib.SMTP)
