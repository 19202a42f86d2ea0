"""Encryption (RFC 5652 §6, RFC 5083): for a partner, and what partners encrypted for us.

Strategy: outgoing mail is AES-256-CBC with the key under RSA PKCS #1 v1.5, which RFC 8551 asks everyone to read; the
library does it. Incoming mail is read more widely than the library does, so the structure is taken apart here and the
arithmetic left to it.

Invariant: whatever is wrong with a mail that is encrypted for us is one error with the same words: who could tell a
wrong padding from a wrong key could decrypt by asking often.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from asn1crypto import cms, core, parser
from cryptography import x509
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import padding as blocks
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap
from cryptography.hazmat.primitives.serialization import pkcs7

from airflow_pop3_gateway.errors import MailRefused
from airflow_pop3_gateway.smime.agreement import agreed_key
from airflow_pop3_gateway.smime.cms import HASHES, names, reading, unsupported
from airflow_pop3_gateway.smime.keys import Own

MOST_RECIPIENTS = 1_000
"""Recipients of one encrypted mail that are looked at (RFC 5321 §4.5.3.1.8 asks servers for 100)."""
CIPHERS: dict[str, tuple[str, int]] = {
    "tripledes_3key": ("des-ede3-cbc", 24),
    "aes128_cbc": ("aes-128-cbc", 16),
    "aes192_cbc": ("aes-192-cbc", 24),
    "aes256_cbc": ("aes-256-cbc", 32),
    "aes128_gcm": ("aes-128-gcm", 16),
    "aes192_gcm": ("aes-192-gcm", 24),
    "aes256_gcm": ("aes-256-gcm", 32),
}
"""Ciphers by their names in ``asn1crypto``: how people call them, and octets of the key. Triple DES is only read."""


class _GcmParameters(core.Sequence):  # type: ignore[misc]  # RFC 5084 §3.2
    _fields = [("nonce", core.OctetString), ("icv_length", core.Integer, {"default": 12})]


def _encrypted(info: cms.EncryptedContentInfo) -> bytes:
    """The encrypted octets. They may be in pieces, of which :mod:`ber` made one; ``asn1crypto`` takes none."""
    rest = info.contents
    for _ in ("content type", "algorithm"):
        rest = rest[sum(map(len, parser.parse(rest)[3:])) :]
    _, in_pieces, _, _, content, _ = parser.parse(rest, strict=True)
    return bytes(core.OctetString.load(content).native if in_pieces else content)


def encrypt(content: bytes, certificates: Sequence[x509.Certificate]) -> bytes:
    """Enveloped data for the holders of certificates with RSA keys. :returns: DER."""
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(content)
    for certificate in certificates:
        builder = builder.add_recipient(certificate)
    builder = builder.set_content_encryption_algorithm(algorithms.AES256)
    return builder.encrypt(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary])


def decrypt(envelope: cms.EnvelopedData | cms.AuthEnvelopedData, own: Own | None) -> tuple[bytes, str]:
    """What was encrypted for us.

    :returns: the content, and the cipher.
    :raises MailRefused: ``no-key``: it is for somebody else; ``decryption-failed``: it is damaged;
        ``smime-broken``, ``smime-unsupported``: that cannot be said.
    """
    with reading():
        unwrap = _unwrapping(envelope["recipient_infos"], own)
        authenticated = isinstance(envelope, cms.AuthEnvelopedData)
        content = envelope["auth_encrypted_content_info" if authenticated else "encrypted_content_info"]
        octets = _encrypted(content)
        algorithm = content["content_encryption_algorithm"]
        name = algorithm["algorithm"].native
        if name not in CIPHERS or name.endswith("gcm") is not authenticated:
            raise unsupported(f"cipher {name}")
        cipher, size = CIPHERS[name]
        parameters = algorithm["parameters"].dump()
        mac = envelope["mac"].native if authenticated else b""
        attributes = envelope["auth_attrs"] if authenticated else None
        aad = attributes.untag().dump() if attributes else b""
        nonce = _GcmParameters.load(parameters)["nonce"].native if authenticated else b""
        vector = b"" if authenticated else core.OctetString.load(parameters).native
    try:
        key = unwrap()
        if len(key) != size:
            raise ValueError("the key has another length")
        if authenticated:
            return AESGCM(key).decrypt(nonce, octets + mac, aad), cipher
        return _decrypted(cipher, key, vector, octets), cipher
    except (ValueError, InvalidTag, InvalidUnwrap):
        raise MailRefused(
            "The mail is encrypted for us and cannot be decrypted.", code="decryption-failed"
        ) from None


def _unwrapping(infos: cms.RecipientInfos, own: Own | None) -> Callable[[], bytes]:
    """What gives the content key."""
    for number, info in enumerate(infos):
        if own is None or number == MOST_RECIPIENTS:
            break
        chosen, key = info.chosen, own.key
        if isinstance(key, rsa.RSAPrivateKey):
            if info.name == "ktri" and names(chosen["rid"], own.certificate):
                unpadding = _padding(chosen["key_encryption_algorithm"])
                return functools.partial(key.decrypt, chosen["encrypted_key"].native, unpadding)
        elif info.name == "kari" and (unwrap := agreed_key(chosen, own.certificate, key)) is not None:
            return unwrap
    raise MailRefused("The mail is encrypted, and not for our certificate.", code="no-key")


def _padding(algorithm: cms.KeyEncryptionAlgorithm) -> padding.AsymmetricPadding:
    name = algorithm["algorithm"].native
    if name == "rsaes_pkcs1v15":
        return padding.PKCS1v15()
    if name != "rsaes_oaep":
        raise unsupported(f"key encryption {name}")
    parameters = algorithm["parameters"]
    hashed = HASHES[parameters["hash_algorithm"]["algorithm"].native]
    masked = HASHES[parameters["mask_gen_algorithm"]["parameters"]["algorithm"].native]
    label = parameters["p_source_algorithm"]["parameters"].native
    return padding.OAEP(padding.MGF1(masked), hashed, label or None)


def _decrypted(cipher: str, key: bytes, vector: bytes, octets: bytes) -> bytes:
    algorithm = TripleDES(key) if cipher == "des-ede3-cbc" else algorithms.AES(key)
    decryptor = Cipher(algorithm, modes.CBC(vector)).decryptor()
    unpadder = blocks.PKCS7(algorithm.block_size).unpadder()
    return unpadder.update(decryptor.update(octets) + decryptor.finalize()) + unpadder.finalize()
