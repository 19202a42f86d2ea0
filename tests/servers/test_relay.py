"""The relay of the tests works, as the standard library's client sees it: delivers, bounces, confirms, refuses."""

from __future__ import annotations

import email
import smtplib
from collections.abc import Callable, Iterator
from email.message import Message

import pytest
from support.dovecot import Dovecot
from support.postfix import OURS, THEIRS, Postfix
from support.programs import until
from support.served import new_name

MESSAGE = (
    b"From: sender@supplier.example\r\nSubject: hello\r\nMessage-ID: <1@supplier.example>\r\n\r\n.dot\r\n"
)


@pytest.fixture
def client(postfix: Postfix) -> Iterator[smtplib.SMTP]:
    with smtplib.SMTP(postfix.host, postfix.port, "localhost") as connected:
        yield connected


@pytest.fixture
def mailbox(dovecot: Dovecot, postfix: Postfix) -> Callable[[str], str]:
    """An address of a domain, with its mailbox."""
    return lambda domain: postfix.add(dovecot.add(f"{new_name()}@{domain}"))


def arrived(dovecot: Dovecot, address: str) -> Message:
    """The one mail of a mailbox, when it is there."""
    until(lambda: dovecot.mails(address), f"{address} has mail")
    (mail,) = dovecot.mails(address)
    return email.message_from_bytes(mail)


def test_mail_between_the_domains_arrives(
    client: smtplib.SMTP, dovecot: Dovecot, mailbox: Callable[[str], str]
) -> None:
    recipient = mailbox(OURS)

    client.sendmail(mailbox(THEIRS), [recipient], MESSAGE)

    assert arrived(dovecot, recipient).get_payload() == ".dot\n"


def test_an_unknown_address_bounces_into_the_senders_mailbox(
    client: smtplib.SMTP, dovecot: Dovecot, mailbox: Callable[[str], str]
) -> None:
    sender = mailbox(THEIRS)

    client.sendmail(sender, [f"nobody@{OURS}"], MESSAGE)

    report = arrived(dovecot, sender)
    assert report["Return-Path"] == "<>"
    assert report.get_content_type() == "multipart/report"
    about_recipient = report.get_payload(1).get_payload(1)  # type: ignore[union-attr]
    assert (about_recipient["Action"], about_recipient["Status"]) == ("failed", "5.1.1")  # type: ignore[index]


def test_a_delivery_is_confirmed_when_the_sender_asks(
    client: smtplib.SMTP, dovecot: Dovecot, mailbox: Callable[[str], str]
) -> None:
    """DSN of RFC 3461: NOTIFY, ORCPT and ENVID go in, and come back."""
    sender, recipient = mailbox(THEIRS), mailbox(OURS)

    client.sendmail(
        sender,
        [recipient],
        MESSAGE,
        mail_options=["RET=HDRS", "ENVID=transfer-17"],
        rcpt_options=["NOTIFY=SUCCESS", f"ORCPT=rfc822;{recipient}"],
    )

    status = arrived(dovecot, sender).get_payload(1)
    assert status.get_payload(0)["Original-Envelope-Id"] == "transfer-17"  # type: ignore[union-attr,index]
    assert status.get_payload(1)["Action"] == "delivered"  # type: ignore[union-attr,index]


def test_nothing_goes_outside(client: smtplib.SMTP) -> None:
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        client.sendmail(f"a@{OURS}", ["someone@outside.example"], MESSAGE)

    assert refused.value.recipients["someone@outside.example"][0] == 554
