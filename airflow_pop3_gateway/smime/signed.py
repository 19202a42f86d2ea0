"""Signatures (RFC 5652 §5, RFC 8551): make one, and say of one whose it is and whether it fits.

Strategy: the structure is read with ``asn1crypto``, the arithmetic is ``cryptography``'s. What is compared and in which
order follows RFC 5652 §5.4 and §5.6: the digest of the content with the signed attribute, then the signature over the
attributes as they were sent.

Invariant: content that differs from what was signed is refused, known signer or not; a certificate the mail brings
along proves only which key signed.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from asn1crypto import cms
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import pkcs7

from airflow_pop3_gateway.errors import MailRefused
from airflow_pop3_gateway.mail.words import printable
from airflow_pop3_gateway.records import Signer
from airflow_pop3_gateway.smime.ber import broken
from airflow_pop3_gateway.smime.cms import HASHES, names, reading, unsupported
from airflow_pop3_gateway.smime.keys import Keyring, Own, addresses_of, fingerprint

MOST_SIGNERS = 8
"""Signatures over one content; each costs an operation with a public key."""
MOST_CERTIFICATES = 50
"""Certificates a signature brings along."""


def sign(content: bytes, own: Own) -> bytes:
    """A detached signature with SHA-256. :param content: exactly what goes out. :returns: DER."""
    builder = pkcs7.PKCS7SignatureBuilder().set_data(content)
    builder = builder.add_signer(own.certificate, own.key, hashes.SHA256())
    for above in own.chain:
        builder = builder.add_certificate(above)
    options = [
        pkcs7.PKCS7Options.DetachedSignature,
        pkcs7.PKCS7Options.Binary,
        pkcs7.PKCS7Options.NoCapabilities,
    ]
    return builder.sign(serialization.Encoding.DER, options)


def verify(
    signed: cms.SignedData, content: bytes, keyring: Keyring, sender: str, at: datetime
) -> tuple[Signer, ...]:
    """Who signed.

    :param sender: the address the mail comes from; :param at: when it was received.
    :raises MailRefused: ``integrity-check-failed``: the content is not what was signed; ``smime-broken``,
        ``smime-unsupported``: that cannot be said.
    """
    with reading():
        brought = _certificates(signed)
        infos = list(signed["signer_infos"])
        kind = signed["encap_content_info"]["content_type"].native
        if not 0 < len(infos) <= MOST_SIGNERS:
            raise broken(f"it has {len(infos)} signatures")
        return tuple(_signer(info, kind, content, brought, keyring, sender, at) for info in infos)


def _certificates(signed: cms.SignedData) -> list[x509.Certificate]:
    """The certificates the mail brings along; one that is none is passed over."""
    found = []
    for choice in list(signed["certificates"] or ())[:MOST_CERTIFICATES]:
        if choice.name == "certificate":
            try:
                found.append(x509.load_der_x509_certificate(choice.chosen.dump()))
            except ValueError:
                continue
    return found


def _signer(
    info: cms.SignerInfo,
    kind: str,
    content: bytes,
    brought: Sequence[x509.Certificate],
    keyring: Keyring,
    sender: str,
    at: datetime,
) -> Signer:
    name = info["digest_algorithm"]["algorithm"].native
    algorithm = HASHES.get(name)
    if algorithm is None:
        raise unsupported(f"digest {name}")
    covered, signed_at = _covered(info, kind, content, algorithm)
    certificate = next((one for one in (*keyring.known, *brought) if names(info["sid"], one)), None)
    if certificate is None:
        why = "unknown-signer" if keyring.partner(sender) else "no-partner"
        return Signer("", "", "", (), name, False, why, signed_at)
    try:
        _check(certificate, info, covered, algorithm)
    except InvalidSignature:
        raise _tampered("the signature was not made with the key of its certificate") from None
    doubt = keyring.doubt(certificate, brought, sender, at)
    return Signer(
        printable(certificate.subject.rfc4514_string()),
        f"{certificate.serial_number:x}",
        fingerprint(certificate),
        addresses_of(certificate),
        name,
        not doubt,
        doubt,
        signed_at,
    )


def _tampered(what: str) -> MailRefused:
    return MailRefused(f"The mail is not as it was signed: {what}.", code="integrity-check-failed")


def _covered(
    info: cms.SignerInfo, kind: str, content: bytes, algorithm: hashes.HashAlgorithm
) -> tuple[bytes, str | None]:
    """The octets the signature is over, and when the signer says it was made."""
    if not info["signed_attrs"]:
        if kind != "data":
            raise broken("signed attributes are missing")
        return content, None
    attributes: dict[str, Any] = {}
    for attribute in info["signed_attrs"]:
        values = attribute["values"]
        if attribute["type"].native in attributes or len(values) != 1:
            raise broken("a signed attribute stands twice")
        attributes[attribute["type"].native] = values[0].native
    digest = hashes.Hash(algorithm)
    digest.update(content)
    if attributes.get("content_type") != kind:
        raise broken("the signed content type is another")
    if not hmac.compare_digest(digest.finalize(), attributes["message_digest"]):
        raise _tampered("its digest is another")
    signed_at = attributes.get("signing_time")
    return info["signed_attrs"].untag().dump(), signed_at.isoformat() if signed_at else None


def _check(
    certificate: x509.Certificate, info: cms.SignerInfo, covered: bytes, algorithm: hashes.HashAlgorithm
) -> None:
    """:raises InvalidSignature: the key of the certificate did not sign this."""
    key = certificate.public_key()
    signature = info["signature"].native
    scheme = info["signature_algorithm"]
    if isinstance(key, rsa.RSAPublicKey) and scheme.signature_algo == "rsassa_pkcs1v15":
        key.verify(signature, covered, padding.PKCS1v15(), algorithm)
    elif isinstance(key, rsa.RSAPublicKey) and scheme.signature_algo == "rsassa_pss":
        chosen = scheme["parameters"]
        masked = HASHES[chosen["mask_gen_algorithm"]["parameters"]["algorithm"].native]
        hashed = HASHES[chosen["hash_algorithm"]["algorithm"].native]
        salt = chosen["salt_length"].native
        key.verify(signature, covered, padding.PSS(padding.MGF1(masked), salt), hashed)
    elif isinstance(key, ec.EllipticCurvePublicKey) and scheme.signature_algo == "ecdsa":
        named = scheme["algorithm"].native
        hashed = algorithm if named == "ecdsa" else HASHES[scheme.hash_algo]
        key.verify(signature, covered, ec.ECDSA(hashed))
    elif isinstance(key, ed25519.Ed25519PublicKey) and scheme.signature_algo == "ed25519":
        key.verify(signature, covered)
    else:
        raise unsupported(f"signature {scheme['algorithm'].native}")
