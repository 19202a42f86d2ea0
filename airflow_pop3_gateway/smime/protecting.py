"""Protect a mail before it goes: sign it, then encrypt it, as a partner wants it.

Strategy: a finished mail goes in and one comes out. The fields that describe its content move inside with the content;
all others stay where every server and every agent looks for them. What is inside never leaves memory.

Invariant: what is signed is 7-bit with CRLF, so that no relay has a reason to touch it.
"""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import ConfigurationError, LimitExceeded
from airflow_pop3_gateway.smime.entity import Entity, canonical
from airflow_pop3_gateway.smime.enveloped import encrypt
from airflow_pop3_gateway.smime.keys import Keyring, Own, PartnerKeys
from airflow_pop3_gateway.smime.mic import USUAL, mic_of, mic_of_plain
from airflow_pop3_gateway.smime.signed import sign

RECEIPT_OPTIONS = "signed-receipt-protocol=optional, pkcs7-signature; signed-receipt-micalg=optional, sha-256"
"""What asks for a signed receipt (RFC 3335 §5.2); one without signature is better than none."""
_LINE = 76


@dataclass(frozen=True)
class Protected:
    """A mail to be sent. :ivar mic: what a signed receipt for it must repeat."""

    mail: bytes
    mic: str


def protect(mail: bytes, keyring: Keyring, partner: PartnerKeys, at: datetime, limits: Limits) -> Protected:
    """Sign and encrypt a finished mail as the partner's entry says.

    :param at: now: a certificate that has ended is not used.
    :raises ConfigurationError: the mail is 8-bit, or there is no valid certificate.
    :raises LimitExceeded: ``smime_bytes``: it would not fit into memory.
    """
    if len(mail) > limits.smime_bytes:
        bound = limits.smime_bytes
        raise LimitExceeded(
            f"the mail has more than {bound} octets (smime_bytes)", limit="smime_bytes", value=bound
        )
    outer = Entity(canonical(mail))
    options = partner.partner
    if not options.sign and not options.encrypt:
        return Protected(
            outer.octets, mic_of_plain([outer.octets], outer.head, len(outer.octets) - len(outer.body))
        )
    entity = outer.inner()
    mic = mic_of(entity, USUAL)
    if options.sign and keyring.own is not None:
        entity = sign_entity(entity, keyring.own)
    if options.encrypt:
        envelope = encrypt(entity, partner.encryption_certificate(at))
        entity = _wrapped("application/pkcs7-mime; smime-type=enveloped-data", "smime.p7m", envelope)
    return Protected(b"".join([*outer.described(False), b"MIME-Version: 1.0\r\n", entity]), mic)


def sign_entity(entity: bytes, own: Own) -> bytes:
    """A MIME entity becomes a multipart/signed (RFC 8551 §3.5.3).

    :raises ConfigurationError: it is 8-bit; a relay might change it on the way.
    """
    if not entity.isascii():
        raise ConfigurationError(
            "Only a 7-bit mail can be signed: encode its parts as base64 or quoted-printable.", field="sign"
        )
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
