"""Certificates of people who sign and encrypt: made once for a run, valid around the time of the tests unless told."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from airflow_pop3_gateway.partners import Partner, Smime
from airflow_pop3_gateway.smime import Keyring

NOW = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    address: str
    certificate: x509.Certificate
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def key_pem(self, passphrase: str = "") -> bytes:
        algorithm: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if passphrase:
            algorithm = serialization.BestAvailableEncryption(passphrase.encode())
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, algorithm
        )

    def write(self, folder: Path) -> tuple[str, str]:
        """Paths of the certificate and of the key."""
        name = self.address.partition("@")[0]
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key_pem())
        return str(certificate), str(key)


@functools.cache
def identity(
    address: str,
    issuer: str | Identity | None = None,
    *,
    key: str = "rsa",
    authority: bool = False,
    ends: int = 300,
    usage: x509.ObjectIdentifier | None = None,
) -> Identity:
    """A person, or an authority that issues others. :param ends: days after :data:`NOW`; :param issuer: self-signed if none."""
    own = rsa.generate_private_key(65537, 2048) if key == "rsa" else ec.generate_private_key(ec.SECP256R1())
    above = identity(issuer, authority=True) if isinstance(issuer, str) else issuer
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, address)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(above.certificate.subject if above else name)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=400))
        .not_valid_after(NOW + timedelta(days=ends))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
    )
    if not authority:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.RFC822Name(address)]), critical=False
        )
    if usage:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    return Identity(address, builder.sign(above.key if above else own, hashes.SHA256()), own)


def smime(own: Identity | None, *partners: Identity, **options: bool) -> Smime:
    """What a site is told: our identity, and partners that are known by their certificates."""
    return Smime(
        own.pem if own else b"",
        own.key_pem() if own else b"",
        partners=tuple(Partner(partner.address, partner.pem, **options) for partner in partners),
    )


def keyring(own: Identity | None, *partners: Identity, **options: bool) -> Keyring:
    """The same, read."""
    return Keyring(smime(own, *partners, **options))
