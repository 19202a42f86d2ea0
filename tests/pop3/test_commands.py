"""The table of commands, and the guard that keeps an argument inside its line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.pop3.commands import COMMANDS, MAX_ARGUMENT, encode, shown


def test_a_command_is_its_verb_and_arguments_on_one_line():
    assert encode("TOP", 3, 0) == b"TOP 3 0\r\n"


def test_a_login_outside_ascii_travels_as_utf_8():
    assert encode("USER", "jürgen") == b"USER j\xc3\xbcrgen\r\n"


@given(st.text(max_size=40))
def test_whatever_the_argument_one_line_goes_out_or_nothing(argument):
    try:
        line = encode("USER", argument)
    except ConfigurationError as error:
        assert any(ord(character) < 32 or ord(character) == 127 for character in argument)
        assert len(argument) < 4 or argument not in str(error)
    else:
        assert line.endswith(b"\r\n")
        assert len(line.splitlines()) == 1 and line.count(b"\n") == 1


def test_an_argument_past_the_bound_is_refused():
    encode("PASS", "x" * MAX_ARGUMENT)
    with pytest.raises(ConfigurationError):
        encode("PASS", "x" * (MAX_ARGUMENT + 1))


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (("USER", "box"), "USER ***"),
        (("PASS", "secret"), "PASS ***"),
        (("APOP", "box", "c4c9334bac560ecc979e58001b3e22fb"), "APOP ***"),
        (("AUTH", "PLAIN", "AGJveABzZWNyZXQ="), "AUTH PLAIN ***"),
        (("AUTH", "XOAUTH2"), "AUTH XOAUTH2"),
        (("TOP", 1, 0), "TOP 1 0"),
    ],
)
def test_what_a_log_may_show_of_a_command(command, text):
    assert shown(*command) == text


def test_stls_and_logins_are_only_possible_before_the_login():
    for verb in ("STLS", "AUTH", "USER", "PASS", "APOP", "UTF8"):
        assert COMMANDS[verb].states == {"authorization"}
