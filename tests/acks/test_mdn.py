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
        (b"manual-action/MDN-sent-manually; displayed (in a preview)", "displayed", "positive"),
        (b"(by hand) manual-action/MDN-sent-manually; (on a screen) displayed", "displayed", "positive"),
        (b'manual-action (a; b (c)) / MDN-sent-manually; displayed("/error)', "displayed", "positive"),
        (b"automatic-action/MDN-sent-automatically; processed (x) / (y) error", "processed", "negative"),
        (b"automatic-action/MDN-sent-automatically; processed/error: no key; sorry", "processed", "negative"),
        (b"automatic-action/MDN-sent-automatically", "", "undefined"),
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


# -- building ---------------------------------------------------------------------------------------------------


def built(original: bytes = ASKING, **options) -> bytes:
    arguments = {
        "from_": "edi@example.com",
        "to": ["a@example.org"],
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


@pytest.mark.parametrize(
    ("outcome", "disposition", "verdict", "field"),
    [
        ("processed", "processed", "positive", None),
        ("warning", "processed/warning", "positive", "warning"),
        ("displayed", "displayed", "positive", None),
        ("dispatched", "dispatched", "positive", None),
        ("failed", "processed/error", "negative", "error"),
        ("deleted", "deleted", "negative", None),
        ("unsupported", "failed/failure", "negative", "failure"),
    ],
)
def test_every_outcome_has_its_disposition_and_a_field_for_the_words(
    outcome: str, disposition: str, verdict: str, field: str | None
) -> None:
    message = built(outcome=outcome, explanation="Ungültige Datei")
    report = read(message)
    assert report.disposition == f"automatic-action/MDN-sent-automatically; {disposition}"
    assert report.verdict == verdict
    words = {name: report.fields[name] for name in ("error", "warning", "failure") if name in report.fields}
    assert words == ({field: "Ungültige Datei"} if field else {})
    text, *_ = email.message_from_bytes(message, policy=email.policy.default).iter_parts()
    assert "Ungültige Datei" in text.get_content()


def test_a_receipt_that_a_person_decided_says_so() -> None:
    disposition = read(built(by_a_person=True, outcome="deleted")).disposition
    assert disposition == "manual-action/MDN-sent-manually; deleted"


def test_a_receipt_is_for_every_address_that_asked() -> None:
    message = email.message_from_bytes(
        built(to=["a@example.org", "b@example.org"]), policy=email.policy.default
    )
    assert message["To"] == "a@example.org, b@example.org"


def test_further_fields_stand_in_the_notification() -> None:
    report = read(built(fields=[("Received-Content-MIC", "Q2hlY2sgSW50ZWdyaXR5IQ==, sha-256")]))
    assert report.fields["received-content-mic"] == "Q2hlY2sgSW50ZWdyaXR5IQ==, sha-256"


def test_a_signer_gets_the_report_as_an_entity_and_what_it_returns_is_sent() -> None:
    given = []

    def sign(report: bytes) -> bytes:
        given.append(report)
        return b"Content-Type: text/plain\r\n\r\nsigned\r\n"

    message = email.message_from_bytes(built(sign=sign))
    assert (message["From"], message.get_payload()) == ("edi@example.com", "signed\r\n")
    assert email.message_from_bytes(given[0]).get_content_type() == "multipart/report"
    assert built() == built(sign=lambda report: report)


def test_an_address_that_is_not_ascii_makes_a_global_notification() -> None:
    """RFC 6533: types of its own, UTF-8 as it is."""
    original = ASKING.replace(b"To: edi@example.com", "To: büro@example.com".encode())
    message = built(
        original, to=["jürgen@example.org"], from_="büro@example.com", final_recipient="büro@example.com"
    )
    parsed = email.message_from_bytes(message, policy=email.policy.default)
    assert "To: jürgen@example.org\r\n".encode() in message
    _, machine, returned = parsed.iter_parts()
    assert machine.get_content_type() == "message/global-disposition-notification"
    assert returned.get_content_type() == "message/global-headers"
    assert "To: büro@example.com\r\n".encode() in message.partition(b"message/global-headers")[2]
    report = read(message)
    assert report.recipients[0].final_recipient == "büro@example.com"
    assert report.fields["final-recipient"] == "utf-8; büro@example.com"


def test_to_who_has_an_ascii_address_everything_is_ascii() -> None:
    """Perhaps no relay on the way offers SMTPUTF8; our own address is escaped (RFC 6533 §3)."""
    message = built(from_="büro@example.com", final_recipient="büro@example.com")
    assert message.isascii()
    report = read(message)
    assert report.fields["final-recipient"] == r"utf-8; b\x{FC}ro@example.com"
    assert report.recipients[0].final_recipient == "büro@example.com"


@pytest.mark.parametrize("to", ["partner@example.org", "jürgen@example.org"])
@pytest.mark.parametrize("character", ["ä", "€", "\N{GRINNING FACE}"])
def test_no_address_makes_a_line_too_long(to: str, character: str) -> None:
    """The address a receipt is for may be one of To, which a stranger wrote."""
    long = character * 480
    original = f"Original-Recipient: utf-8; {long}@example.com\r\n".encode() + ASKING
    message = built(original, to=[to], final_recipient=f"{long}@example.com")
    assert max(map(len, message.split(b"\r\n"))) < 998
    assert read(message).recipients[0].final_recipient.startswith(character * 80)


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
    message = built(original, outcome="warning", explanation=explanation)
    assert message.isascii() and b"\0" not in message
    lines = message.split(b"\r\n")
    assert all(len(line) < 998 and b"\n" not in line and b"\r" not in line for line in lines)
    assert sum(line.startswith(b"--=_mdn_") for line in lines) == 4
    assert read(message).verdict == "positive"
