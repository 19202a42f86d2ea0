"""The digest of a receipt: over what, and when two are the same (RFC 3335 §5.3.1)."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.identities import NOW, identity, keyring

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.smime import open_mail, protect
from airflow_pop3_gateway.smime.entity import body_of
from airflow_pop3_gateway.smime.mic import algorithm_of, compare, mic_of, mic_of_plain

US, THEM = "us@us.example", "them@partner.example"
HEADER = b"From: them@partner.example\r\nTo: us@us.example\r\n"
CONTENT = b"Content-Type: application/edi-x12\r\nContent-Transfer-Encoding: base64\r\n\r\nSVNBKjAw\r\n"


def expected(octets: bytes) -> str:
    return f"{base64.b64encode(hashlib.sha256(octets).digest()).decode()}, sha-256"


@pytest.mark.parametrize(
    "options", [{"sign": True}, {"encrypt": True}, {"sign": True, "encrypt": True}], ids=str
)
def test_of_a_protected_mail_it_is_over_the_content_with_its_mime_header(options: dict[str, bool]) -> None:
    """Both sides come to the same digest, for neither counts what the mail travels in."""
    theirs = keyring(identity(THEM), identity(US), **options)
    partner = theirs.partner(US)
    assert partner is not None
    sent = protect(CONTENT, theirs, [partner], NOW)
    opened = open_mail(HEADER + sent.entity, keyring(identity(US), identity(THEM)), Limits(), NOW)
    assert opened is not None
    assert sent.mic == mic_of(opened.covered) == expected(CONTENT)


@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_of_a_plain_mail_it_is_over_the_decoded_body_alone(cut: int) -> None:
    """A relay may rewrite header and transfer encoding."""
    mail = HEADER + CONTENT
    end, body = body_of(mail)
    pieces = [mail[at : at + cut] for at in range(0, len(mail), cut)]
    assert mic_of_plain(pieces, Head.from_bytes(mail[:end]), body) == expected(b"ISA*00")


@pytest.mark.parametrize("spelled", ["sha-256", "SHA256", "sha256", " Sha-256 "])
def test_an_algorithm_has_one_name_and_many_spellings(spelled: str) -> None:
    assert algorithm_of(spelled) == "sha-256"
    assert compare(mic_of(b"x"), mic_of(b"x", "sha-256", spelled)) == "match"


def test_a_digest_that_proves_nothing_is_none() -> None:
    assert algorithm_of("md5") is None
    assert compare("1B2M2Y8AsgTpgAmY7PhCfg==, md5", "1B2M2Y8AsgTpgAmY7PhCfg==, md5") == "unproven"


def test_digests_differ_by_content_and_two_algorithms_say_nothing() -> None:
    assert compare(mic_of(b"x"), mic_of(b"y")) == "mismatch"
    assert compare(mic_of(b"x"), mic_of(b"x", "sha-1")) == "unproven"


@given(st.text(), st.text())
def test_any_text_can_be_compared(one: str, other: str) -> None:
    assert compare(one, other) == "unproven" or algorithm_of(one.partition(",")[2])
