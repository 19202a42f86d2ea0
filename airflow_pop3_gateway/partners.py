"""Who we exchange protected mail with (Gateway: *Trading Partner*), and with which key: S/MIME as a site is told of it.

Strategy: plain values, octets of PEM included; :mod:`airflow_pop3_gateway.smime` makes keys of them.

Invariant: nothing of a key or its passphrase stands in ``repr``.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Partner:
    """One trading partner.

    :ivar address: the address mail comes from and goes to, or a pattern with ``*`` and ``?``; case does not count.
    :ivar certificates: PEM: certificates that are trusted as they are, and authorities whose certificates for the
        partner's address are.
    :ivar require_signed: a mail that is not signed by the partner is not taken; :ivar require_encrypted: nor one that
        is readable on its way.
    :ivar sign, encrypt, request_receipt: what is done to a mail for the partner; a signed receipt is asked for.
    """

    address: str
    certificates: bytes = b""
    require_signed: bool = False
    require_encrypted: bool = False
    sign: bool = False
    encrypt: bool = False
    request_receipt: bool = False


@dataclass(frozen=True)
class Smime:
    """Our own key, and the partners.

    :ivar certificate, key: PEM of the certificate partners encrypt for and of its private key; both or none.
    """

    certificate: bytes = b""
    key: bytes = field(default=b"", repr=False)
    passphrase: str = field(default="", repr=False)
    partners: tuple[Partner, ...] = ()
