"""Who gets a receipt by itself, who waits for whom, and what the receipt says."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from support.maildrop import ASKS_FOR_A_RECEIPT, Maildrop, attachment, multipart

from airflow_pop3_gateway.config import Address, AddressPatterns, LocalSite, RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway import answer, classify
from airflow_pop3_gateway.gateway.receipts import decide
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.records import Reason, Rejected
from airflow_pop3_gateway.store import outbox

SITE = RemoteSite(
    name="edi", address=Address("pop", 995), login="edi", local_site=LocalSite(mail_address="edi@us.example")
)
ASKS = b"Return-Path: <p@partner.example>\r\nDisposition-Notification-To: p@partner.example\r\n"


def decision(head: bytes = ASKS, rejected: Rejected | None = None, repeated: bool = False, **options: Any):
    site = dataclasses.replace(SITE, **options)
    asked = decide(site, Head.from_bytes(head), "k", rejected, repeated=repeated)
    return asked and (asked.decision, asked.why)


def test_who_does_not_ask_is_not_answered() -> None:
    assert decision(b"From: p@partner.example\r\n") is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("send", "ack_by_monitor")),
        ({"acknowledge_after": "processed"}, ("wait", "after-processing")),
        ({"acknowledgment_option": "ack_by_user"}, ("wait", "ack_by_user")),
        ({"acknowledgment_option": "ack_by_user", "acknowledge_after": "processed"}, ("wait", "ack_by_user")),
        ({"acknowledgment_option": "not_to_ack"}, ("deny", "not_to_ack")),
        ({"acknowledge_partners": AddressPatterns("*@partner.example")}, ("send", "ack_by_monitor")),
        ({"acknowledge_partners": AddressPatterns("*@bank.example")}, ("wait", "partner-not-listed")),
        (
            {
                "acknowledge_partners": AddressPatterns("*@bank.example"),
                "trusted_partners": AddressPatterns("p@*"),
            },
            ("send", "ack_by_monitor"),
        ),
    ],
)
def test_the_site_decides(options: dict[str, Any], expected: tuple[str, str]) -> None:
    assert decision(**options) == expected


def test_trust_ends_doubt_and_nothing_else() -> None:
    two = ASKS.replace(b"To: p@partner.example", b"To: p@partner.example, q@partner.example")
    trusting = {"trusted_partners": AddressPatterns("*@partner.example")}
    assert decision(two) == ("wait", "several-addresses")
    assert decision(two, **trusting) == ("send", "ack_by_monitor")
    assert decision(ASKS + b"List-Id: <l>\r\n", **trusting) == ("deny", "list-mail")


def test_a_request_that_requires_what_we_do_not_know_is_answered_at_once() -> None:
    """RFC 8098 §2.2: by no other disposition than "failed", whatever becomes of the mail."""
    head = ASKS + b"Disposition-Notification-Options: paper=required,A4\r\n"
    assert decision(head, acknowledge_after="processed") == ("send", "unknown-options")
    assert decision(head, acknowledgment_option="ack_by_user") == ("wait", "ack_by_user")


def test_what_was_not_taken_waits_for_a_person_unless_the_very_same_mail_was_answered() -> None:
    rejected = Rejected("<1@partner.example>", Reason("multiple-attachments"))
    assert decision(rejected=rejected) == ("wait", "multiple-attachments")
    assert decision(rejected=rejected, repeated=True) == ("deny", "multiple-attachments")


def test_a_receipt_is_given_for_our_address_else_for_the_only_one_it_was_written_to(
    maildrop: Callable[..., Maildrop],
) -> None:
    """Of several addresses in To none is known to be ours."""
    nameless = {"local_site": LocalSite()}
    assert decision(ASKS + b"To: edi@us.example\r\n", **nameless) == ("send", "ack_by_monitor")
    for several in (b"", b"To: edi@us.example, boss@bank.example\r\n"):
        assert decision(ASKS + several, **nameless) == ("wait", "no-own-address")
        assert decision(ASKS + several) == ("send", "ack_by_monitor")
    assert decision(ASKS, acknowledgment_option="ack_by_user", **nameless) == ("wait", "no-own-address")
    assert decision(ASKS + b"List-Id: <l>\r\n", **nameless) == ("deny", "list-mail")
    headers = b"To: boss@bank.example\r\n" + ASKS_FOR_A_RECEIPT
    drop = maildrop(multipart(1, attachment(b"a", b"a"), headers=headers), **nameless)
    drop.poll()
    classify(drop.site, drop.store)
    assert not list(outbox.pending(drop.store, "edi"))
    with pytest.raises(ConfigurationError, match="mail_address"):
        answer(drop.site, drop.store, "processed", by_a_person=True)
    named = dataclasses.replace(drop.site, local_site=LocalSite(mail_address="edi@us.example"))
    assert answer(named, drop.store, "processed", by_a_person=True).answered == 1
    (key,) = outbox.pending(drop.store, "edi")
    assert b"From: edi@us.example\r\n" in base64.b64decode(outbox.read(drop.store, key).message)


def test_our_own_domain_may_have_other_letters_than_ascii() -> None:
    ours = LocalSite(mail_address="edi@bücher.example")
    for address in (b"edi@xn--bcher-kva.example", "edi@bücher.example".encode()):
        assert decision(b"Disposition-Notification-To: " + address + b"\r\n", local_site=ours) == (
            "deny",
            "own-address",
        )


def test_a_receipt_from_such_a_domain_is_ascii(maildrop: Callable[..., Maildrop]) -> None:
    mail = multipart(1, attachment(b"a", b"a"), headers=ASKS_FOR_A_RECEIPT)
    drop = maildrop(mail, local_site=LocalSite(mail_address="edi@bücher.example"))
    drop.poll()
    classify(drop.site, drop.store)
    (key,) = outbox.pending(drop.store, "edi")
    receipt = outbox.read(drop.store, key)
    message = base64.b64decode(receipt.message)
    assert message.isascii()
    assert b"From: edi@xn--bcher-kva.example\r\n" in message
    assert receipt.message_id.endswith(".receipt@xn--bcher-kva.example>")
