"""Streamed ASN.1 becomes definite; definite ASN.1 keeps every octet."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.identities import identity

from airflow_pop3_gateway.errors import MailRefused
from airflow_pop3_gateway.smime.ber import DEEPEST, MOST_ELEMENTS, MOST_PIECES, definite

END = b"\0\0"


def test_what_is_definite_is_not_touched() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    der = identity("them@partner.example").certificate.public_bytes(Encoding.DER)
    assert definite(der) == der
    assert definite(der + b"\n") == der
    not_minimal = bytes.fromhex("30820003020105")
    assert definite(not_minimal) == not_minimal


@pytest.mark.parametrize(
    ("streamed", "expected"),
    [
        ("3080020105" + "0000", "3003020105"),
        ("2480" + "0401aa" + "0401bb" + "0000", "0402aabb"),
        ("2406" + "0401aa" + "0401bb", "0402aabb"),
        ("a080" + "0401aa" + "0401bb" + "0000", "a0040402aabb"),
        ("a080" + "2480" + "0401aa" + "0401bb" + "0000" + "0000", "a0040402aabb"),
        ("3080" + "3080" + "0000" + "0000", "30023000"),
    ],
)
def test_streamed_elements_become_definite(streamed: str, expected: str) -> None:
    assert definite(bytes.fromhex(streamed)).hex() == expected


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"0",
        b"\x30\x05\x02\x01\x05",
        b"\x30\x80\x02\x01\x05",
        b"\x04\x80\0\0",
        b"\x1f\x81\x01\0",
        b"\x30\x85\0\0\0\0\0",
    ],
)
def test_what_is_cut_short_or_no_element_is_refused(octets: bytes) -> None:
    with pytest.raises(MailRefused) as caught:
        definite(octets)
    assert caught.value.code == "smime-broken"


@pytest.mark.parametrize(
    "bomb",
    [
        b"\x30\x80" * (DEEPEST + 2),
        b"\x30\x80" + b"\x05\0" * (MOST_ELEMENTS + 1) + END,
        b"\x24\x80" + b"\x04\0" * (MOST_PIECES + 1) + END,
        b"\x06\x82\x20\x00" + b"\xff" * 0x2000,
    ],
    ids=["depth", "elements", "pieces", "a long name of an algorithm"],
)
def test_what_would_cost_more_than_it_is_worth_is_refused(bomb: bytes) -> None:
    with pytest.raises(MailRefused, match="too"):
        definite(bomb)


@given(st.binary(max_size=300))
def test_any_octets_become_definite_or_are_refused(octets: bytes) -> None:
    try:
        assert definite(definite(octets)) == definite(octets)
    except MailRefused as error:
        assert error.code == "smime-broken"
