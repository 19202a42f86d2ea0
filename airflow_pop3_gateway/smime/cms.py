"""Cryptographic messages (RFC 5652) as ``asn1crypto`` reads them, with every failure of its turned into ours.

Invariant: any octets give a structure or :class:`MailRefused`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from asn1crypto import cms
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

from airflow_pop3_gateway.errors import MailRefused
from airflow_pop3_gateway.smime.ber import broken, definite
from airflow_pop3_gateway.smime.keys import extension_of

HASHES: dict[str, hashes.HashAlgorithm] = {
    "sha1": hashes.SHA1(),
    "sha224": hashes.SHA224(),
    "sha256": hashes.SHA256(),
    "sha384": hashes.SHA384(),
    "sha512": hashes.SHA512(),
}
"""Digests that are believed, by their names in ``asn1crypto``. SHA-1 is only read: to forge what a partner signed with
it takes a second preimage, which nobody can make. MD5 is no proof of anything."""


def read(octets: bytes) -> cms.ContentInfo:
    """The message in an object of S/MIME. Its parts are read when they are asked for: do so within :func:`reading`."""
    octets = definite(octets)
    with reading():
        return cms.ContentInfo.load(octets)


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Turn what the libraries raise about a stranger's octets into :class:`MailRefused`."""
    try:
        yield
    except UnsupportedAlgorithm as error:
        raise unsupported(str(error)) from None
    except (
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise broken(type(error).__name__) from error


def unsupported(what: str) -> MailRefused:
    """What to raise when a protected mail asks for what we do not do."""
    return MailRefused(f"The S/MIME object uses what is not supported: {what}.", code="smime-unsupported")


def names(who: cms.SignerIdentifier | cms.RecipientIdentifier, certificate: x509.Certificate) -> bool:
    """Whether a signer or a recipient is the holder of a certificate (RFC 5652 §5.3, §6.2)."""
    chosen = who.chosen
    if who.name == "issuer_and_serial_number":
        same = chosen["serial_number"].native == certificate.serial_number
        return same and bool(chosen["issuer"].dump() == certificate.issuer.public_bytes())
    identifier = chosen["subject_key_identifier"] if who.name == "r_key_id" else chosen
    theirs = extension_of(certificate, x509.SubjectKeyIdentifier)
    return theirs is not None and bool(identifier.native == theirs.digest)
