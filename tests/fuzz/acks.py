"""Targets: acknowledgments that come in, and those that go out because of what came in."""

from __future__ import annotations

import email
import email.policy
from datetime import datetime, timezone

from fuzz.mail import clean

from airflow_pop3_gateway.acks import asking, mdn, parse_report
from airflow_pop3_gateway.errors import LimitExceeded
from airflow_pop3_gateway.mail.extract import Captured
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.records import Report

NOW = datetime(2026, 11, 23, 8, tzinfo=timezone.utc)
TYPES = (
    "message/delivery-status",
    "message/global-delivery-status",
    "message/disposition-notification",
    "message/global-disposition-notification",
)


def read_reports(data: bytes) -> None:
    """The machine-readable part of a report, and the mail it returns behind the first zero octet."""
    fields, _, returned = data.partition(b"\0")
    for kind in TYPES:
        report = parse_report([Captured(kind, fields, "2"), Captured("text/rfc822-headers", returned, "3")])
        if report is None:
            continue
        assert Report.from_json(report.to_json()) == report
        assert report.kind == ("dsn" if "delivery" in kind else "mdn")
        assert report.kind == "mdn" or report.verdict != "positive", "a DSN proves nothing"
        for text in (report.original_message_id, report.envelope_id, report.reporting, report.disposition):
            clean(text)
        for one in report.recipients:
            clean(
                one.final_recipient + one.original_recipient + one.action + one.status + one.diagnostic_code
            )


def answer(data: bytes) -> None:
    """The mail that asks for a receipt: whether it gets one, and a well-formed one it is."""
    try:
        head = Head.from_bytes(data)
    except LimitExceeded:
        return
    asks = asking.requested(head)
    reason = asking.deny_reason(head, ["us@customer.example"])
    assert asks or reason, "nobody asked"
    assert all(option.attribute for option in asking.options(head))
    for to in asks[:1] or ("partner@supplier.example",):
        built = mdn.build(
            head,
            from_="us@customer.example",
            to=[to],
            final_recipient=head.to[0] if head.to else "us@customer.example",
            message_id="<1@customer.example>",
            date=NOW,
            reporting_ua="customer.example; gateway",
            outcome="failed",
            explanation=head.subject,
        )
        assert built.isascii() or not to.isascii()
        assert built.endswith(b"\r\n")
        assert built.count(b"\n") == built.count(b"\r") == built.count(b"\r\n")
        assert max(map(len, built.split(b"\r\n"))) <= 998
        message = email.message_from_bytes(built, policy=email.policy.compat32)
        assert message.get_content_type() == "multipart/report" and len(message.get_payload()) == 3
        assert message["Message-ID"] == "<1@customer.example>" and len(message.get_all("From")) == 1
