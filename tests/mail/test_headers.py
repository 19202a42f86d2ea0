"""The header block, the identity of a mail, the ``//XFB`` subject."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import ConfigurationError, LimitExceeded
from airflow_pop3_gateway.mail.headers import Head, identity, split_subject, write_subject

BLOCK = (
    b"Received: from a\r\n\tby b\r\n"
    b"From: A <a@example.org>\r\n"
    b"To: b@example.org, C <c@example.org>\r\n"
    b"To: d@example.org\r\n"
    b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n"
    b"Date: Tue, 2 Jan 2024 03:04:05 +0100\r\n"
    b"Message-ID: <1@example.org>\r\n"
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n"
)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\n", b"\r"])
def test_the_fields_we_rely_on_whatever_the_line_end(line_end: bytes) -> None:
    head = Head.from_bytes(BLOCK.replace(b"\r\n", line_end))
    assert head.from_ == "a@example.org"
    assert head.to == ("b@example.org", "c@example.org", "d@example.org")
    assert head.subject == "Grüße"
    assert head.date == "2024-01-02T02:04:05Z"
    assert head.message_id == "<1@example.org>"
    assert head.content_type.value == "multipart/mixed"
    assert head.content_type.get("boundary") == "x"
    assert head.text("received") == "from a by b"


def test_the_first_field_of_a_name_counts_and_the_second_is_noted() -> None:
    head = Head.from_bytes(b"Subject: one\nSubject: two\nDate: never\nContent-Type: nonsense\n")
    assert head.subject == "one"
    assert head.content_type.value == "text/plain"
    assert [(defect.code, defect.detail) for defect in head.defects] == [
        ("duplicate-header", "subject"),
        ("bad-content-type", "nonsense"),
        ("bad-date", "never"),
    ]


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"; charset=utf-8", "text/plain"),
        (b"binary; charset=utf-8", "text/plain"),
        (b'"text/html"; charset=utf-8', "text/html"),
        (b"text/html>; charset=utf-8", "text/html"),
        (b"multipart/*; charset=utf-8", "multipart/*"),
    ],
)
def test_a_content_type_that_is_none_keeps_its_parameters(raw: bytes, value: str) -> None:
    content_type = Head.from_bytes(b"Content-Type: " + raw + b"\r\n").content_type
    assert (content_type.value, content_type.get("charset")) == (value, "utf-8")


@pytest.mark.parametrize(
    ("field", "system"),
    [
        (b"Return-Path: <>", True),
        (b"From: Mail System <>", True),
        (b"From: MAILER-DAEMON", True),
        (b"From: Postmaster <postmaster@example.org>", True),
        (b"From: A <a@example.org>", False),
        (b"To: A <>", False),
    ],
)
def test_a_mail_system_is_known_by_its_address_or_by_having_none(field: bytes, system: bool) -> None:
    assert Head.from_bytes(field + b"\r\n").from_system == system


def test_missing_fields_are_empty() -> None:
    head = Head.from_bytes(b"")
    assert (head.subject, head.from_, head.to, head.date, head.message_id) == ("", "", (), None, "")
    assert (head.encoding, head.disposition.value, head.content_type.value) == ("7bit", "", "text/plain")
    assert head.defects == ()


def test_header_octets_at_the_limit_and_past_it() -> None:
    Head.from_bytes(b"a: 567890", Limits(header_bytes=9))
    with pytest.raises(LimitExceeded) as raised:
        Head.from_bytes(b"a: 5678901", Limits(header_bytes=9))
    assert (raised.value.limit, raised.value.value) == ("header_bytes", 9)


def test_header_fields_at_the_limit_and_past_it() -> None:
    assert len(Head.from_bytes(b"a: b\n c\n" * 5, Limits(header_count=5)).fields) == 5
    with pytest.raises(LimitExceeded) as raised:
        Head.from_bytes(b"a: b\n" * 6, Limits(header_count=5))
    assert raised.value.limit == "header_count"


@pytest.mark.parametrize(
    ("raw", "ident"),
    [
        (b"<a@b>", "<a@b>"),
        (b" <a@\r\n b> (comment)", "<a@b>"),
        (b"bare@example.org", "bare@example.org"),
        (b"<a@b> <c@d>", "<a@b>"),
        (b"<>", ""),
        (b"", ""),
        (b"<report$<>%@example.org>", "<report$<>%@example.org>"),
        (b"<" + b"x" * 2000 + b">", ""),
        ("<ü@b>".encode(), "<ü@b>"),
    ],
)
def test_message_id(raw: bytes, ident: str) -> None:
    assert Head.from_bytes(b"Message-Id: " + raw + b"\r\n").message_id == ident


def test_identity_is_the_message_id_where_there_is_one() -> None:
    assert identity(Head.from_bytes(BLOCK)) == ("<1@example.org>", "message-id")


def test_identity_without_a_message_id_is_a_digest_of_six_fields() -> None:
    block = BLOCK.replace(b"Message-ID: <1@example.org>\r\n", b"")
    ident, source = identity(Head.from_bytes(block))
    assert source == "header-hash" and len(ident) == 40
    assert identity(Head.from_bytes(block.replace(b"from a", b"from c")))[0] == ident
    assert identity(Head.from_bytes(block.replace(b"A <a@", b"A \r\n <a@")))[0] == ident
    for field in (b"Date: x", b"From: x", b"To: x", b"Cc: x", b"Bcc: x", b"Subject: x"):
        assert identity(Head.from_bytes(field + b"\r\n" + block))[0] != ident


@pytest.mark.parametrize(
    ("subject", "stripped", "found"),
    [
        ("Hello", "Hello", {}),
        ("Hello //XFB appli=EDI; ORG=me; DEST=you", "Hello", {"appli": "EDI", "org": "me", "dest": "you"}),
        (
            "//XFB appli=EDI; DEST=you; ORG=me FILENAME=my file.txt",
            "",
            {"appli": "EDI", "dest": "you", "org": "me", "filename": "my file.txt"},
        ),
        ("x //xfb APPLI=EDI ORG = me DEST=", "x", {"appli": "EDI", "org": "me"}),
        ("x //XFB appli=A; appli=B", "x", {"appli": "A"}),
        ("prices //XFB are high", "prices //XFB are high", {}),
        ("//XFB", "//XFB", {}),
    ],
)
def test_parameters_are_taken_off_the_subject(subject: str, stripped: str, found: dict[str, str]) -> None:
    assert split_subject(subject) == (stripped, found)


def test_the_delimiter_of_a_subject_can_be_another() -> None:
    assert split_subject("x ## appli=A", "##") == ("x", {"appli": "A"})


@given(
    st.text(alphabet="abc XYZ", max_size=10),
    st.dictionaries(
        st.sampled_from(["appli", "org", "dest", "filename"]), st.text("abc.123_", min_size=1, max_size=8)
    ),
)
def test_a_written_subject_is_read_back(subject: str, given_parameters: dict[str, str]) -> None:
    written = write_subject(subject.strip(), **given_parameters)
    assert split_subject(written) == (subject.strip(), given_parameters)


@pytest.mark.parametrize("value", ["a;b", "a\nb", "x dest=evil"])
def test_a_value_that_would_become_another_parameter_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError):
        write_subject("x", appli=value)


@given(st.binary(max_size=500))
def test_any_octets_are_a_head(block: bytes) -> None:
    head = Head.from_bytes(block)
    identity(head)
    assert isinstance(head.defects, tuple)
    for value in (head.subject, head.from_, head.message_id, head.encoding, head.content_type.value):
        value.encode("utf-8")
    assert head.is_list in (True, False) and head.auto_submitted in (True, False)


@pytest.mark.parametrize(
    "raw",
    [b"base64", b" BASE64 ", b'"base64"', b"base64;", b"base64,", b"base64 (c)", b"(c) base64", b"base64(c)"],
)
def test_a_transfer_encoding_is_one_in_spite_of_dirt(raw: bytes) -> None:
    assert Head.from_bytes(b"Content-Transfer-Encoding: " + raw + b"\r\n").encoding == "base64"


@pytest.mark.parametrize(
    ("field", "nobody_wrote_it"),
    [
        (b"Auto-Submitted: auto-replied", True),
        (b"Auto-Submitted: auto-generated (rejected)", True),
        (b"auto-submitted: AUTO-NOTIFIED; owner-email=a@b", True),
        (b"Auto-Submitted: no", False),
        (b"Auto-Submitted: No (a person)", False),
        (b"Auto-Submitted:", False),
        (b"X-Auto-Response-Suppress: All", True),
        (b"X-Auto-Response-Suppress: DR, RN, NRN", True),
        (b"X-Auto-Response-Suppress: OOF", False),
        (b"Precedence: auto_reply", True),
        (b"Precedence: bulk", False),
        (b"X-Autoreply: yes", True),
        (b"X-Autorespond: subject", True),
        (b"X-Mail-Autoreply: 1", True),
        (b"X-Autoreply-From: a@b", True),
        (b"Subject: Auto", False),
    ],
)
def test_mail_that_nobody_wrote_is_known_by_its_header(field: bytes, nobody_wrote_it: bool) -> None:
    assert Head.from_bytes(field + b"\r\n").auto_submitted == nobody_wrote_it
