"""Delivery status notifications: what servers say, in every dialect."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.acks import dsn, parse_report
from airflow_pop3_gateway.mail.extract import Captured

FAILED = b"""Reporting-MTA: dns; mx.example.org
Original-Envelope-Id: <1.2@example.org>

Final-Recipient: rfc822; a@example.org
Original-Recipient: rfc822; A@example.org
Action: failed (no such user)
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 unknown
Remote-MTA: dns; other.example.org

Final-Recipient: rfc822;b@example.org
Action: Delivered
Status: 2.0.0
"""


def status(data: bytes, content_type: str = "message/delivery-status") -> Captured:
    return Captured(content_type, data, "2")


def headers(data: bytes, content_type: str = "text/rfc822-headers") -> Captured:
    return Captured(content_type, data, "3")


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_the_message_and_each_recipient(line_end: bytes) -> None:
    report = dsn.parse(
        [status(FAILED.replace(b"\n", line_end)), headers(b"Message-ID: <ours@example.org>\r\n")]
    )
    assert report is not None
    assert (report.kind, report.verdict) == ("dsn", "negative")
    assert (report.reporting, report.envelope_id) == ("mx.example.org", "<1.2@example.org>")
    assert report.original_message_id == "<ours@example.org>"
    first, second = report.recipients
    assert (first.final_recipient, first.original_recipient) == ("a@example.org", "A@example.org")
    assert (first.action, first.status) == ("failed", "5.1.1")
    assert (first.diagnostic_code, first.remote_mta) == ("550 5.1.1 unknown", "other.example.org")
    assert (second.final_recipient, second.action) == ("b@example.org", "delivered")
    assert report.fields["reporting-mta"] == "dns; mx.example.org"


@pytest.mark.parametrize(
    ("field", "address"),
    [
        (b"rfc822; a@example.org (A. B.)", "a@example.org"),
        (b"(here) rfc822 (of mail); (now) a@example.org", "a@example.org"),
        (b"rfc822; A. B. <a@example.org>", "a@example.org"),
        (b'rfc822; "a(b"@example.org', '"a(b"@example.org'),
        (b"utf-8; j\\x{F6}@example.org (\\) J.)", "j\N{LATIN SMALL LETTER O WITH DIAERESIS}@example.org"),
    ],
)
def test_comments_are_no_part_of_an_address(field: bytes, address: str) -> None:
    report = dsn.parse(
        [status(b"Final-Recipient: " + field + b"\nAction: (alas) failed(x)\nStatus: 4.0.0\n")]
    )
    assert report is not None and report.verdict == "negative"
    [recipient] = report.recipients
    assert (recipient.final_recipient, recipient.action) == (address, "failed")


@pytest.mark.parametrize(
    ("action", "verdict"),
    [
        (b"failed", "negative"),
        (b"FAILED", "negative"),
        (b"failure", "negative"),
        (b"error\nStatus: 5.0.0", "negative"),
        (b"expired\nStatus: 4.4.7", "negative"),
        (b"delayed\nStatus: 5.0.0", "undefined"),
        (b"delayed", "undefined"),
        (b"delivered", "undefined"),
        (b"relayed", "undefined"),
        (b"expanded", "undefined"),
        (b"nonsense", "undefined"),
    ],
)
def test_only_a_failure_decides_for_a_good_dsn_proves_nothing(action: bytes, verdict: str) -> None:
    report = dsn.parse([status(b"Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; a@b\nAction: " + action)])
    assert report is not None and report.verdict == verdict


def test_a_permanent_status_without_an_action_is_a_failure() -> None:
    report = dsn.parse([status(b"Final-Recipient: rfc822; a@b\nStatus: 5.0.0\n")])
    assert report is not None and report.verdict == "negative"


def test_a_report_without_the_empty_line_between_message_and_recipient() -> None:
    report = dsn.parse([status(b"Reporting-MTA: dns; mx\nFinal-Recipient: rfc822; <a@b>\nAction: failed\n")])
    assert report is not None
    assert (report.reporting, report.recipients[0].final_recipient) == ("mx", "a@b")


def test_a_type_of_address_that_is_none_is_left_out_as_well() -> None:
    report = dsn.parse([status(b"Final-Recipient: rfc/822;a@b\nAction: failed\n")])
    assert report is not None and report.recipients[0].final_recipient == "a@b"


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_recipient_in_base64_as_the_group_before_says(line_end: bytes) -> None:
    message, *recipients = FAILED.split(b"\n\n", 1)
    plain = dsn.parse([status(FAILED)])
    encoded = message + b"\nContent-Transfer-Encoding: Base64\n\n" + base64.encodebytes(recipients[0])
    report = dsn.parse([status(encoded.replace(b"\n", line_end))])
    assert report is not None and plain is not None
    assert (report.recipients, report.verdict) == (plain.recipients, plain.verdict)


@pytest.mark.parametrize("block", [b"AAAAA", b"no base64 at all!", b"Final-Recipient: rfc822; a@b"])
def test_what_only_is_said_to_be_base64(block: bytes) -> None:
    report = dsn.parse([status(b"Reporting-MTA: dns; x\nContent-Transfer-Encoding: base64\n\n" + block)])
    assert report is not None and [one.final_recipient for one in report.recipients] == ["a@b"] * (
        b":" in block
    )


def test_an_internationalised_address_is_unescaped() -> None:
    data = rb"Final-Recipient: utf-8; j\x{F6}rg@ex\x{E4}mple.org" + b"\nAction: failed\n"
    report = dsn.parse([status(data, "message/global-delivery-status")])
    assert report is not None and report.recipients[0].final_recipient == "jörg@exämple.org"


@pytest.mark.parametrize("form", ["message/rfc822", "message/rfc822-headers", "message/global-headers"])
def test_the_message_id_is_taken_from_what_is_returned_in_any_form(form: str) -> None:
    report = dsn.parse([status(FAILED), headers(b"message-id: <ours@x>\r\n", form)])
    assert report is not None and report.original_message_id == "<ours@x>"


@pytest.mark.parametrize(
    "parts", [[], [status(b"")], [status(b"no fields here")], [headers(b"Message-ID: <a@b>")]]
)
def test_what_says_nothing_is_no_report(parts: list[Captured]) -> None:
    assert parse_report(parts) is None


@given(st.binary(max_size=400), st.binary(max_size=100))
def test_any_octets_are_read_or_are_no_report(data: bytes, returned: bytes) -> None:
    report = parse_report([status(data), headers(returned)])
    assert report is None or report.verdict in ("negative", "undefined")


@given(
    st.lists(st.sampled_from([*FAILED.splitlines(keepends=True), b"\n", b" x\n", b"\xff", b":"])).map(
        b"".join
    )
)
def test_shuffled_reports_are_read(data: bytes) -> None:
    report = parse_report([status(data)])
    assert report is None or all(isinstance(one.final_recipient, str) for one in report.recipients)
