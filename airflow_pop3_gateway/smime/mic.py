"""The digest a signed receipt repeats (RFC 3335 §5.3.1, ``Received-Content-MIC``).

What it is over: of a signed mail the octets that were signed, MIME header included; of a mail that was only encrypted
or compressed the MIME entity inside (RFC 5402 §4); of a plain mail its body without the header and before its transfer
encoding, for relays may change both.

Invariant: what is compared are digests; how an agent spells the name of an algorithm does not matter.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable

from airflow_pop3_gateway.mail.encodings import Identity, decoder_for
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.records.sent import Proof

ALGORITHMS = ("sha-1", "sha-256", "sha-384", "sha-512")
"""As RFC 8551 §3.5.3.2 writes them. MD5 is no proof of anything."""
USUAL = "sha-256"


def algorithm_of(name: str) -> str | None:
    """An algorithm by one of its spellings (``sha256``, ``SHA-256``), ``None`` when it is none of ours."""
    bare = name.strip().lower().replace("-", "")
    return next((one for one in ALGORITHMS if one.replace("-", "") == bare), None)


class Digest:
    """A digest in the making. :param algorithm: one of :data:`ALGORITHMS`; :param spelled: as the partner writes it."""

    def __init__(self, algorithm: str, spelled: str = "") -> None:
        self._spelled = spelled or algorithm
        self._digest = hashlib.new(algorithm.replace("-", ""))

    def update(self, octets: bytes) -> None:
        """Take octets."""
        self._digest.update(octets)

    def mic(self) -> str:
        """The value of the field."""
        return f"{base64.b64encode(self._digest.digest()).decode()}, {self._spelled}"


def mic_of(octets: bytes, algorithm: str = USUAL, spelled: str = "") -> str:
    """The digest over octets that are at hand."""
    digest = Digest(algorithm, spelled)
    digest.update(octets)
    return digest.mic()


def mic_of_plain(
    mail: Iterable[bytes], head: Head, body: int, algorithm: str = USUAL, spelled: str = ""
) -> str:
    """The digest over the body of a plain mail, transfer encoding undone.

    :param head: of the mail; :param body: where in its octets the body begins.
    """
    digest = Digest(algorithm, spelled)
    whole = head.content_type.value.startswith(("multipart/", "message/"))
    decoder = Identity("binary") if whole else decoder_for(head.encoding)
    for piece in mail:
        if body < len(piece):
            digest.update(decoder.feed(piece[body:]))
        body = max(0, body - len(piece))
    digest.update(decoder.finish())
    return digest.mic()


def compare(one: str, other: str) -> Proof:
    """Whether two values of the field are over the same octets; of two algorithms nothing can be said."""
    first, second = _parsed(one), _parsed(other)
    if first is None or second is None or first[1] != second[1]:
        return "unproven"
    return "match" if hmac.compare_digest(first[0], second[0]) else "mismatch"


def _parsed(value: str) -> tuple[bytes, str] | None:
    digest, _, name = value.partition(",")
    algorithm = algorithm_of(name)
    try:
        return (base64.b64decode("".join(digest.split()), validate=True), algorithm) if algorithm else None
    except (binascii.Error, ValueError):
        return None
