"""Transfer encodings: what comes out, what is noted, and that cutting changes neither."""

from __future__ import annotations

import base64
import binascii
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.mail.encodings import decoder_for


def decoded(encoding: str, *pieces: bytes) -> tuple[bytes, set[str]]:
    decoder = decoder_for(encoding)
    octets = b"".join([*map(decoder.feed, pieces), decoder.finish()])
    return octets, decoder.defects


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(octets) + 1) for place in places), len(octets)]
    return [octets[start:end] for start, end in zip(edges, edges[1:], strict=False)]


def uuencoded(octets: bytes) -> bytes:
    lines = [binascii.b2a_uu(octets[at : at + 45]) for at in range(0, len(octets), 45)]
    return b"begin 644 a file.bin\n" + b"".join(lines) + b"`\nend\n"


@pytest.mark.parametrize(
    ("encoding", "raw", "octets", "defects"),
    [
        ("7bit", b"a\r\nb", b"a\r\nb", set()),
        ("7bit", b"\xff", b"\xff", {"encoding-lies"}),
        ("8bit", b"\xff", b"\xff", set()),
        ("binary", b"\0\xff", b"\0\xff", set()),
        ("8-bit", b"\xff", b"\xff", set()),
        ("rot13", b"abc", b"abc", {"unknown-encoding"}),
        ("base64", b"YWJj\r\nZGVm\r\n", b"abcdef", set()),
        ("base64", b"YWJj\nZGU=", b"abcde", set()),
        ("base64", b"YWJ\njZG\nVm", b"abcdef", set()),
        ("base64", b"", b"", set()),
        ("base64", b"YWJj ZGVm", b"abcdef", set()),
        ("base64", b"YW*Jj\nZGVm", b"abcdef", {"base64-dirt"}),
        ("base64", b"YWJjZA", b"abcd", {"base64-padding"}),
        ("base64", b"YWJjZ", b"abc", {"base64-padding"}),
        ("base64", b"YWI=\nY2Q=\n", b"abcd", set()),
        ("base64", b"YWI=\n\n-- \nA mailing list\n", b"ab", {"base64-footer"}),
        ("base64", b"YWJj=\nZGVm", b"abcdef", {"base64-dirt"}),
        ("base64", b"====", b"", {"base64-dirt"}),
        ("BASE64".lower(), b"YWJj", b"abc", set()),
        ("quoted-printable", b"Gr=C3=BC=\r\n=C3=9Fe", "Grüße".encode(), set()),
        ("quoted-printable", b"a=\nb=  \r\nc", b"abc", set()),
        ("quoted-printable", b"=e4=E4", b"\xe4\xe4", set()),
        ("quoted-printable", b"1=2", b"1=2", {"quoted-printable-dirt"}),
        ("quoted-printable", b"a=", b"a", set()),
        ("quoted-printable", b"a==b==3D", b"a==b==", {"quoted-printable-dirt"}),
        ("quoted-printable", b"a_b", b"a_b", set()),
        ("quoted-printable", b"a=\rb\nc", b"ab\nc", set()),
        ("quoted-printable", b"a= \t\rb", b"ab", set()),
        ("quoted-printable", b"a \t\r\nb ", b"a \t\r\nb ", set()),
        ("quoted-printable", b"a==\r=3Db", b"a==b", {"quoted-printable-dirt"}),
        ("quoted-printable", b"a=3=\rDb", b"a=3Db", {"quoted-printable-dirt"}),
        ("x-uuencode", uuencoded(b"abc" * 40), b"abc" * 40, set()),
        ("uuencode", b"no begin", b"", {"uuencode-dirt"}),
    ],
)
def test_each_encoding_and_its_dirt(encoding: str, raw: bytes, octets: bytes, defects: set[str]) -> None:
    assert decoded(encoding, raw) == (octets, defects)
    assert decoded(encoding, *(raw[at : at + 1] for at in range(len(raw)))) == (octets, defects)


def test_a_uuencoded_line_with_trailing_garbage_keeps_its_octets() -> None:
    raw = uuencoded(b"abc" * 20).replace(b"\n", b"!\n", 2).replace(b"file.bin!", b"file.bin")
    assert decoded("uuencode", raw) == (b"abc" * 20, {"uuencode-dirt"})


@given(
    st.binary(max_size=400),
    st.lists(st.integers(0, 1000), max_size=8),
    st.sampled_from([4, 20, 76, 77, 10_000]),
    st.sampled_from([b"\r\n", b"\n", b"\r", b"\r\n\r\n"]),
)
def test_base64_comes_back_whatever_the_lines_and_the_cuts(
    octets: bytes, places: list[int], width: int, line_end: bytes
) -> None:
    flat = base64.b64encode(octets)
    raw = line_end.join(flat[at : at + width] for at in range(0, len(flat), width))
    assert decoded("base64", *cut(raw, places)) == (octets, set())


@given(st.binary(max_size=400), st.lists(st.integers(0, 1000), max_size=8))
def test_quoted_printable_comes_back_whatever_the_cuts(octets: bytes, places: list[int]) -> None:
    raw = quopri.encodestring(octets)
    assert decoded("quoted-printable", *cut(raw, places))[0] == quopri.decodestring(raw)


@given(st.binary(max_size=400), st.lists(st.integers(0, 1000), max_size=8))
def test_uuencoded_octets_come_back_whatever_the_cuts(octets: bytes, places: list[int]) -> None:
    assert decoded("x-uue", *cut(uuencoded(octets), places)) == (octets, set())


DIRT = st.lists(
    st.sampled_from(
        [b"YWJj", b"YW", b"J", b"=", b"==", b"\n", b"\r\n", b"\r", b" ", b"!", b"=3D", b"=C3", b"begin 644 x"]
    )
).map(b"".join)


@given(
    DIRT,
    st.lists(st.integers(0, 1000), max_size=8),
    st.sampled_from(["base64", "quoted-printable", "uuencode"]),
)
def test_dirt_never_raises_and_cutting_changes_nothing(raw: bytes, places: list[int], encoding: str) -> None:
    assert decoded(encoding, *cut(raw, places)) == decoded(encoding, raw)


@pytest.mark.parametrize("encoding", ["base64", "quoted-printable", "7bit"])
def test_a_line_without_end_is_not_held_in_memory(encoding: str) -> None:
    decoder = decoder_for(encoding)
    most_held = given_octets = taken = 0
    for _ in range(50):
        given_octets += 40_000
        taken += len(decoder.feed(b"QUJD" * 10_000)) * (4 / 3 if encoding == "base64" else 1)
        most_held = max(most_held, given_octets - taken)
    assert most_held <= 40_000
