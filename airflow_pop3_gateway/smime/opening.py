"""Take off what protects a mail, layer by layer, and say what it was.

Strategy: each layer is an entity that gives the next one: signed content, decrypted content, decompressed content; when
nothing protects any more, that is the content, to be understood as if it had come so. A mail that is only signed in the
open stays as it is. Whether the signer is believed is said, not decided: :func:`objection` decides.

Invariant: what is believed to be signed is exactly what is shown; memory is bounded by ``Limits.smime_bytes`` and depth
by ``Limits.smime_layers``; any octets give a result, :class:`MailRefused` or :class:`LimitExceeded`.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import datetime

from asn1crypto import cms

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import LimitExceeded, MailRefused
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.records import Layer, Protection, Reason, Signer
from airflow_pop3_gateway.smime.cms import read, reading, unsupported
from airflow_pop3_gateway.smime.entity import Entity, canonical, protection_of
from airflow_pop3_gateway.smime.enveloped import decrypt
from airflow_pop3_gateway.smime.keys import Keyring
from airflow_pop3_gateway.smime.signed import verify


@dataclass(frozen=True)
class Opened:
    """What was inside.

    :ivar content: the mail to be understood in place of the protected one; ``None``: the mail itself, for it was only
        signed; :ivar covered: the octets a receipt's ``Received-Content-MIC`` is over.
    """

    protection: Protection
    content: bytes | None
    covered: bytes


def is_protected(head: Head) -> bool:
    """Whether a mail is S/MIME, by its header."""
    return protection_of(head) is not None


def open_mail(mail: bytes, keyring: Keyring, limits: Limits, at: datetime) -> Opened | None:
    """Open a mail; ``None`` when nothing protects it.

    :param at: when it was received.
    :raises MailRefused: it cannot be opened: ``no-key``, ``decryption-failed``, ``decompression-failed``,
        ``integrity-check-failed``, ``smime-broken``, ``smime-unsupported``.
    :raises LimitExceeded: ``smime_layers`` or ``smime_bytes`` was passed.
    """
    return _Opening(mail, keyring, limits, at).result()


def objection(keyring: Keyring, sender: str, protection: Protection | None) -> Reason | None:
    """Why a mail of this sender must not be taken as it is protected, ``None`` when it may."""
    keys = keyring.partner(sender)
    if keys is None:
        return None
    signers = protection.signers if protection else ()
    layers = protection.layers if protection else ()
    if signers and not any(signer.trusted for signer in signers):
        whys = ", ".join(sorted({signer.why for signer in signers}))
        return Reason("authentication-failed", f"not signed by {sender}: {whys}")
    for wanted, needed in (
        ("signed", keys.partner.require_signed),
        ("encrypted", keys.partner.require_encrypted),
    ):
        if needed and wanted not in layers:
            return Reason("insufficient-message-security", f"{sender} must send {wanted} mail")
    return None


class _Opening:
    def __init__(self, mail: bytes, keyring: Keyring, limits: Limits, at: datetime) -> None:
        self._outer = self._shown = self._entity = Entity(mail)
        self._keyring, self._limits, self._at = keyring, limits, at
        self._layers: list[Layer] = []
        self._signers: list[Signer] = []
        self._ciphers: list[str] = []
        self._covered: bytes | None = None

    def result(self) -> Opened | None:
        while (protection := protection_of(self._entity.head)) is not None:
            if len(self._layers) == self._limits.smime_layers:
                raise _exceeded(self._limits, "smime_layers", "the mail is protected in more layers")
            if protection == "detached":
                self._take_off_signature()
            else:
                self._entity = self._shown = Entity(self._inside(read(self._entity.decoded)))
        if not self._layers:
            return None
        return Opened(
            Protection(tuple(self._layers), tuple(self._ciphers), tuple(self._signers)),
            None if self._shown is self._outer else self._shown.within(self._outer),
            canonical(self._entity.octets) if self._covered is None else self._covered,
        )

    def _take_off_signature(self) -> None:
        content, signature = self._entity.detached(self._limits)
        info = read(signature)
        with reading():
            signed = info["content"]
            if info["content_type"].native != "signed_data":
                raise unsupported(f"a signature that is {info['content_type'].native}")
        try:
            self._verify(signed, content)
        except MailRefused:
            if (regular := canonical(content)) == content:
                raise
            self._verify(signed, regular)  # a server that keeps lines without CR was on the way
        self._entity = Entity(content)

    def _verify(self, signed: cms.SignedData, content: bytes) -> None:
        self._signers += verify(signed, content, self._keyring, self._outer.head.from_, self._at)
        self._layers.append("signed")
        if self._covered is None:
            self._covered = content

    def _inside(self, info: cms.ContentInfo) -> bytes:
        """The content of an object of S/MIME."""
        with reading():
            kind, data = info["content_type"].native, info["content"]
            if kind in ("enveloped_data", "authenticated_enveloped_data"):
                content, cipher = decrypt(data, self._keyring.own)
                self._layers.append("encrypted")
                self._ciphers.append(cipher)
                return content
            if kind not in ("signed_data", "compressed_data"):
                raise unsupported(f"content {kind}")
            content = data["encap_content_info"]["content"].native
            if not isinstance(content, bytes):
                raise unsupported("an object without content")
            if kind == "compressed_data":
                content = self._decompressed(content)
                self._layers.append("compressed")
            else:
                self._verify(data, content)
            return content

    def _decompressed(self, octets: bytes) -> bytes:
        inflate = zlib.decompressobj()
        try:
            content = inflate.decompress(octets, self._limits.smime_bytes + 1)
        except zlib.error:
            content = b""
        if len(content) > self._limits.smime_bytes:
            raise _exceeded(self._limits, "smime_bytes", "compressed content has more octets")
        if not inflate.eof:
            raise MailRefused("The mail is compressed and damaged.", code="decompression-failed")
        return content


def _exceeded(limits: Limits, limit: str, what: str) -> LimitExceeded:
    value = getattr(limits, limit)
    return LimitExceeded(f"{what} than {value} ({limit})", limit=limit, value=value)
