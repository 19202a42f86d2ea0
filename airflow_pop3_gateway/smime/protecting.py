"""Protect the content of a mail before it goes: sign it, then encrypt it, as a partner wants it.

Strategy: a MIME entity goes in and one comes out; the header of the mail stays where every server and every agent looks
for it.

Invariant: what is signed is 7-bit with CRLF, so that no relay has a reason to touch it; what is wanted and cannot be
done is an error, never a mail with less.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.smime.entity import Entity
from airflow_pop3_gateway.smime.enveloped import encrypt
from airflow_pop3_gateway.smime.keys import Keyring, Own, PartnerKeys, is_valid
from airflow_pop3_gateway.smime.mic import mic_of, mic_of_plain
from airflow_pop3_gateway.smime.signed import sign

RECEIPT_OPTIONS = "signed-receipt-protocol=optional, pkcs7-signature; signed-receipt-micalg=optional, sha-256"
"""What asks for a signed receipt (RFC 3335 §5.2); one without signature is better than none."""
_LINE = 76


@dataclass(frozen=True)
class Protected:
    """What goes. :ivar mic: what a signed receipt for it must repeat."""

    entity: bytes
    mic: str


def protect(entity: bytes, keyring: Keyring, partners: Sequence[PartnerKeys], at: datetime) -> Protected:
    """Sign and encrypt a MIME entity as the entries of those who get it say; what one of them wants, all get.

    :param entity: 7-bit, with CRLF; :param at: now: a certificate that has ended is not used.
    :raises ConfigurationError: it is not 7-bit, or somebody has no valid certificate.
    """
    signed = any(keys.partner.sign for keys in partners)
    encrypted = any(keys.partner.encrypt for keys in partners)
    if not signed and not encrypted:
        plain = Entity(entity)
        return Protected(entity, mic_of_plain([entity], plain.head, len(entity) - len(plain.body)))
    mic = mic_of(entity)
    if signed and keyring.own is not None:
        if not is_valid(keyring.own.certificate, at):
            raise ConfigurationError(
                "To sign, a certificate is needed that has not ended.", field="smime_certificate"
            )
        if not entity.isascii():
            raise ConfigurationError(
                "Only a 7-bit mail can be signed: encode its parts as base64 or quoted-printable.",
                field="sign",
            )
        entity = sign_entity(entity, keyring.own)
    if encrypted:
        envelope = encrypt(entity, [keys.encryption_certificate(at) for keys in partners])
        entity = _wrapped("application/pkcs7-mime; smime-type=enveloped-data", "smime.p7m", envelope)
    return Protected(entity, mic)


def sign_entity(entity: bytes, own: Own) -> bytes:
    """A MIME entity becomes a multipart/signed (RFC 8551 §3.5.3). :param entity: with CRLF."""
    boundary = f"=_signed_{secrets.token_hex(16)}".encode()
    signature = _wrapped("application/pkcs7-signature", "smime.p7s", sign(entity, own))
    return b"".join(
        [
            b'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n',
            b' micalg=sha-256; boundary="' + boundary + b'"\r\n\r\n',
            b"--" + boundary + b"\r\n" + entity + b"\r\n",
            b"--" + boundary + b"\r\n" + signature,
            b"--" + boundary + b"--\r\n",
        ]
    )


def _wrapped(content_type: str, name: str, der: bytes) -> bytes:
    """An object of S/MIME as an entity."""
    header = (
        f"Content-Type: {content_type}; name={name}\r\n"
        f"Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename={name}\r\n\r\n"
    )
    text = base64.b64encode(der)
    lines = [text[at : at + _LINE] + b"\r\n" for at in range(0, len(text), _LINE)]
    return header.encode() + b"".join(lines)
