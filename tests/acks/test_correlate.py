"""A report finds its mail and its recipient by whatever its agent wrote."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.acks import parse_report
from airflow_pop3_gateway.acks.correlate import MOST_CANDIDATES, candidates, recipient_of, rows_of
from airflow_pop3_gateway.mail.extract import Captured
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.records import Report, ReportedRecipient

OURS = "<orders.20261123110000.0a1b@we.example>"
PARTNERS = (
    "Anna@Partner.example",
    "anna@partner.example",
    "ben+x@partner.example",
    "j\u00f6rg@ex\u00e4mple.org",
)


def dsn(status: bytes = b"", returned: bytes = b"", head: bytes = b"") -> list[tuple[str, str]]:
    """What is found in a DSN, as (matched_by, ident)."""
    parts = [
        Captured("message/delivery-status", b"Reporting-MTA: dns; mx\r\n" + status, "2"),
        Captured("text/rfc822-headers", returned, "3"),
    ]
    report = parse_report(parts)
    assert report is not None
    found = candidates(report, Head.from_bytes(head), parts)
    return [(one.matched_by, one.ident) for one in found]


@pytest.mark.parametrize(
    "written",
    [OURS, OURS.strip("<>"), OURS.replace("<", "+3C").replace(">", "+3E"), OURS.replace("@", "@\r\n ")],
)
def test_an_envelope_id_is_itself_in_brackets_or_not_and_in_xtext(written: str) -> None:
    found = dsn(b"Original-Envelope-Id: " + written.encode())
    assert ("envid", OURS) in found


def test_an_envelope_id_that_only_looks_like_xtext_is_itself_first() -> None:
    assert dsn(b"Original-Envelope-Id: a+2Bb@x")[:2] == [("envid", "<a+2Bb@x>"), ("envid", "<a+b@x>")]


@pytest.mark.parametrize(
    ("where", "field"),
    [
        ("status", b"X-Original-Message-ID: "),  # Gmail
        ("status", b"Original-Message-ID: "),
        ("returned", b"Message-ID: "),
        ("returned", b"X-Google-Original-Message-ID: "),
        ("head", b"X-Original-Message-ID: "),
        ("head", b"X-MS-Exchange-Parent-Message-Id: "),
        ("head", b"In-Reply-To: "),
        ("head", b"References: <first@x>\r\n "),
    ],
)
def test_every_place_an_agent_may_name_our_mail(where: str, field: bytes) -> None:
    assert OURS in [ident for _, ident in dsn(**{where: field + OURS.encode() + b"\r\n"})]


def test_the_strongest_comes_first_and_each_once() -> None:
    found = dsn(
        b"Original-Envelope-Id: <1@e>\r\n",
        b"Message-ID: <2@m>\r\nX-Original-Message-ID: <3@x>\r\n",
        b"In-Reply-To: <2@m>\r\nReferences: <5@old> <6@older>\r\n",
    )
    assert found == [
        ("envid", "<1@e>"),
        ("returned-header", "<2@m>"),
        ("returned-header", "<3@x>"),
        ("references", "<6@older>"),
        ("references", "<5@old>"),
    ]


def test_what_the_returned_mail_answers_is_another_mail() -> None:
    assert dsn(returned=b"In-Reply-To: <other@x>\r\nReferences: <other@x>\r\n") == []


def test_an_mdn_names_our_mail_itself() -> None:
    parts = [
        Captured(
            "message/disposition-notification",
            b"Final-Recipient: rfc822; a@x\r\nOriginal-Message-ID: " + OURS.encode() + b"\r\n"
            b"Disposition: manual-action/MDN-sent-manually; displayed\r\n",
            "2",
        )
    ]
    report = parse_report(parts)
    assert report is not None
    assert [(one.matched_by, one.ident) for one in candidates(report, Head([]), parts)] == [
        ("original-message-id", OURS)
    ]


@given(st.binary(max_size=300), st.binary(max_size=300), st.lists(st.integers(0, 99)))
def test_whatever_stands_there_there_are_few_candidates(
    status: bytes, returned: bytes, references: list[int]
) -> None:
    head = b"References: " + b" ".join(b"<%d@x>" % number for number in references)
    assert len(dsn(status, returned, head)) <= MOST_CANDIDATES


# -- recipients -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("original", "final", "found"),
    [
        ("Anna@Partner.example", "", "Anna@Partner.example"),
        ("anna@PARTNER.example", "", "anna@partner.example"),
        ("ANNA@partner.example", "", ""),  # two fit, so none does
        ("BEN+X@partner.example", "", "ben+x@partner.example"),
        ("ben+2Bx@partner.example", "", "ben+x@partner.example"),  # xtext nobody undid
        ("", "j\u00f6rg@xn--exmple-cua.org", "j\u00f6rg@ex\u00e4mple.org"),
        ("ben+x@partner.example", "elsewhere@forward.example", "ben+x@partner.example"),
        ("unknown@x", "ben+x@partner.example", "ben+x@partner.example"),
        ("ben@partner.example", "elsewhere@forward.example", ""),
        ("", "", ""),
    ],
)
def test_the_original_recipient_decides_then_the_final_one(original: str, final: str, found: str) -> None:
    assert recipient_of(ReportedRecipient(final, original), PARTNERS) == found


def test_a_mail_that_went_to_one_was_for_nobody_else() -> None:
    assert recipient_of(ReportedRecipient("new@forward.example"), ["a@x"]) == "a@x"


def test_who_sends_an_mdn_may_be_the_recipient_and_who_sends_a_dsn_never_is() -> None:
    head = Head.from_bytes(b"From: Ben <ben+x@partner.example>\r\n")
    one = (ReportedRecipient("box7@internal.example", action="displayed"),)
    mdn = Report("mdn", "positive", disposition="manual-action; displayed", recipients=one)
    assert rows_of(mdn, head, PARTNERS)[0].recipient == "ben+x@partner.example"
    assert rows_of(Report("dsn", "undefined", recipients=one), head, PARTNERS)[0].recipient == ""


def test_each_recipient_of_a_dsn_has_a_verdict_of_its_own() -> None:
    report = Report(
        "dsn",
        "negative",
        recipients=(
            ReportedRecipient("anna@partner.example", action="delivered", status="2.0.0"),
            ReportedRecipient(
                "ben+x@partner.example", action="failed", status="5.1.1", diagnostic_code="550 no"
            ),
        ),
    )
    rows = rows_of(report, Head([]), PARTNERS)
    assert [(row.recipient, row.verdict, row.action, row.status, row.detail) for row in rows] == [
        ("anna@partner.example", "undefined", "delivered", "2.0.0", ""),
        ("ben+x@partner.example", "negative", "failed", "5.1.1", "550 no"),
    ]


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_names_one_of_ours_or_nobody(original: str, final: str) -> None:
    assert recipient_of(ReportedRecipient(final, original), PARTNERS) in ("", *PARTNERS)
