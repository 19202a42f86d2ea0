"""A value with parameters: what most agents write, what some do, and garbage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.mail import parameters as module
from airflow_pop3_gateway.mail.parameters import parse_parameters


@pytest.mark.parametrize(
    ("raw", "value", "parameters"),
    [
        (b"text/plain", "text/plain", {}),
        (b"Text/Plain; Charset=UTF-8", "text/plain", {"charset": "UTF-8"}),
        (b'a/b; name="a;b \\"c\\".txt"', "a/b", {"name": 'a;b "c".txt'}),
        (b'a/b; name="C:\\dir\\file.txt"', "a/b", {"name": "C:\\dir\\file.txt"}),
        (b"a/b; name=two words.txt; x=y", "a/b", {"name": "two words.txt", "x": "y"}),
        (b'a/b name="missing semicolon.pdf"', "a/b", {"name": "missing semicolon.pdf"}),
        (b"a/b; charset=us-ascii (a comment)", "a/b", {"charset": "us-ascii"}),
        (b"a/b; name*=utf-8''Gr%C3%BC%C3%9Fe.txt", "a/b", {"name": "Grüße.txt"}),
        (b"a/b; name=plain.txt; name*=utf-8'de'sch%C3%B6n.txt", "a/b", {"name": "schön.txt"}),
        (b"a/b; name*1=b.txt; name*0=a", "a/b", {"name": "ab.txt"}),
        (b"a/b; name*0*=utf-8''%C3; name*1*=%BC; name*2=%41.txt", "a/b", {"name": "ü%41.txt"}),
        (b"a/b; name*0=a; name*1*=utf-8''%C3%BC; name*2*='b'c", "a/b", {"name": "aü'b'c"}),
        (b"a/b; name*0=a; name*1*=%C3%BC; name*2*='b'c", "a/b", {"name": "aü'b'c"}),
        (b"a/b; name*=utf-8''whole; name*0=a; name*1=b", "a/b", {"name": "whole"}),
        (b"a/b; name*0=a; name*0=x; name*1=b; name*1=y", "a/b", {"name": "ab"}),
        (b"a/b; name=plain; name*1=b; name*2=c", "a/b", {"name": "plain"}),
        (b"a/b; name*1=b; name*2=c", "a/b", {"name": "bc"}),
        (b'a/b; name="=?utf-8?q?Gr=C3=BC=C3=9Fe?=.txt"', "a/b", {"name": "Grüße.txt"}),
        (b'a/b; name="=?utf-8?b?w?= =?utf-8?q?=C3=BC?="', "a/b", {"name": "ü"}),
        ("a/b; name=Grüße.txt".encode(), "a/b", {"name": "Grüße.txt"}),
        ("a/b; name=Grüße.txt".encode("latin-1"), "a/b", {"name": "Grüße.txt"}),
        (b"a/b; name=first; name=second", "a/b", {"name": "first"}),
        (b'a/b; name="never closed', "a/b", {"name": "never closed"}),
        (b"; name=x", "", {"name": "x"}),
        (b"attach\x01ment; na\x02me=a\x1bb", "attach", {"me": "a b"}),
        (b"a\x85b; x\x85y=1", "a b", {"x y": "1"}),
        (b'filename="a b.txt"; size=3', "", {"filename": "a b.txt", "size": "3"}),
        (b'(c) a/b(c); (c) name (c) = (c) "x.txt"', "a/b", {"name": "x.txt"}),
        (b"a/b; name=report (1).txt", "a/b", {"name": "report (1).txt"}),
        (b"", "", {}),
    ],
)
def test_value_and_parameters(raw: bytes, value: str, parameters: dict[str, str]) -> None:
    found = parse_parameters(raw)
    assert (found.value, dict(found.parameters)) == (value, parameters)


PIECES = [
    "text/plain",
    "; ",
    ";",
    " ",
    "  ",
    "\t",
    "\r\n ",
    "=",
    '"',
    "name=",
    "x-y=",
    "charset=utf-8",
    "name*0=",
    "b",
] + [
    'boundary="=_a b"',
    '"a  b"',
    '" a"',
    '"a "',
    '""',
    '"a;b=c"',
    "(c)",
    "\\",
    "?",
    "=?",
    "é",
    "\x01",
    "\x85",
    "'",
]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_what_most_agents_write_is_read_as_everything_else_is(tail: str) -> None:
    """The quick way is a shorter way to the same."""
    text = f"text/plain; {tail}"
    assert parse_parameters(text.encode("latin-1")) == module._parse_piece_by_piece(text)


@given(st.binary(max_size=300))
def test_any_octets_become_printable_text(raw: bytes) -> None:
    for text in parse_parameters(raw).parameters.values():
        text.encode("utf-8")
        assert not any(character < " " for character in text)


@given(st.text(alphabet="=?utf-8bqQB_ AC3\t\n\"';*%", max_size=200).map(str.encode))
def test_almost_valid_parameters_are_read_in_linear_time_and_never_raise(raw: bytes) -> None:
    parse_parameters(b"a/b; name=" + raw * 20)


@pytest.mark.parametrize(
    "unit", [b"a", b" ", b";", b" ;", b'"', b'"a', b"(", b"=?", b"a=b;", b"; a=b", b"a*1*=b;", b"\\", b"\xff"]
)
def test_a_third_of_a_megabyte_of_anything_is_read_before_the_tests_lose_patience(unit: bytes) -> None:
    raw = unit * (300_000 // len(unit))
    for start in (b"a/b; ", b"a/b", b"a/b; a=", b'a/b; a="'):
        parse_parameters(start + raw)
        parse_parameters(start + raw + b"\x00")
