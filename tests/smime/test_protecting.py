"""The content of a mail goes out as its partners want it, or not at all."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from support.identities import NOW, Identity, identity, keyring

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.partners import Partner, Smime
from airflow_pop3_gateway.smime import Keyring, Protected, open_mail, protect

US, THEM, OTHER = "us@us.example", "them@partner.example", "other@other.example"
HEADER = b"From: them@partner.example\r\nTo: us@us.example\r\n"
CONTENT = b"Content-Type: text/plain\r\n\r\nten widgets\r\n"


def protected(content: bytes = CONTENT, days: int = 0, **options: bool) -> Protected:
    ring = keyring(identity(THEM), identity(US), **options)
    return protect(content, ring, ring.partners, NOW + timedelta(days=days))


def test_a_partner_who_wants_nothing_gets_the_content_as_it_is() -> None:
    assert protected().entity == CONTENT


@pytest.mark.parametrize("options", [{"sign": True}, {"encrypt": True}], ids=str)
def test_what_goes_passes_every_relay(options: dict[str, bool]) -> None:
    entity = protected(**options).entity
    assert entity.isascii() and b"\n" not in entity.replace(b"\r\n", b"")
    assert max(map(len, entity.split(b"\r\n"))) < 998


def test_what_one_of_several_wants_all_get() -> None:
    """It is one mail; each can read it."""
    us, other = identity(US), identity(OTHER)
    them = identity(THEM)
    entries = (Partner(US, us.pem, sign=True), Partner(OTHER, other.pem, encrypt=True))
    ring = Keyring(Smime(them.pem, them.key_pem(), partners=entries))
    entity = protect(CONTENT, ring, ring.partners, NOW).entity

    def layers(reader: Identity) -> Any:
        opened = open_mail(HEADER + entity, keyring(reader, them), Limits(), NOW)
        return opened and opened.protection.layers

    assert layers(us) == layers(other) == ("encrypted", "signed")


def test_an_eight_bit_content_is_not_signed() -> None:
    with pytest.raises(ConfigurationError, match="7-bit"):
        protected(CONTENT + "é".encode(), sign=True)


def test_nothing_is_signed_with_a_certificate_that_has_ended() -> None:
    with pytest.raises(ConfigurationError, match="has not ended"):
        protected(days=301, sign=True)


def test_nothing_is_encrypted_for_a_certificate_that_has_ended() -> None:
    with pytest.raises(ConfigurationError, match="valid certificate"):
        protected(days=301, encrypt=True)
