"""Content keys that were agreed on with our EC key (RFC 5753): how partners encrypt where it is not RSA's.

Invariant: as in :mod:`~airflow_pop3_gateway.smime.enveloped`; what is read here is read before anything is computed.
"""

from __future__ import annotations

from collections.abc import Callable

from asn1crypto import cms, core
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.x963kdf import X963KDF
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap

from airflow_pop3_gateway.smime.cms import HASHES, names, unsupported

SCHEMES = {
    "1.3.133.16.840.63.0.2": "sha1",
    "1.3.132.1.11.0": "sha224",
    "1.3.132.1.11.1": "sha256",
    "1.3.132.1.11.2": "sha384",
    "1.3.132.1.11.3": "sha512",
}
"""Ephemeral-static ECDH with the X9.63 function, by the digest in it (RFC 5753 §7.1.4)."""
WRAPS = {"aes128_wrap": 16, "aes192_wrap": 24, "aes256_wrap": 32}
"""Octets of the key that wraps the content key."""


class _SharedInfo(core.Sequence):  # type: ignore[misc]  # RFC 5753 §7.2
    _fields = [
        ("key_info", core.Any),
        ("entity_u_info", core.OctetString, {"explicit": 0, "optional": True}),
        ("supp_pub_info", core.OctetString, {"explicit": 2}),
    ]


def agreed_key(
    info: cms.KeyAgreeRecipientInfo, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> Callable[[], bytes] | None:
    """What unwraps the content key, ``None`` when it is for somebody else."""
    mine = [one for one in info["recipient_encrypted_keys"] if names(one["rid"], certificate)]
    if not mine:
        return None
    scheme = info["key_encryption_algorithm"]
    digest = SCHEMES.get(scheme["algorithm"].dotted)
    wrap = cms.EncryptionAlgorithm.load(scheme["parameters"].dump())
    size = WRAPS.get(wrap["algorithm"].native)
    originator = info["originator"]
    if digest is None or size is None or originator.name != "originator_key":
        raise unsupported(f"key agreement {scheme['algorithm'].dotted}")
    shared = _SharedInfo({"key_info": wrap, "supp_pub_info": (size * 8).to_bytes(4, "big")})
    if info["ukm"].native is not None:
        shared["entity_u_info"] = info["ukm"].native
    algorithm, about = HASHES[digest], shared.dump()
    point, wrapped = originator.chosen["public_key"].native, mine[0]["encrypted_key"].native

    def unwrap() -> bytes:
        secret = key.exchange(ec.ECDH(), ec.EllipticCurvePublicKey.from_encoded_point(key.curve, point))
        return aes_key_unwrap(X963KDF(algorithm, size, about).derive(secret), wrapped)

    return unwrap
