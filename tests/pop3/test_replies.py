"""Status lines, response codes, free words and listings, as real servers write them and as none should."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.errors import (
    AuthenticationFailed,
    CommandRefused,
    LoginDelayed,
    MailboxInUse,
    ProtocolViolation,
    ServerBroken,
    ServerUnavailable,
)
from airflow_pop3_gateway.pop3.replies import (
    MAX_TEXT,
    Capabilities,
    Status,
    apop_timestamp,
    parse_capa,
    parse_list,
    parse_stat,
    parse_status,
    parse_uidl,
    refusal,
)


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"+OK", Status(True, "")),
        (b"+OK 2 messages", Status(True, "2 messages")),
        (b"+ok lower case", Status(True, "lower case")),
        (b"-ERR", Status(False, "")),
        (b"-ERR\tno such message", Status(False, "no such message")),
        (
            b"-ERR [IN-USE] Do you have another POP session running?",
            Status(False, "Do you have another POP session running?", "IN-USE"),
        ),
        (b"-ERR [sys/temp] later", Status(False, "later", "SYS/TEMP")),
        (b"-ERR [AUTH]", Status(False, "", "AUTH")),
        (b"-ERR [not a code: it has colons] no", Status(False, "no", "NOT")),
        (b"-ERR [", Status(False, "[")),
        (b"+OK [is no code in a positive answer]", Status(True, "[is no code in a positive answer]")),
        (b"+OK caf\xc3\xa9", Status(True, "café")),
        (b"+OK bell\x07 and esc\x1b[31m", Status(True, "bell? and esc?[31m")),
    ],
)
def test_status_lines(line, status):
    assert parse_status(line) == status


@pytest.mark.parametrize(
    "line", [b"", b"OK", b"220 smtp.example.org ESMTP", b"* OK IMAP4rev1", b"+", b"- ERR", b"\x16\x03\x01"]
)
def test_what_is_no_status_line_is_a_violation(line):
    with pytest.raises(ProtocolViolation):
        parse_status(line)


@given(st.binary(max_size=300))
def test_any_line_is_a_status_or_a_violation(line):
    try:
        status = parse_status(line)
    except ProtocolViolation:
        return
    assert status.text.isprintable() and len(status.text) <= MAX_TEXT


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("AUTH", AuthenticationFailed),
        ("AUTH/EXPIRED", AuthenticationFailed),
        ("IN-USE", MailboxInUse),
        ("LOGIN-DELAY", LoginDelayed),
        ("SYS/TEMP", ServerUnavailable),
        ("SYS/TEMP/DISK", ServerUnavailable),
        ("SYS/PERM", ServerBroken),
        ("SYS/OTHER", ServerUnavailable),
        ("UTF8", CommandRefused),
        ("X-OWN", CommandRefused),
    ],
)
def test_a_response_code_decides_by_its_longest_known_level(code, kind):
    error = refusal("RETR", Status(False, "words", code))
    assert type(error) is kind
    assert (error.command, error.text, error.code) == ("RETR", "words", code)


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("maildrop already locked", MailboxInUse),
        ("Unable to lock maildrop: mailbox is locked by POP server", MailboxInUse),
        ("box lock busy! Is another session active? (11)", MailboxInUse),
        ("Mailbox in use", MailboxInUse),
        ("there is already a POP session open for this user", MailboxInUse),
        ("You are already logged in", MailboxInUse),
        ("Too many login attempts", LoginDelayed),
        ("login rate limit: wait 5 minutes before checking mail again", LoginDelayed),
        ("minimum login delay not elapsed", LoginDelayed),
        ("Maximum number of connections from user+IP reached", LoginDelayed),
        ("session limit reached", LoginDelayed),
        ("Connection is closed. 14", ServerUnavailable),  # Microsoft 365, to who asks too much
        ("Temporary authentication failure", ServerUnavailable),
        ("Service temporarily unavailable", ServerUnavailable),
        ("please try again later", ServerUnavailable),
        ("internal error", ServerUnavailable),
        ("try again", ServerUnavailable),
        ("Invalid password, please try again", AuthenticationFailed),
        ("Logon failure: unknown user name or bad password.", AuthenticationFailed),
        ("Authentication failed.", AuthenticationFailed),
        ("account is locked", AuthenticationFailed),
        ("Your account has been temporarily blocked", AuthenticationFailed),
        ("authorization failed", AuthenticationFailed),
        ("", AuthenticationFailed),
    ],
)
def test_without_a_code_the_words_decide_at_login_between_no_and_later(words, kind):
    error = refusal("PASS", Status(False, words), logging_in=True, delay=300)
    assert type(error) is kind
    assert getattr(error, "delay", 300) == 300


def test_elsewhere_than_at_login_words_decide_nothing():
    assert type(refusal("RETR", Status(False, "message is locked"))) is CommandRefused


def test_capabilities_are_read_by_name():
    capabilities = parse_capa(
        b"USER\r\nsasl PLAIN xoauth2\r\nSASL SCRAM-SHA-256\r\nLOGIN-DELAY 900 USER\r\nEXPIRE 30 USER\r\n\r\n"
        b"IMPLEMENTATION Some Server 1.0\r\nPIPELINING\r\n"
    )
    assert "USER" in capabilities and "PIPELINING" in capabilities and "STLS" not in capabilities
    assert capabilities.mechanisms == ("PLAIN", "XOAUTH2", "SCRAM-SHA-256")
    assert (capabilities.login_delay, capabilities.expire) == (900, 30)
    assert capabilities.implementation == "Some Server 1.0"
    assert capabilities.known


@pytest.mark.parametrize(
    ("line", "expire"),
    [(b"EXPIRE NEVER", None), (b"EXPIRE 0", 0), (b"EXPIRE", None), (b"EXPIRE 99999999999", None)],
)
def test_expire_is_a_number_of_days_or_none(line, expire):
    assert parse_capa(line + b"\r\n").expire == expire


def test_a_server_without_capa_is_not_one_without_capabilities():
    assert not Capabilities().known


@pytest.mark.parametrize("text", ["2 320", "2 320 octets", "0 0", "2\t320"])
def test_stat_is_two_numbers_and_whatever_follows(text):
    assert parse_stat(text)[0] in (0, 2)


@pytest.mark.parametrize("text", ["", "2", "two 320", "-1 3", "2 3" + "0" * 30, "١ ٢"])
def test_stat_without_two_numbers_is_a_violation(text):
    with pytest.raises(ProtocolViolation):
        parse_stat(text)


def test_list_gives_sizes_by_number_and_forgives_spaces_and_words():
    assert parse_list(b"1 120\r\n 2  200 octets\r\n10 3\n") == {1: 120, 2: 200, 10: 3}


@pytest.mark.parametrize(
    "block", [b"1\r\n", b"1 x\r\n", b"one 2\r\n", b"1 2\r\n1 3\r\n", b"0 5\r\n", b"\r\n", b"1 -5\r\n", b"1 2"]
)
def test_list_with_a_line_that_means_nothing_is_a_violation(block):
    with pytest.raises(ProtocolViolation):
        parse_list(block)


def test_uidl_gives_ids_as_they_are():
    """Blank, repeated, overlong, with spaces, not ASCII: the gateway decides, the parser does not hide."""
    long = "x" * 300
    block = f"1 abc\r\n2   two words \r\n3 abc\r\n4 {long}\r\n5\r\n6 \r\n".encode() + b"7 \xff\xe9\r\n"
    assert parse_uidl(block) == {1: "abc", 2: "two words ", 3: "abc", 4: long, 5: "", 6: "", 7: "\xff\xe9"}


@pytest.mark.parametrize("block", [b"abc 1\r\n", b"1 a\r\n1 b\r\n", b"0 a\r\n", b"\r\n"])
def test_uidl_without_numbers_is_a_violation(block):
    with pytest.raises(ProtocolViolation):
        parse_uidl(block)


def test_a_word_said_a_hundred_thousand_times_is_read_before_the_tests_lose_patience() -> None:
    assert len(parse_capa(b"SASL PLAIN\r\n" * 100_000).mechanisms) == 100_000


@given(st.binary(max_size=200), st.sampled_from([parse_list, parse_uidl, parse_capa]))
def test_any_listing_is_read_or_is_a_violation(block, parse):
    try:
        parse(block)
    except ProtocolViolation:
        pass


@pytest.mark.parametrize(
    ("greeting", "timestamp"),
    [
        ("POP3 ready <1896.697170952@dbc.mtview.ca.us>", "<1896.697170952@dbc.mtview.ca.us>"),
        ("ready", None),
        ("ready <no-at-sign>", None),
        ("ready <a b@c>", None),
        ("ready <a\xe9@c>", None),
    ],
)
def test_only_a_well_formed_timestamp_offers_apop(greeting, timestamp):
    assert apop_timestamp(greeting) == timestamp
