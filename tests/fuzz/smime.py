"""Targets: what protects a mail, as strangers write it."""

from __future__ import annotations

import base64
import functools
from collections.abc import Iterator

from fuzz.mail import Desk
from support.identities import NOW, identity, keyring

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import LimitExceeded, MailRefused
from airflow_pop3_gateway.mail.extract import Policy, understand
from airflow_pop3_gateway.smime import Keyring, is_protected, open_mail, protect

US, THEM = "us@us.example", "them@partner.example"
HEADER = b"From: them@partner.example\r\nMessage-ID: <1@partner.example>\r\n"
OPAQUE = HEADER + (
    b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\nContent-Transfer-Encoding: base64\r\n\r\n"
)
DETACHED = HEADER + (
    b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n\r\n--b\r\n\r\nx\r\n'
    b"--b\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n"
)
CONTENT = b"Content-Type: text/plain\r\n\r\nten widgets\r\n"


@functools.cache
def ring() -> Keyring:
    """Our key, and a partner's."""
    return keyring(identity(US), identity(THEM))


def open_object(data: bytes) -> None:
    """The object in an S/MIME mail, and as a signature beside its content."""
    octets = base64.encodebytes(data)
    for mail in (OPAQUE + octets, DETACHED + octets + b"--b--\r\n"):
        _open(mail)


def open_letter(data: bytes) -> None:
    """A whole mail that says it is protected."""
    _open(HEADER + data)


def _open(mail: bytes) -> None:
    try:
        opened = open_mail(mail, ring(), Limits(), NOW)
    except (LimitExceeded, MailRefused) as error:
        assert error.facts and str(error).isprintable()
        return
    if opened is None:
        head = understand([mail], lambda head: Policy(), Desk()).head
        assert not is_protected(head), "who opens and who understands see different headers"
    else:
        assert opened.protection.layers
        assert opened.protection.ciphers or "encrypted" not in opened.protection.layers


def letters() -> Iterator[bytes]:
    """Signed, encrypted, both: what follows the header of the mail."""
    for options in ({"sign": True}, {"encrypt": True}, {"sign": True, "encrypt": True}):
        theirs = keyring(identity(THEM), identity(US), **options)
        partner = theirs.partner(US)
        assert partner is not None
        yield protect(CONTENT, theirs, [partner], NOW).entity


def objects() -> Iterator[bytes]:
    """The objects in them."""
    for letter in letters():
        at = letter.rfind(b"Content-Transfer-Encoding: base64\r\n")
        coded = letter[at:].partition(b"\r\n\r\n")[2].partition(b"--")[0]
        yield base64.b64decode(coded)
    # compressed data (RFC 3274) with nothing in it
    yield bytes.fromhex("3014060b2a864886f70d0109100109a0053003020100")
