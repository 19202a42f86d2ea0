"""Whose a signature is: believed are certificates that are written down, and those an authority that is gave out."""

from __future__ import annotations

import ssl
from datetime import timedelta

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.identities import NOW, Identity, identity, keyring

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.partners import Partner, Smime
from airflow_pop3_gateway.smime import Keyring, open_mail, sign_entity

THEM, CA = "them@partner.example", "authority.example"
US = identity("us@us.example")
RSA, UNKNOWN = (bytes.fromhex(f"06092a864886f70d0101{last}") for last in ("01", "63"))
ODD = ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(US.pem.decode()).replace(RSA, UNKNOWN)).encode()
"""A certificate with a key of a kind nobody knows."""


def known(certificate: Identity, address: str = THEM) -> Keyring:
    return Keyring(Smime(partners=(Partner(address, certificate.pem),)))


def test_a_certificate_that_is_written_down_is_believed_while_it_is_valid() -> None:
    them = identity(THEM)
    assert known(them).doubt(them.certificate, [], THEM, NOW) == ""
    assert known(them).doubt(them.certificate, [], THEM, NOW + timedelta(days=301)) == "expired"
    assert known(them).doubt(them.certificate, [], THEM, NOW - timedelta(days=401)) == "expired"


def test_an_authority_vouches_for_the_address_it_wrote_into_the_certificate() -> None:
    them = identity(THEM, CA)
    ring = known(identity(CA, authority=True), "*@partner.example")
    assert ring.doubt(them.certificate, [], THEM, NOW) == ""
    assert ring.doubt(them.certificate, [], "boss@partner.example", NOW) == "signer-not-sender"
    assert ring.doubt(them.certificate, [], THEM, NOW + timedelta(days=301)) == "expired"


def test_an_authority_that_the_mail_brings_along_proves_nothing() -> None:
    them, authority = identity(THEM, CA), identity(CA, authority=True)
    ring = known(identity("else.example", authority=True))
    assert ring.doubt(them.certificate, [authority.certificate], THEM, NOW) == "unknown-signer"


def test_a_certificate_for_a_server_signs_no_mail() -> None:
    server = identity(THEM, CA, usage=ExtendedKeyUsageOID.SERVER_AUTH)
    mail = identity(THEM, CA, usage=ExtendedKeyUsageOID.EMAIL_PROTECTION)
    ring = known(identity(CA, authority=True))
    assert ring.doubt(server.certificate, [], THEM, NOW) == "unknown-signer"
    assert ring.doubt(mail.certificate, [], THEM, NOW) == ""


def test_a_partner_is_found_by_the_address_then_by_the_first_pattern() -> None:
    ring = keyring(None)
    assert ring.partner(THEM) is None
    entries = (Partner("*@partner.example"), Partner("them@*"), Partner("THEM@partner.example"))
    ring = Keyring(Smime(partners=entries))
    found = [ring.partner(address) for address in (THEM, "x@partner.example", "them@else.example")]
    assert [keys and keys.partner.address for keys in found] == [
        "THEM@partner.example",
        "*@partner.example",
        "them@*",
    ]


def test_of_several_certificates_the_one_that_lasts_longest_is_encrypted_for() -> None:
    """A partner's new certificate is added before the old one ends."""
    old, new, gone = identity(THEM, ends=10), identity(THEM, ends=100), identity(THEM, ends=-1)
    pem = gone.pem + new.pem + old.pem + identity(CA, authority=True, ends=999).pem
    partner = Keyring(Smime(partners=(Partner(THEM, pem, encrypt=True),))).partner(THEM)
    assert partner is not None
    assert partner.encryption_certificate(NOW) == new.certificate
    with pytest.raises(ConfigurationError, match="valid certificate"):
        partner.encryption_certificate(NOW + timedelta(days=9_999))


def test_who_issued_our_certificate_goes_with_the_signature() -> None:
    """A partner who knows only the authority at the top can follow the chain."""
    top = identity("top.example", authority=True)
    between = identity("between.example", top, authority=True)
    us = identity("us@us.example", between)
    own = Keyring(Smime(between.pem + us.pem, us.key_pem())).own
    assert own is not None and own.certificate == us.certificate
    content = b"Content-Type: text/plain\r\n\r\nx\r\n"
    mail = b"From: us@us.example\r\n" + sign_entity(content, own)
    opened = open_mail(mail, known(top, "us@us.example"), Limits(), NOW)
    assert opened is not None and opened.protection.signers[0].trusted


def test_the_key_is_opened_by_its_passphrase() -> None:
    assert Keyring(Smime(US.pem, US.key_pem("secret"), "secret")).own is not None


@pytest.mark.parametrize(
    ("smime", "field"),
    [
        (Smime(US.pem), "smime_key"),
        (Smime(b"", US.key_pem()), "smime_certificate"),
        (Smime(b"no pem", US.key_pem()), "smime_certificate"),
        (Smime(US.pem, b"no pem"), "smime_key"),
        (Smime(US.pem, US.key_pem("secret"), "wrong"), "smime_key"),
        (Smime(US.pem, US.key_pem("secret")), "smime_key"),
        (Smime(US.pem, identity(THEM).key_pem()), "smime_key"),
        (Smime(partners=(Partner(THEM, sign=True),)), "smime_key"),
        (Smime(partners=(Partner(THEM, encrypt=True),)), "smime_partners"),
        (Smime(partners=(Partner(THEM, identity(THEM, key="ec").pem, encrypt=True),)), "smime_partners"),
        (Smime(partners=(Partner(THEM, require_signed=True),)), "smime_partners"),
        (Smime(partners=(Partner(THEM, b"no pem"),)), "smime_partners"),
        (Smime(partners=(Partner(THEM, ODD, encrypt=True),)), "smime_partners"),
        (Smime(ODD, US.key_pem()), "smime_key"),
    ],
)
def test_what_does_not_work_is_said_by_option_and_without_secrets(smime: Smime, field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Keyring(smime)
    assert caught.value.facts["field"] == field
    assert "secret" not in str(caught.value) and "PRIVATE" not in str(caught.value)


def test_nothing_of_the_key_is_shown() -> None:
    shown = repr(Smime(US.pem, US.key_pem("secret"), "secret"))
    assert "PRIVATE" not in shown and "secret" not in shown
