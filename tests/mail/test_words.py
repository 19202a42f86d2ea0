"""Octets of a header field become text: every dialect real mail speaks, and garbage."""

from __future__ import annotations

import email.header

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.mail import words


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b"=?UTF-8?B?R3LDvMOfZQ==?=", "Grüße"),
        (b"=?iso-8859-1?q?caf=E9_au_lait?=", "café au lait"),
        (b"=?utf-8?q?a?= =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?=\r\n =?utf-8?q?b?= c", "ab c"),
        (b"=?utf-8?b?w7w?=", "ü"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
        (b"=?utf-8*de?q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b"=?no-such-charset?q?=C3=BC?=", "ü"),
        (b"=?hex?q?41?=", "41"),
        ("roh ü".encode(), "roh ü"),
        ("roh ü".encode("latin-1"), "roh ü"),
        (b"\x80 euro in windows-1252", "€ euro in windows-1252"),
        (b"a\x00b\x07c", "a b c"),
        (b"folded\r\n\there", "folded here"),
        (b"=?utf-8?q?not closed", "=?utf-8?q?not closed"),
        (b"=?iso-8859-1?q?Fr\xf6sche?= \xc3\xa4", "Frösche ä"),
        (b"=?utf-8?q?really??=", "really?"),
        (b"=?utf-8?q?a?b?= =?utf-8?q?c?=", "a?bc"),
        (b"=?utf-8?q?not closed =?utf-8?q?d?=", "=?utf-8?q?not closed d"),
        (b"=?utf-8?b?4p?= =?utf-8?b?yT?=", "✓"),
        (b"=?utf-8?b?4o?= =?utf-8?b?Ks?=", "\u20ac"),
        (b"=?utf-8?b?w7w?= =?utf-8?b?w7w?=", "üü"),
    ],
)
def test_text_of_a_field(raw: bytes, text: str) -> None:
    assert words.text_of(raw) == text


@pytest.mark.parametrize(
    ("charset", "raw", "text"),
    [
        ("koi8-r", "Счёт".encode("koi8-r"), "Счёт"),
        ("koi8-r", "Счёт".encode(), "Счёт"),
        ("koi8-r", b"=?iso-8859-1?q?=E4?= \xf3", "ä С"),
        ("utf-8", b"caf\xe9", "café"),
        ("no-such-thing", b"caf\xe9", "café"),
    ],
)
def test_raw_octets_that_are_not_utf_8_are_in_the_charset_of_the_text(
    charset: str, raw: bytes, text: str
) -> None:
    assert words.text_of(raw, charset) == text


@pytest.mark.parametrize(
    ("label", "octets", "text"),
    [
        ("iso-8859-1", b"\x80 1", "€ 1"),
        ("gb2312", b"\xe9F", "镕"),
        ("ks_c_5601-1987", b"\x8cc", "똠"),
        ("Shift_JIS", b"\x87@", "①"),
        ("x-sjis", b"\x93\xfa", "日"),
        ("iso-2022-jp", b"\x1b(I1\x1b(B", "ｱ"),
        ("iso-2022-jp", b"\x1b$B-!-b|q\x1b(B x", "①№ⅰ x"),
        ("iso-2022-jp", b"\xad\xa1 \x1b$B!\xff\x1b(B", "\ufffd\ufffd \ufffd"),
        ("euc-jp", b"\xad\xa1\xad\xe2 x \xad", "①№ x \ufffd"),
        ("big5", b"\x87@", "䏰"),
        ("windows-874", b"\xa1", "ก"),
        ("tis-620", b"\xa1", "ก"),
        ("x-windows-949", b"\xb0\xa1", "가"),
        ("cp-850", b"\x84", "ä"),
        ("win-1251", b"\xcf", "П"),
        ("iso-8859-8-i", b"\xf9", "ש"),
        ("x-mac-roman", b"\x8a", "ä"),
        ("utf8", b"\xc3\xa4", "ä"),
        ("utf-16", b"a\x00", "a"),
        ("utf-16", b"\xfe\xff\x00a", "a"),
        ("utf-32", b"a\x00\x00\x00", "a"),
        ("rot13", b"abc", "abc"),
        ("windows-99999", b"\xe4", "ä"),
    ],
)
def test_a_charset_is_the_one_its_senders_mean(label: str, octets: bytes, text: str) -> None:
    """Names of a part of a set for the whole set, and the names agents make up."""
    assert words.decode_octets(octets, label) == text


@pytest.mark.parametrize(
    ("raw", "addresses"),
    [
        (b"a@example.org", ("a@example.org",)),
        (b"<a@example.org>", ("a@example.org",)),
        (b"A <a@example.org>", ("a@example.org",)),
        (b'"B, A" <a@example.org>, c@example.org', ("a@example.org", "c@example.org")),
        (b"=?utf-8?q?J=C3=B6rg?= <j@example.org>", ("j@example.org",)),
        (b"a@example.org (a comment (nested), still)", ("a@example.org",)),
        (
            b"Team: a@example.org, B <b@example.org>;, c@example.org",
            ("a@example.org", "b@example.org", "c@example.org"),
        ),
        (b"undisclosed-recipients:;", ()),
        (b'"quoted local"@example.org', ('"quoted local"@example.org',)),
        (b"<@relay.example:a@example.org>", ("a@example.org",)),
        (b"broken <a@example.org", ("a@example.org",)),
        (
            b"Pete(A nice \\) chap) <pete(his (own) account)@silly.test(his host)>",
            ("pete@silly.test",),
        ),
        (b"John <jdoe@machine(comment).  example>, b . c @ d", ("jdoe@machine.example", "b.c@d")),
        (b"A <a@b> B <c@d>", ("a@b", "c@d")),
        (b'Crazy (<Stupid "name") <a@b>', ("a@b",)),
        (b"A (\\) B <c@d>) <a@b>", ("a@b",)),
        (b"<the-name-of-a-group@b>: <a@b>, c@d", ("a@b", "c@d")),
        (b"a@b c@d", ("a@b", "c@d")),
        (b"Big Bug bb@bug.example", ("bb@bug.example",)),
        (b"sales@brand.example <robot@host.example>", ("robot@host.example",)),
        (b"Mary Smith", ("Mary Smith",)),
        (b'"a b" (c) <"x y"@d>', ('"x y"@d',)),
        ("jörg@exämple.org".encode(), ("jörg@exämple.org",)),
        (b"no-address", ("no-address",)),
        (b"MAILER-DAEMON <>", ()),
        (b"\"C'est bien <a@example.org>, c@d", ("a@example.org", "c@d")),
        (b'A <a@example.org> "B', ("a@example.org",)),
        (b'"A, B" a@example.org', ("a@example.org",)),
        (b'"a b" @ example.org', ('"a b" @ example.org',)),
        (b"a@b, Mail System <>, c@d", ("a@b", "c@d")),
        (b"a@example.org>", ("a@example.org",)),
        (b"a@example.org,\r\n\tb@example.org", ("a@example.org", "b@example.org")),
        (b"", ()),
    ],
)
def test_addresses_of_a_field(raw: bytes, addresses: tuple[str, ...]) -> None:
    assert words.addresses_of(raw) == addresses


def test_comments_nest_a_million_deep_without_recursion() -> None:
    assert words.addresses_of(b"(" * 1_000_000 + b")" * 1_000_000 + b" a@b") == ("a@b",)


@pytest.mark.parametrize(
    ("raw", "date"),
    [
        (b"Tue, 02 Jan 2024 03:04:05 +0000", "2024-01-02T03:04:05Z"),
        (b"2 Jan 2024 03:04 +0130", "2024-01-02T01:34:00Z"),
        (b"Tue, 2 Jan 2024 03:04:05 -0500 (EST)", "2024-01-02T08:04:05Z"),
        (b"Tue, 2 Jan 2024 03:04:60 GMT", "2024-01-02T03:04:59Z"),
        (b"Tue, 2 Jan 24 03:04:05 EST", "2024-01-02T08:04:05Z"),
        (b"Tue, 2 Jan 2024 03:04:05 MST", "2024-01-02T10:04:05Z"),
        (b"Tue, 2 Jan 2024 03:04:05 +0100 (CET)", "2024-01-02T02:04:05Z"),
        (b"Tue,  2 Jan 2024\r\n 03:04:05 +0000", "2024-01-02T03:04:05Z"),
        (b"Tue Jan  2 03:04:05 2024", "2024-01-02T03:04:05Z"),
        (b"Mon, 2 Apr 101 04:20:10 CST", "2001-04-02T10:20:10Z"),
        (b"31 Feb 2024 03:04:05 +0000", None),
        (b"Fri, 28 Feb 2025 11:30:00 PM -0500", "2025-03-01T04:30:00Z"),
        (b"28 Feb 2025 12:15:00 am -0500", "2025-02-28T05:15:00Z"),
        (b"1 Jan 0001 00:00:00 +2300", None),
        (b"yesterday", None),
        (b"", None),
    ],
)
def test_date_of_a_field(raw: bytes, date: str | None) -> None:
    assert words.date_of(raw) == date


@given(st.binary(max_size=300))
def test_any_octets_become_printable_text(raw: bytes) -> None:
    for text in (
        words.text_of(raw),
        *words.addresses_of(raw),
    ):
        text.encode("utf-8")
        assert not any(character < " " for character in text)
    words.date_of(raw)


@given(st.text(max_size=60))
def test_an_encoded_word_of_any_text_comes_back(text: str) -> None:
    raw = email.header.Header(text, "utf-8").encode().encode()
    clean = words.printable(text)
    assert words.text_of(raw) == clean or not text.isprintable()


@given(st.text(alphabet="=?utf-8bqQB_ AC3\t\n\"';*%", max_size=200).map(str.encode))
def test_almost_valid_fields_are_read_in_linear_time_and_never_raise(raw: bytes) -> None:
    words.text_of(raw * 20)


@pytest.mark.parametrize(
    "unit",
    [b"a", b" ", b";", b'"', b"(", b"<", b"=?", b"=?utf-8?q?a?= ", b"\\", b"\xff"],
)
def test_a_third_of_a_megabyte_of_anything_is_read_before_the_tests_lose_patience(unit: bytes) -> None:
    raw = unit * (300_000 // len(unit))
    words.text_of(raw)
    words.addresses_of(b"x" + raw)
    words.date_of(raw)
