"""What we send through Debian's Postfix arrives octet for octet, and its reports come back with our identity."""

from __future__ import annotations

import email
import email.policy
import os
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from support.dovecot import Dovecot
from support.postfix import BEYOND, OURS, THEIRS, Postfix
from support.programs import until
from support.served import new_name

from airflow_pop3_gateway.hooks.send import send_transfer
from airflow_pop3_gateway.testing.smtp_server import SmtpServer


class Sender:
    """Us, a partner, and the relay between."""

    def __init__(self, dovecot: Dovecot, postfix: Postfix, base_path: str) -> None:
        self._dovecot, self._base_path = dovecot, base_path
        self.us = postfix.add(dovecot.add(f"{new_name()}@{OURS}"))
        self.partner = postfix.add(dovecot.add(f"{new_name()}@{THEIRS}"))

    def send(self, **arguments: Any) -> dict[str, Any]:
        return send_transfer(
            from_=self.us,
            transfer_id=self.us,
            smtp_conn_id="relay",
            base_path=self._base_path,
            **{"to": self.partner, **arguments},
        )

    def got(self, address: str) -> tuple[bytes, EmailMessage]:
        """The one mail of a mailbox, when it is there."""
        until(lambda: self._dovecot.mails(address), f"{address} has mail")
        (octets,) = self._dovecot.mails(address)
        mail = email.message_from_bytes(octets, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        return octets, mail

    def report(self) -> list[Any]:
        """The fields of the DSN that came back: of the message, then of each recipient."""
        _, mail = self.got(self.us)
        assert mail["Return-Path"] == "<>"
        assert mail.get_content_type() == "multipart/report"
        status = list(mail.iter_parts())[1]
        assert status.get_content_type() == "message/delivery-status"
        groups = status.get_payload()
        assert isinstance(groups, list)
        return groups


@pytest.fixture
def sender(dovecot: Dovecot, postfix: Postfix, connection: Callable[..., str], tmp_path: Path) -> Sender:
    extra = {"disable_ssl": True, "disable_tls": True}
    connection("relay", conn_type="smtp", host=postfix.host, port=postfix.port, extra=extra)
    return Sender(dovecot, postfix, (tmp_path / "base").as_uri())


@pytest.fixture
def beyond(postfix: Postfix) -> Iterator[SmtpServer]:
    """The next relay, which knows nothing of DSN."""
    with SmtpServer(port=postfix.next_hop) as server:
        yield server


def test_a_file_arrives_octet_for_octet_and_its_delivery_is_reported(sender: Sender, tmp_path: Path) -> None:
    file = tmp_path / "\u00dcbersicht \u20ac.bin"
    file.write_bytes(os.urandom(1_000_003))
    result = sender.send(
        file=str(file), subject="\u00dcbersicht", message="Gr\u00fc\u00dfe", xfb={"appli": "X"}
    )
    _, mail = sender.got(sender.partner)
    assert mail.defects == []
    (attached,) = mail.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == (file.name, file.read_bytes())
    assert (mail["Subject"], mail["Message-ID"]) == ("\u00dcbersicht //XFB appli=X", result["xfer_ident"])
    message, recipient = sender.report()
    assert message["Original-Envelope-Id"] == result["xfer_ident"]
    assert recipient["Action"] == "delivered"
    assert recipient["Original-Recipient"] == f"rfc822;{sender.partner}"


def test_a_ready_made_mail_arrives_as_it_was(sender: Sender, tmp_path: Path) -> None:
    made = (
        b"From: app@us.example\nSubject: own\nMessage-ID: <1@app>\nDate: Mon, 23 Nov 2026 12:00:00 +0000\n"
        b"\n.dot\n..two\ncaf\xc3\xa9\n.\nend\n"
    )
    file = tmp_path / "ready.eml"
    file.write_bytes(made)
    result = sender.send(ready_made=str(file))
    octets, mail = sender.got(sender.partner)
    assert octets.endswith(made)
    assert mail["Disposition-Notification-To"] is None
    assert sender.report()[0]["Original-Envelope-Id"] == result["xfer_ident"]


def test_a_bounce_comes_back_with_our_identity(sender: Sender) -> None:
    """One recipient exists and one does not: the relay took both, and reports on each."""
    result = sender.send(to=f"nobody+x@{THEIRS}", subject="hello", message="hello")
    message, recipient = sender.report()
    assert message["Original-Envelope-Id"] == result["xfer_ident"]
    assert recipient["Action"] == "failed"
    assert recipient["Original-Recipient"] == f"rfc822;nobody+x@{THEIRS}"


def test_a_relay_that_hands_on_to_one_without_dsn_says_so(sender: Sender, beyond: SmtpServer) -> None:
    result = sender.send(to=f"someone@{BEYOND}", subject="hello", message="hello")
    message, recipient = sender.report()
    assert message["Original-Envelope-Id"] == result["xfer_ident"]
    assert recipient["Action"] == "relayed"
    assert (f"someone@{BEYOND}",) in [mail.recipients for mail in beyond.box]


def test_a_delay_is_reported_while_the_next_relay_cannot_be_reached(sender: Sender) -> None:
    result = sender.send(to=f"late@{BEYOND}", subject="hello", message="hello")
    message, recipient = sender.report()
    assert message["Original-Envelope-Id"] == result["xfer_ident"]
    assert recipient["Action"] == "delayed"


def test_a_refusal_of_one_recipient_is_told_at_once(sender: Sender) -> None:
    result = sender.send(to=[sender.partner, "someone@outside.example"], subject="hello", message="hello")
    assert (result["accepted"], result["refused"]) == (1, 1)
    assert sender.got(sender.partner)[1].get_content() == "hello\n"
