"""Who asks for a receipt, with which options, and who gets none by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.acks import asking, mdn
from airflow_pop3_gateway.acks.asking import Option
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.store import layout

ASKING = (
    b"Return-Path: <a@example.org>\r\nFrom: A <a@example.org>\r\nTo: edi@example.com\r\n"
    b"Message-ID: <ask@example.org>\r\nDisposition-Notification-To: A <a@example.org>\r\n"
)


def test_the_addresses_that_ask_each_once() -> None:
    head = Head.from_bytes(
        b"Disposition-Notification-To: A <a@b>, A@B,\r\n c@d\r\nDisposition-Notification-To: e@f\r\n"
    )
    assert asking.requested(head) == ("a@b", "c@d", "e@f")
    assert asking.requested(Head.from_bytes(b"From: a@b\r\n")) == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((b"", b""), None),
        ((b"Return-Path: <a@example.org>\r\n", b""), None),
        ((b"Return-Path: <a@example.org>", b"Return-Path: <A@Example.Org>"), None),
        ((b"To: edi", b"Auto-Submitted: no\r\nTo: edi"), None),
        ((b"To: edi", b"Auto-Submitted: auto-generated\r\nTo: edi"), "auto-submitted"),
        ((b"To: edi", b"Auto-Submitted: auto-replied; owner-email=x\r\nTo: edi"), "auto-submitted"),
        ((b"To: edi", b"X-Auto-Response-Suppress: RN, NRN\r\nTo: edi"), "auto-submitted"),
        ((b"To: edi", b"List-Id: <l.example.org>\r\nTo: edi"), "list-mail"),
        ((b"To: edi", b"List-Unsubscribe: <x>\r\nTo: edi"), "list-mail"),
        ((b"To: edi", b"Precedence: bulk\r\nTo: edi"), "list-mail"),
        ((b"To: edi", b"Content-Type: multipart/report; boundary=x\r\nTo: edi"), "is-a-report"),
        ((b"<a@example.org>\r\nFrom", b"<>\r\nFrom"), "null-return-path"),
        ((b"<a@example.org>\r\nFrom", b"<other@example.org>\r\nFrom"), "return-path-differs"),
        ((b"Return-Path: <a@example.org>\r\nFrom: A <a@", b"From: A <other@"), "no-return-path"),
        ((b"To: A <a@example.org>", b"To: a@example.org, b@example.org"), "several-addresses"),
        ((b"-To: A <a@example.org>", b"-To: nobody"), "no-address"),
        ((b"-To: A <a@example.org>", b"-To: " + b"a" * 400 + b"@example.org"), "no-address"),
        ((b"-To: A <a@example.org>", b"-To: edi@example.com"), "own-address"),
    ],
)
def test_who_gets_no_receipt_by_itself(change: tuple[bytes, bytes], reason: str | None) -> None:
    head = Head.from_bytes(ASKING.replace(*change, 1) if change[0] else ASKING)
    assert asking.deny_reason(head, own_addresses=("EDI@example.com",)) == reason
    trusting = asking.deny_reason(head, ("EDI@example.com",), trusted=lambda address: True)
    assert trusting == (None if reason in asking.NEEDS_A_PERSON else reason)


def test_one_address_that_is_not_trusted_is_enough_for_doubt() -> None:
    head = Head.from_bytes(ASKING.replace(b"To: A <a@example.org>", b"To: a@example.org, b@example.net"))
    assert asking.deny_reason(head, trusted=lambda address: address.endswith(".org")) == "several-addresses"


def test_the_reasons_consent_may_override_are_those_of_doubt() -> None:
    assert asking.NEEDS_A_PERSON == {"no-return-path", "return-path-differs", "several-addresses"}


def test_a_receipt_never_asks_for_a_receipt() -> None:
    receipt = mdn.build(
        Head.from_bytes(ASKING),
        from_="edi@example.com",
        to=["a@example.org"],
        final_recipient="edi@example.com",
        message_id="<mdn.1@example.com>",
        date=layout.moment("2026-01-02T12:00:00.000Z"),
        reporting_ua="x; y",
    )
    head = Head.from_bytes(b"Disposition-Notification-To: a@b\r\n" + receipt.partition(b"\r\n\r\n")[0])
    assert asking.deny_reason(head, trusted=lambda address: True) == "is-a-report"


# -- options ----------------------------------------------------------------------------------------------------


def options(value: bytes) -> tuple[Option, ...]:
    return asking.options(Head.from_bytes(b"Disposition-Notification-Options: " + value + b"\r\n"))


def test_the_options_of_a_signed_receipt() -> None:
    """As in RFC 3335 §5.2."""
    value = b"signed-receipt-protocol=optional, pkcs7-signature;\r\n signed-receipt-micalg=Required,sha1, md5"
    assert options(value) == (
        Option("signed-receipt-protocol", False, ("pkcs7-signature",)),
        Option("signed-receipt-micalg", True, ("sha1", "md5")),
    )


@pytest.mark.parametrize(
    ("value", "parsed"),
    [
        (b"", ()),
        (b";;", ()),
        (b"=required,x", ()),
        (b"X=required", (Option("x", True),)),
        (b"x", (Option("x", False),)),
        (b"x = required , a ; ", (Option("x", True, ("a",)),)),
        (b'x=optional,"a;b,c","d\\"e"', (Option("x", False, ("a;b,c", 'd"e')),)),
        (b'x=optional,"never closed; y=required,z', (Option("x", False, ("never closed; y=required,z",)),)),
    ],
)
def test_options_are_read_as_far_as_they_are_some(value: bytes, parsed: tuple[Option, ...]) -> None:
    assert options(value) == parsed


def test_what_is_required_and_unknown_is_named() -> None:
    head = Head.from_bytes(b"Disposition-Notification-Options: a=required,x; b=optional,y; c=required\r\n")
    assert asking.unknown_options(head) == ("a", "c")
    assert asking.unknown_options(Head.from_bytes(ASKING)) == ()


@given(st.one_of(st.binary(max_size=200), st.text(alphabet='"\\;,= a', max_size=200).map(str.encode)))
def test_any_octets_are_options_or_none(value: bytes) -> None:
    assert all(option.attribute for option in options(value))
