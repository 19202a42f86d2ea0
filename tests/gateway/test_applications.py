"""Rules as data: ordered, the first row that fits decides; the same on reception and offline."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.maildrop import Maildrop, attachment, letter, multipart, text

from airflow_pop3_gateway.errors import ConfigurationError, MailRefused
from airflow_pop3_gateway.gateway import classify, examine
from airflow_pop3_gateway.gateway.applications import BEGINNING, ApplicationRule, Choice, Rules
from airflow_pop3_gateway.mail.extract import Policy
from airflow_pop3_gateway.mail.headers import Head, identity

MAIL = multipart(
    7,
    text(b"see attached"),
    attachment(b"Invoice-2026.CSV", b"a;b"),
    headers=b"Subject: Your invoice [42]\r\nCc: c@us.example\r\n",
)


def choice(mail: bytes = MAIL, **changes: Any) -> Choice:
    """What a chooser would see of a mail."""

    def octets() -> Iterator[bytes]:
        yield mail

    head = Head.from_bytes(mail[: mail.index(b"\r\n\r\n") + 2])
    seen: dict[str, Any] = {
        "originator": "edi",
        "destination": "orders",
        "from_": head.from_,
        "to": head.to,
        "xfer_ident": identity(head)[0],
        "subject": head.subject,
        "application": "MAIL",
        "size": len(mail),
        "head": head,
        "octets": octets,
    }
    return Choice(**{**seen, **changes})


@pytest.mark.parametrize(
    "row",
    [
        {"originator": "e*"},
        {"destination": "ORDERS"},
        {"from": "*@partner.example"},
        {"to": "edi@us.example"},
        {"subject": "*invoice [4?]"},
        {"xfer_ident": "<7@*"},
        {"file_name": "invoice-*.csv"},
        {"content_type": "multipart/*"},
        {"content_type": "application/octet-stream"},
        {"min_size": 10, "max_size": 10_000},
        {},
    ],
)
def test_a_row_fits_by_any_of_its_fields_with_wildcards_and_without_case(row: dict[str, Any]) -> None:
    assert Rules.of([{"application": "INV", **row}])(choice()) == "INV"


@pytest.mark.parametrize(
    "row",
    [
        {"from": "*@other.example"},
        {"subject": "invoice"},
        {"subject": "*invoice [4]"},
        {"file_name": "*.pdf"},
        {"to": "nobody@*"},
        {"max_size": 10},
        {"min_size": 10_000},
        {"from": "*@partner.example", "subject": "order*"},
    ],
)
def test_a_row_that_does_not_fit_in_all_its_fields_leaves_the_proposed_application(
    row: dict[str, Any],
) -> None:
    assert Rules.of([{"application": "INV", **row}])(choice()) == "MAIL"


def test_the_first_row_that_fits_decides() -> None:
    rows = [
        {"application": "A", "from": "nobody"},
        {"application": "B", "subject": "*"},
        {"application": "C"},
    ]
    assert Rules.of(rows)(choice()) == "B"


def test_a_row_may_reject() -> None:
    with pytest.raises(MailRefused, match="rule 2"):
        Rules.of([{"application": "A", "from": "x"}, {"reject": True}])(choice())


def test_a_mail_without_a_file_has_no_file_name() -> None:
    assert choice(letter(1)).file_name == ""
    assert choice(letter(1)).content_types == ("text/plain",)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"application": "A", "form": "x"}], "rule 1: there is no field 'form'; did you mean 'from'"),
        ([{"application": "A"}, {}], "rule 2: application name"),
        ([{"application": "A", "reject": True}], "not both"),
        ([{"application": "A", "from": 1}], "must be a pattern"),
        ([{"application": "A", "max_size": -1}], "max_size"),
        (["A"], "rule 1 is not an object"),
        ("A", "list of rules"),
    ],
)
def test_a_wrong_row_is_named(rows: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told.replace("(", r"\(")):
        Rules.of(rows)


def test_reception_and_offline_agree(maildrop: Callable[..., Maildrop]) -> None:
    rules = Rules.of(
        [
            {"application": "INV", "file_name": "*.csv"},
            {"reject": True, "subject": "2"},
            ApplicationRule("TEXT", content_type="text/*"),
        ]
    )
    mails = [MAIL, letter(1), letter(2)]
    drop = maildrop(*mails)
    drop.poll()
    received = classify(drop.site, drop.store, choose=rules).applications
    offline = [examine(lambda mail=mail: iter([mail]), len(mail), Policy(), rules) for mail in mails]  # type: ignore[misc]
    assert received == {"INV": 1, "TEXT": 1, "MAIL": 1}
    assert [answer["application"] for answer in offline] == ["INV", "TEXT", "MAIL"]
    assert offline[2]["rejected"]["code"] == "application-rejected"


@pytest.mark.parametrize(("before", "application"), [(BEGINNING - 1000, "INV"), (BEGINNING, "MAIL")])
def test_a_file_behind_a_long_text_is_found_or_not_however_the_mail_is_read(
    maildrop: Callable[..., Maildrop], before: int, application: str
) -> None:
    rules = Rules.of([{"application": "INV", "file_name": "*.csv"}])
    mail = multipart(7, text(b"long text\r\n" * (before // 11)), attachment(b"a.csv", b"1;2"))
    drop = maildrop(mail)
    drop.poll()
    assert classify(drop.site, drop.store, choose=rules).applications == {application: 1}
    for size in (1000, 1 << 18, len(mail)):

        def octets(size: int = size) -> Iterator[bytes]:
            return (mail[at : at + size] for at in range(0, len(mail), size))

        assert examine(octets, len(mail), Policy(), rules)["application"] == application


def test_an_application_that_cannot_be_a_folder_leaves_the_site_s_offline_too() -> None:
    mail = MAIL.replace(b"Subject: ", b"Subject: //XFB appli=a/b")
    answer = examine(lambda: iter([mail]), len(mail), Policy(application="ORDERS"))
    assert answer["application"] == "ORDERS"
    assert [defect["code"] for defect in answer["defects"]] == ["application-name"]
