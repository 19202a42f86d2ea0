"""A mail goes out as its partner wants it, or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.identities import NOW, identity, keyring

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import ConfigurationError, LimitExceeded
from airflow_pop3_gateway.smime import Protected, protect

US, THEM = "us@us.example", "them@partner.example"
HEADER = b"From: them@partner.example\r\nTo: us@us.example\r\nSubject: =?utf-8?q?=C3=A9?=\r\n folded\r\n"
CONTENT = b"Content-Type: text/plain\r\n\r\nten widgets\r\n"


def protected(mail: bytes, days: int = 0, limits: Limits = Limits(), **options: bool) -> Protected:
    ring = keyring(identity(THEM), identity(US), **options)
    partner = ring.partner(US)
    assert partner is not None
    return protect(mail, ring, partner, NOW + timedelta(days=days), limits)


def test_a_partner_who_wants_nothing_gets_the_mail_as_it_is() -> None:
    assert protected(HEADER + CONTENT).mail == HEADER + CONTENT


@pytest.mark.parametrize("options", [{"sign": True}, {"encrypt": True}], ids=str)
def test_the_header_stays_where_servers_look_for_it(options: dict[str, bool]) -> None:
    mail = protected(HEADER + b"MIME-Version: 1.0\r\n" + CONTENT, **options).mail
    assert mail.startswith(HEADER + b"MIME-Version: 1.0\r\nContent-Type: ")
    assert mail.count(b"MIME-Version") == 1 and mail.isascii()
    assert max(map(len, mail.split(b"\r\n"))) < 998


def test_line_ends_are_made_what_is_signed(receive: Any) -> None:
    mail = protected((HEADER + CONTENT).replace(b"\r\n", b"\n"), sign=True).mail
    assert b"\n" not in mail.replace(b"\r\n", b"")
    assert receive(mail).protection.signers[0].trusted


def test_an_eight_bit_mail_is_not_signed() -> None:
    with pytest.raises(ConfigurationError, match="7-bit"):
        protected(HEADER + CONTENT + "é".encode(), sign=True)


def test_nothing_is_encrypted_for_a_certificate_that_has_ended() -> None:
    with pytest.raises(ConfigurationError, match="valid certificate"):
        protected(HEADER + CONTENT, days=301, encrypt=True)


def test_what_does_not_fit_into_memory_is_refused() -> None:
    with pytest.raises(LimitExceeded) as caught:
        protected(HEADER + CONTENT, sign=True, limits=Limits(smime_bytes=10))
    assert caught.value.limit == "smime_bytes"
