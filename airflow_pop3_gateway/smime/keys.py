"""Keys and certificates of one site: our own pair, and what is believed of whom.

Strategy: a signer is believed as the partner whose address the mail comes from: because the certificate is written down
for that partner, or because an authority that is written down issued it for that address. Validity is asked for the
moment the mail was received, so that a replay answers as the first reading did.

Invariant: a keyring that was made works; a signer nobody vouched for is never trusted, whatever the mail brings along.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    Policy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from airflow_pop3_gateway.config import wildcards
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.partners import Partner, Smime

E = TypeVar("E", bound=x509.ExtensionType)

OwnKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
LONGEST_CHAIN = 4
"""Authorities between a partner's certificate and the one that is written down."""
_MAIL = {ExtendedKeyUsageOID.EMAIL_PROTECTION, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}


@dataclass(frozen=True)
class Own:
    """Our own certificate and its key. :ivar chain: those who issued it, to go with a signature."""

    certificate: x509.Certificate
    key: OwnKey
    chain: tuple[x509.Certificate, ...] = ()


@dataclass(frozen=True)
class PartnerKeys:
    """A partner with certificates that were read.

    :ivar pinned: trusted as they are; :ivar authorities: those among them that may issue others. Tools make a
        self-signed certificate an authority unasked, so one does not exclude the other.
    """

    partner: Partner
    pinned: tuple[x509.Certificate, ...]
    authorities: tuple[x509.Certificate, ...]

    def encryption_certificate(self, at: datetime) -> x509.Certificate:
        """What mail for the partner is encrypted with: of those that are valid, the one that lasts longest.

        :raises ConfigurationError: there is none.
        """
        fits = [one for one in self.pinned if _can_be_encrypted_for(one) and is_valid(one, at)]
        if not fits:
            raise ConfigurationError(
                f"{self.partner.address}: to encrypt, a valid certificate of the partner with an RSA key is needed.",
                field="smime_partners",
            )
        return max(fits, key=lambda one: (one not in self.authorities, one.not_valid_after_utc))


class Keyring:
    """All keys of a site, read.

    :raises ConfigurationError: naming the option: what is given is no PEM, no pair, or too little for what is asked.
    """

    def __init__(self, smime: Smime) -> None:
        self.own = _own(smime)
        self.partners = tuple(_partner(partner) for partner in smime.partners)
        for partner in smime.partners:
            if partner.sign and self.own is None:
                raise ConfigurationError(
                    f"{partner.address}: to sign, smime_certificate and smime_key are needed.",
                    field="smime_key",
                )

    def partner(self, address: str) -> PartnerKeys | None:
        """Who has this address: by its own entry, else by the first pattern that fits."""
        for keys in self.partners:
            if keys.partner.address.lower() == address.lower():
                return keys
        fits = (keys for keys in self.partners if wildcards(keys.partner.address).fullmatch(address))
        return next(fits, None)

    @cached_property
    def known(self) -> tuple[x509.Certificate, ...]:
        """Every certificate that is written down: a signature need not bring its own."""
        return tuple(one for keys in self.partners for one in keys.pinned)

    def doubt(
        self, signer: x509.Certificate, brought: Sequence[x509.Certificate], sender: str, at: datetime
    ) -> str:
        """Why a signer is not believed to be the sender, ``""`` when it is.

        :param brought: certificates the signature brought along; they prove nothing by themselves.
        :returns: ``no-partner``, ``expired``, ``signer-not-sender`` or ``unknown-signer``.
        """
        keys = self.partner(sender)
        if keys is None:
            return "no-partner"
        if signer in keys.pinned:
            return "" if is_valid(signer, at) else "expired"
        if _issued(signer, brought, keys.authorities, at):
            return "" if sender.lower() in addresses_of(signer) else "signer-not-sender"
        if not is_valid(signer, at):
            return "expired"
        others = (other for other in self.partners if other is not keys)
        return "signer-not-sender" if any(signer in other.pinned for other in others) else "unknown-signer"


def is_valid(certificate: x509.Certificate, at: datetime) -> bool:
    """Whether a moment lies within a certificate's time."""
    return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of a certificate, hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def extension_of(certificate: x509.Certificate, kind: type[E]) -> E | None:
    """What an extension says; ``None``: there is none, or it cannot be read."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return None


def addresses_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The addresses a certificate is for, lower case (RFC 8550 §3): alternative names, then the subject's."""
    names = extension_of(certificate, x509.SubjectAlternativeName)
    found = list(names.get_values_for_type(x509.RFC822Name)) if names else []
    subject = certificate.subject.get_attributes_for_oid(x509.NameOID.EMAIL_ADDRESS)
    found += [str(attribute.value) for attribute in subject]
    return tuple(dict.fromkeys(address.lower() for address in found))


# -- reading ----------------------------------------------------------------------------------------------------


def _own(smime: Smime) -> Own | None:
    if not smime.certificate and not smime.key:
        return None
    if not smime.certificate or not smime.key:
        missing = "smime_key" if smime.certificate else "smime_certificate"
        raise ConfigurationError("smime_certificate and smime_key belong together.", field=missing)
    found = _certificates(smime.certificate, "smime_certificate")
    password = smime.passphrase.encode() or None
    try:
        key = serialization.load_pem_private_key(smime.key, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # their words may quote the key
        raise ConfigurationError(
            "it is no private key in PEM, or smime_passphrase does not open it.", field="smime_key"
        ) from None
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise ConfigurationError("the key must be an RSA or EC key.", field="smime_key")
    mine = [one for one in found if _public_key(one) == key.public_key()]
    if not mine:
        raise ConfigurationError("the key is not the one of smime_certificate.", field="smime_key")
    return Own(mine[0], key, tuple(one for one in found if one not in mine))


def _partner(partner: Partner) -> PartnerKeys:
    found = _certificates(partner.certificates, "smime_partners") if partner.certificates else []
    authorities = tuple(one for one in found if _is_authority(one))
    keys = PartnerKeys(partner, tuple(found), authorities)
    if partner.require_signed and not found:
        raise ConfigurationError(
            f"{partner.address}: require_signed needs a certificate.", field="smime_partners"
        )
    if partner.encrypt and not any(map(_can_be_encrypted_for, keys.pinned)):
        raise ConfigurationError(
            f"{partner.address}: encrypt needs the partner's own certificate, with an RSA key.",
            field="smime_partners",
        )
    return keys


def _certificates(pem: bytes, field: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise ConfigurationError("there is no certificate in PEM in it.", field=field) from None


def _is_authority(certificate: x509.Certificate) -> bool:
    constraints = extension_of(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def _public_key(certificate: x509.Certificate) -> object:
    """``None``: it is of a kind nobody here knows."""
    try:
        return certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None


def _can_be_encrypted_for(certificate: x509.Certificate) -> bool:
    if not isinstance(_public_key(certificate), rsa.RSAPublicKey):
        return False
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_encipherment
    except x509.ExtensionNotFound:
        return True
    except (x509.DuplicateExtension, ValueError):
        return False


# -- chains -----------------------------------------------------------------------------------------------------


def _for_mail(policy: Policy, certificate: x509.Certificate, usage: x509.ExtendedKeyUsage | None) -> None:
    if usage is not None and not _MAIL & set(usage):
        raise ValueError("not for mail")


def _for_signing(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not (usage.digital_signature or usage.content_commitment):
        raise ValueError("not for signing")


def _may_issue(policy: Policy, certificate: x509.Certificate, usage: x509.KeyUsage | None) -> None:
    if usage is not None and not usage.key_cert_sign:
        raise ValueError("not for issuing")


def _is_ca(policy: Policy, certificate: x509.Certificate, constraints: x509.BasicConstraints) -> None:
    if not constraints.ca:
        raise ValueError("no authority")


_ANY = Criticality.AGNOSTIC
_SIGNER = (
    ExtensionPolicy.permit_all()
    .may_be_present(x509.ExtendedKeyUsage, _ANY, _for_mail)
    .may_be_present(x509.KeyUsage, _ANY, _for_signing)
)
_AUTHORITY = (
    ExtensionPolicy.permit_all()
    .require_present(x509.BasicConstraints, _ANY, _is_ca)
    .may_be_present(x509.KeyUsage, _ANY, _may_issue)
)
"""RFC 8550 §4.4 instead of the web's rules: no name of a host, an authority without key identifiers is one."""


def _issued(
    signer: x509.Certificate,
    brought: Sequence[x509.Certificate],
    authorities: Sequence[x509.Certificate],
    at: datetime,
) -> bool:
    """Whether a chain leads from the signer to an authority, every link valid at that moment."""
    if not authorities:
        return False
    verifier = (
        PolicyBuilder()
        .store(Store(list(authorities)))
        .time(at)
        .max_chain_depth(LONGEST_CHAIN)
        .extension_policies(ca_policy=_AUTHORITY, ee_policy=_SIGNER)
        .build_client_verifier()
    )
    try:
        verifier.verify(signer, list(brought))
    except (VerificationError, ValueError, UnsupportedAlgorithm):
        return False
    return True
