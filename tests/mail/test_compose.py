"""Entities we write: read back octet for octet by the standard library, of the size that was said before."""

from __future__ import annotations

import email
import email.policy
import os
from collections.abc import Iterator
from email.message import EmailMessage

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.mail import compose
from airflow_pop3_gateway.mail.compose import LINE, Entity

BOUNDARY = "=_boundary"


def whole(entity: Entity) -> bytes:
    octets = b"".join(entity.octets())
    assert len(octets) == entity.length
    assert octets.isascii()
    assert octets.count(b"\n") == octets.count(b"\r") == octets.count(b"\r\n")
    assert all(len(line) < 998 for line in octets.split(b"\r\n"))
    return octets


def read(entity: Entity) -> EmailMessage:
    mail = email.message_from_bytes(b"MIME-Version: 1.0\r\n" + whole(entity), policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    assert mail.defects == []
    return mail


def pieces(octets: bytes, size: int) -> Iterator[bytes]:
    for at in range(0, len(octets), size):
        yield octets[at : at + size]


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=400))
@example("From here\r\n.\r\n--\r\ntrailing \t\r\n=3D")
@example("x" * 2000)
@example("")
def test_a_text_is_read_as_it_was_written_but_for_its_line_ends(message: str) -> None:
    expected = message.replace("\r\n", "\n").replace("\r", "\n")
    expected += "" if not expected or expected.endswith("\n") else "\n"
    found = read(compose.text(message)).get_payload(decode=True)
    assert isinstance(found, bytes)
    assert found.decode().replace("\r\n", "\n") == expected


def test_a_plain_text_stays_readable() -> None:
    assert whole(compose.text("Dear partner,\n\nattached.")).endswith(
        b"7bit\r\n\r\nDear partner,\r\n\r\nattached.\r\n"
    )


@given(st.binary(max_size=500), st.integers(1, 200))
def test_a_file_is_read_octet_for_octet_however_it_comes_in_pieces(octets: bytes, size: int) -> None:
    entity = compose.attachment("a.bin", "application/pdf", len(octets), lambda: pieces(octets, size))
    mail = read(compose.mixed([entity], BOUNDARY))
    (found,) = mail.iter_attachments()
    assert (found.get_content(), found.get_filename(), found.get_content_type()) == (
        octets,
        "a.bin",
        "application/pdf",
    )


@pytest.mark.parametrize("size", [0, 1, LINE - 1, LINE, LINE + 1, 1_000_003])
def test_text_and_file_together(size: int) -> None:
    octets = os.urandom(size)
    parts = [
        compose.text("Gr\u00fc\u00dfe"),
        compose.attachment(
            '\u00dcber "x".pdf', "application/pdf", size, lambda: pieces(octets, compose.READ)
        ),
    ]
    mail = read(compose.mixed(parts, BOUNDARY))
    body = mail.get_body()
    assert body is not None and body.get_content().strip() == "Gr\u00fc\u00dfe"
    (found,) = mail.iter_attachments()
    assert (found.get_content(), found.get_filename()) == (octets, '\u00dcber "x".pdf')


def test_an_entity_can_be_had_again_and_put_into_another() -> None:
    inner = compose.mixed([compose.text("inside")], "=_inner")
    outer = compose.mixed([inner, compose.text("signature")], "=_outer")
    assert whole(outer) == whole(outer)
    assert [part.get_content_type() for part in read(outer).walk()] == [
        "multipart/mixed",
        "multipart/mixed",
        "text/plain",
        "text/plain",
    ]


@given(st.lists(st.sampled_from([b"a", b"\r\n", b"\n", b".", b"\xe9"])), st.integers(1, 5))
def test_a_ready_made_mail_gets_the_line_ends_of_smtp_and_nothing_else(words: list[bytes], size: int) -> None:
    mail = b"".join(words)
    expected = mail.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    expected += b"" if not expected or expected.endswith(b"\r\n") else b"\r\n"
    assert b"".join(compose.with_crlf(pieces(mail, size))) == expected


@pytest.mark.parametrize("mail", [b"a\rb\r\n", b"a\r\r\n", b"a\r"])
@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_carriage_return_that_ends_no_line_cannot_go_by_smtp(mail: bytes, size: int) -> None:
    with pytest.raises(ConfigurationError, match="carriage return"):
        list(compose.with_crlf(pieces(mail, size)))
