"""Disposition notifications: read with forgiveness, built with care, denied where they could loop."""

from __future__ import annotations

import email
import email.policy
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.acks import mdn, parse_report
from airflow_pop3_gateway.mail.extract import Captured, Policy, understand
from airflow_pop3_gateway.mail.headers import Head

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=timezone.utc)
ASKING = (
    b"Return-Path: <a@example.org>\r\nFrom: A <a@example.org>\r\nTo: edi@example.com\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: Fri, 2 Jan 2026 11:00:00 +0000\r\nMessage-ID: <ask@example.org>\r\n"
    b"Disposition-Notification-To: A <a@example.org>\r\n"
)


def notification(data: bytes) -> Captured:
    return Captured("message/disposition-notification", data, "2")


# -- reading ----------------------------------------------------------------------------------------------------


def test_the_fields_of_a_notification() -> None:
    report = mdn.parse(
        [
            notification(
                b"Reporting-UA: pc.example.com; Mailer 1.0\r\nOriginal-Recipient: rfc822; b@example.com\r\n"
                b"Final-Recipient: rfc822;b@example.com\r\nOriginal-Message-ID: <ours@example.org>\r\n"
                b"Original-Envelope-Id: e1\r\nDisposition: manual-action/MDN-sent-manually; displayed\r\n"
            )
        ]
    )
    assert report is not None
    assert (report.kind, report.verdict, report.original_message_id) == (
        "mdn",
        "positive",
        "<ours@example.org>",
    )
    assert (report.reporting, report.envelope_id) == ("pc.example.com; Mailer 1.0", "e1")
    [recipient] = report.recipients
    assert (recipient.final_recipient, recipient.original_recipient) == ("b@example.com", "b@example.com")
    assert recipient.action == "displayed"


@pytest.mark.parametrize(
    ("disposition", "kind", "verdict"),
    [
        (b"automatic-action/MDN-sent-automatically; processed", "processed", "positive"),
        (b"automatic-action/MDN-sent-automatically;processed/warning", "processed", "positive"),
        (b"automatic-action/MDN-sent-automatically; processed/error", "processed", "negative"),
        (
            b"automatic-action/MDN-sent-automatically; processed/Error: authentication-failed",
            "processed",
            "negative",
        ),
        (
            b"automatic-action/MDN-sent-automatically; failed/Failure: unsupported format",
            "failed",
            "negative",
        ),
        (b"manual-action/MDN-sent-manually; deleted", "deleted", "negative"),
        (b"manual-action / MDN-sent-manually ; Displayed", "displayed", "positive"),
        (b"manual-action/MDN-sent-automatically; dispatched", "dispatched", "positive"),
        (b"manual-action/MDN-sent-manually; denied", "denied", "undefined"),
        (b"displayed", "displayed", "positive"),
        (b"(comment)", "", "undefined"),
        (b"", "", "undefined"),
    ],
)
def test_only_a_positive_notification_is_certain(disposition: bytes, kind: str, verdict: str) -> None:
    report = mdn.parse([notification(b"Disposition: " + disposition + b"\r\n")])
    assert report is not None
    assert (report.recipients[0].action, report.verdict) == (kind, verdict)


def test_empty_lines_between_the_fields_are_forgiven() -> None:
    report = mdn.parse(
        [notification(b"Reporting-UA: x\n\nFinal-Recipient: rfc822;a@b\n\nDisposition: x; displayed\n")]
    )
    assert report is not None and (report.verdict, report.recipients[0].final_recipient) == (
        "positive",
        "a@b",
    )


def test_the_message_id_comes_from_the_returned_headers_where_the_field_is_missing() -> None:
    parts = [
        notification(b"Disposition: x; displayed"),
        Captured("text/rfc822-headers", b"Message-ID: <ours@x>", "3"),
    ]
    report = parse_report(parts)
    assert report is not None and report.original_message_id == "<ours@x>"


@given(st.binary(max_size=300))
def test_any_octets_are_read_or_are_no_notification(data: bytes) -> None:
    mdn.parse([notification(data)])
    mdn.parse([notification(b"Disposition: " + data)])


# -- who asks, and who gets none --------------------------------------------------------------------------------


def test_the_addresses_that_ask_each_once() -> None:
    head = Head.from_bytes(
        b"Disposition-Notification-To: A <a@b>, A@B,\r\n c@d\r\nDisposition-Notification-To: e@f\r\n"
    )
    assert mdn.requested(head) == ("a@b", "c@d", "e@f")
    assert mdn.requested(Head.from_bytes(b"From: a@b\r\n")) == ()


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
        ((b"-To: A <a@example.org>", b"-To: edi@example.com"), "own-address"),
        ((b"To: edi", b"Disposition-Notification-Options: x=required,y\r\nTo: edi"), "unknown-options"),
    ],
)
def test_who_gets_no_receipt_by_itself(change: tuple[bytes, bytes], reason: str | None) -> None:
    head = Head.from_bytes(ASKING.replace(*change, 1) if change[0] else ASKING)
    assert mdn.deny_reason(head, own_addresses=("EDI@example.com",)) == reason


def test_the_reasons_a_person_may_override_are_those_of_doubt() -> None:
    assert mdn.NEEDS_A_PERSON == {
        "no-return-path",
        "return-path-differs",
        "several-addresses",
        "unknown-options",
    }


# -- building ---------------------------------------------------------------------------------------------------


def built(original: bytes = ASKING, **options) -> bytes:
    arguments = {
        "from_": "edi@example.com",
        "to": "a@example.org",
        "final_recipient": "edi@example.com",
        "message_id": "<mdn.1@example.com>",
        "date": NOON,
        "reporting_ua": "gateway.example.com; airflow-pop3-gateway",
    }
    return mdn.build(Head.from_bytes(original), **{**arguments, **options})


def test_a_receipt_is_what_rfc_8098_asks_for() -> None:
    message = email.message_from_bytes(built(), policy=email.policy.default)
    assert message["From"] == "edi@example.com" and message["To"] == "a@example.org"
    assert message["Subject"] == "Receipt: Grüße"
    assert message["Date"] == "Fri, 02 Jan 2026 12:00:00 +0000"
    assert message["Message-ID"] == "<mdn.1@example.com>"
    assert message["In-Reply-To"] == message["References"] == "<ask@example.org>"
    assert message["Auto-Submitted"] == "auto-replied"
    assert message.get_content_type() == "multipart/report"
    assert message.get_param("report-type") == "disposition-notification"
    text, machine, returned = message.iter_parts()
    assert "Grüße" in text.get_content() and "was received and processed" in text.get_content()
    assert machine.get_content_type() == "message/disposition-notification"
    [fields] = machine.get_payload()
    assert dict(fields) == {
        "Reporting-UA": "gateway.example.com; airflow-pop3-gateway",
        "Final-Recipient": "rfc822; edi@example.com",
        "Original-Message-ID": "<ask@example.org>",
        "Disposition": "automatic-action/MDN-sent-automatically; processed",
    }
    assert returned.get_content_type() == "text/rfc822-headers"
    assert "Message-Id: <ask@example.org>" in returned.get_content()


def test_a_negative_receipt_says_why() -> None:
    message = built(modifier="error", explanation="Ungültige Datei")
    report = read(message)
    assert (report.verdict, report.disposition) == (
        "negative",
        "automatic-action/MDN-sent-automatically; processed/error",
    )
    assert report.fields["error"] == "Ungültige Datei"


def test_a_receipt_that_a_person_decided_says_so() -> None:
    disposition = read(built(by_a_person=True, disposition="deleted")).disposition
    assert disposition == "manual-action/MDN-sent-manually; deleted"


def test_the_original_recipient_is_repeated_where_it_is_known() -> None:
    report = read(built(b"Original-Recipient: rfc822;alias@example.com\r\n" + ASKING))
    assert report.recipients[0].original_recipient == "alias@example.com"


def test_the_same_arguments_give_the_same_octets() -> None:
    assert built() == built()
    assert built() != built(message_id="<mdn.2@example.com>")


def read(message: bytes):
    understanding = understand(
        [message], lambda head: Policy(), lambda name, content_type: pytest.fail("no file")
    )
    assert understanding.type == "EERP" and understanding.defects == ()
    report = parse_report(understanding.captured)
    assert report is not None and report.kind == "mdn"
    return report


HOSTILE = st.one_of(
    st.binary(max_size=200),
    st.sampled_from(
        [b"x" * 3000, b"\r\n--=_mdn", b"\r--=_mdn", b"\xff" * 900, b"a\r\n b", b"\0", b"=?utf-8?q?=0D=0A?="]
    ),
)


@given(HOSTILE, HOSTILE, HOSTILE, st.text(max_size=100))
def test_whatever_the_original_held_the_receipt_is_seven_bit_short_lined_and_read_back(
    subject: bytes, ident: bytes, other: bytes, explanation: str
) -> None:
    original = b"Subject: " + subject + b"\r\nMessage-ID: " + ident + b"\r\nX: " + other + b"\r\n"
    message = built(original, modifier="warning", explanation=explanation)
    assert message.isascii() and b"\0" not in message
    lines = message.split(b"\r\n")
    assert all(len(line) < 998 and b"\n" not in line and b"\r" not in line for line in lines)
    assert sum(line.startswith(b"--=_mdn_") for line in lines) == 4
    assert read(message).verdict == "positive"


def test_a_receipt_is_never_asked_for_by_a_receipt() -> None:
    assert (
        mdn.deny_reason(Head.from_bytes(b"Disposition-Notification-To: a@b\r\n" + built())) == "is-a-report"
    )
