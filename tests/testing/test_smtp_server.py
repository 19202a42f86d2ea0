"""The embedded SMTP server keeps what it takes and refuses what it is told to, as the standard library sees it."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Callable

import pytest

from airflow_pop3_gateway.testing.smtp_server import Delivered, SmtpServer

MESSAGE = b"From: a@x.example\r\nSubject: hello\r\n\r\n.dot\r\n..two\r\ncaf\xe9\r\n"

Serve = Callable[..., SmtpServer]


def send(server: SmtpServer, sender: str = "a@x.example", *recipients: str) -> None:
    with smtplib.SMTP(server.host, server.port, timeout=20) as client:
        client.sendmail(sender, recipients or ("b@y.example",), MESSAGE)


def test_what_is_taken_is_in_the_box_octet_for_octet(smtp_server: Serve) -> None:
    server = smtp_server()

    send(server, "a@x.example", "b@y.example", "c@y.example")
    send(server, "")

    assert server.box == [
        Delivered("a@x.example", ("b@y.example", "c@y.example"), MESSAGE),
        Delivered("", ("b@y.example",), MESSAGE),
    ]


def test_the_null_sender_can_be_unwelcome(smtp_server: Serve) -> None:
    server = smtp_server("refuse-null-sender")

    with pytest.raises(smtplib.SMTPSenderRefused) as refused:
        send(server, "")
    send(server, "a@x.example")

    assert refused.value.smtp_code == 550
    assert len(server.box) == 1


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        ("sender-4xx", smtplib.SMTPSenderRefused, 451),
        ("data-451", smtplib.SMTPDataError, 451),
        ("data-554", smtplib.SMTPDataError, 554),
    ],
)
def test_a_message_can_be_refused(
    smtp_server: Serve, fault: str, error: type[smtplib.SMTPResponseException], code: int
) -> None:
    server = smtp_server(fault)

    with pytest.raises(error) as refused:
        send(server)

    assert refused.value.smtp_code == code
    assert server.box == []


@pytest.mark.parametrize(("fault", "code"), [("rcpt-550:b@y.example", 550), ("rcpt-450:b@y.example", 450)])
def test_one_recipient_can_be_refused(smtp_server: Serve, fault: str, code: int) -> None:
    server = smtp_server(fault)

    with smtplib.SMTP(server.host, server.port) as client:
        refused = client.sendmail("a@x.example", ["b@y.example", "c@y.example"], MESSAGE)

    assert refused["b@y.example"][0] == code
    assert server.box[0].recipients == ("c@y.example",)


@pytest.mark.parametrize(("fault", "taken"), [("cut-data", 0), ("lose-answer", 1)])
def test_the_answer_to_a_message_can_be_lost(smtp_server: Serve, fault: str, taken: int) -> None:
    server = smtp_server(fault)

    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(server)

    assert len(server.box) == taken


def test_the_answer_to_a_message_can_be_waited_for_in_vain(smtp_server: Serve) -> None:
    server = smtp_server("hang-data")
    client = smtplib.SMTP(server.host, server.port, timeout=0.2)

    with pytest.raises(smtplib.SMTPServerDisconnected, match="timed out"):
        client.sendmail("a@x.example", ["b@y.example"], MESSAGE)
    client.close()

    assert server.box == []


def test_faults_can_change_while_it_runs(smtp_server: Serve) -> None:
    server = smtp_server("data-451")
    with pytest.raises(smtplib.SMTPDataError):
        send(server)

    server.faults.clear()
    send(server)

    assert len(server.box) == 1


def test_starttls_and_a_login_are_required_where_asked_for(smtp_server: Serve) -> None:
    server = smtp_server(security="starttls", login="gw", password="geheim")
    with pytest.raises(smtplib.SMTPSenderRefused):
        send(server)

    with smtplib.SMTP("localhost", server.port) as client:
        client.starttls(context=ssl.create_default_context(cafile=server.ca_file))
        with pytest.raises(smtplib.SMTPSenderRefused):
            client.sendmail("a@x.example", ["b@y.example"], MESSAGE)
        with pytest.raises(smtplib.SMTPAuthenticationError):
            client.login("gw", "falsch")
        client.login("gw", "geheim")
        client.sendmail("a@x.example", ["b@y.example"], MESSAGE)

    assert len(server.box) == 1


def test_tls_from_the_first_octet_with_a_login(smtp_server: Serve) -> None:
    server = smtp_server(security="tls", login="gw", password="geheim")
    trusting = ssl.create_default_context(cafile=server.ca_file)

    with smtplib.SMTP_SSL("localhost", server.port, context=trusting) as client:
        client.login("gw", "geheim")
        client.sendmail("a@x.example", ["b@y.example"], MESSAGE)

    assert len(server.box) == 1


def test_extensions_are_offered_and_hidden(smtp_server: Serve) -> None:
    server = smtp_server("dsn", "size:1000", "hide:SMTPUTF8", "hide:8BITMIME")

    with smtplib.SMTP(server.host, server.port, timeout=20) as client:
        client.ehlo()

    assert client.has_extn("dsn")
    assert client.esmtp_features["size"] == "1000"
    assert not client.has_extn("smtputf8")
    assert not client.has_extn("8bitmime")


def test_what_was_asked_of_the_server_is_kept_with_the_message(smtp_server: Serve) -> None:
    server = smtp_server("dsn")

    with smtplib.SMTP(server.host, server.port, timeout=20) as client:
        client.sendmail(
            "a@x.example", ["b@y.example"], MESSAGE, ["RET=HDRS", "ENVID=Abc"], ["ORCPT=rfc822;b@y.example"]
        )

    assert server.box[0].options[""].endswith("RET=HDRS ENVID=Abc")
    assert server.box[0].options["b@y.example"] == "ORCPT=rfc822;b@y.example"


def test_so_many_recipients_and_no_more(smtp_server: Serve) -> None:
    server = smtp_server("rcpt-most:1")

    with smtplib.SMTP(server.host, server.port, timeout=20) as client:
        refused = client.sendmail("a@x.example", ["b@y.example", "c@y.example"], MESSAGE)

    assert refused["c@y.example"][0] == 452
    assert server.box[0].recipients == ("b@y.example",)


def test_the_connection_can_drop_while_the_message_comes(smtp_server: Serve) -> None:
    server = smtp_server("drop-in-data")

    with pytest.raises(smtplib.SMTPServerDisconnected):
        send(server)

    assert server.box == []
