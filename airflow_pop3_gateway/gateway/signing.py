"""Signed receipts (RFC 3335 §5): whether one is asked for and can be given, and what one that came in proves.

Invariant: what is asked for as *required* and cannot be given is said so, never left out in silence; what is *optional*
costs nobody a receipt. Only who got the mail can prove that it came.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from airflow_pop3_gateway.acks import asking, mdn
from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.partners import Smime
from airflow_pop3_gateway.records import TransferRecord
from airflow_pop3_gateway.records.sent import Proof, SentTransfer
from airflow_pop3_gateway.smime import Keyring, sign_entity
from airflow_pop3_gateway.smime.mic import USUAL, algorithm_of, compare

PROTOCOLS = ("pkcs7-signature", "x-pkcs7-signature")


@dataclass(frozen=True)
class Signing:
    """How the receipt of a mail is signed.

    :ivar sign: makes of the report what is sent; :ivar algorithm: of the digest that is repeated, and how the sender
        spells it, ``None`` when nothing of this is asked for; :ivar impossible: why what is required cannot be done, in
        the words of RFC 3335 §5.3.1.
    """

    sign: Callable[[bytes], bytes] = mdn.unsigned
    algorithm: tuple[str, str] | None = None
    impossible: str = ""


@functools.lru_cache(maxsize=64)
def keyring_of(smime: Smime) -> Keyring:
    """The keys of a site, read once."""
    return Keyring(smime)


def signing_for(site: RemoteSite, head: Head) -> Signing:
    """What a mail asks for in Disposition-Notification-Options, and what becomes of it."""
    found = {option.attribute: option for option in asking.options(head)}
    protocol, digests = found.get("signed-receipt-protocol"), found.get("signed-receipt-micalg")
    if protocol is None and digests is None:
        return Signing()
    named = digests.values if digests is not None else ()
    known = [(one, name) for name in named if (one := algorithm_of(name)) is not None]
    algorithm = known[0] if known else (USUAL, USUAL)
    if digests is not None and digests.required and named and not known:
        return Signing(algorithm=algorithm, impossible="unsupported MIC-algorithms")
    if protocol is None:
        return Signing(algorithm=algorithm)
    own = keyring_of(site.smime).own if site.smime is not None else None
    if own is None or not any(value.lower() in PROTOCOLS for value in protocol.values):
        return Signing(algorithm=algorithm, impossible="unsupported format" if protocol.required else "")
    return Signing(functools.partial(sign_entity, own=own), algorithm)


def proof_of(site: RemoteSite, transfer: SentTransfer, record: TransferRecord) -> Proof | None:
    """What an MDN proves; ``None`` where no signed one was asked for, or it says nothing positive.

    :param transfer: what it is the receipt of; :param record: the MDN's own.
    """
    report = record.report
    if transfer.mic is None or report is None or report.kind != "mdn" or report.verdict != "positive":
        return None
    proof = compare(transfer.mic, report.fields.get("received-content-mic", ""))
    return "unproven" if proof == "match" and not _is_signed_by_recipient(site, transfer, record) else proof


def _is_signed_by_recipient(site: RemoteSite, transfer: SentTransfer, record: TransferRecord) -> bool:
    if site.smime is None or record.protection is None:
        return False
    keyring = keyring_of(site.smime)
    partner = keyring.partner(record.from_)
    recipient = any(keyring.partner(one.address) is partner for one in transfer.recipients)
    return recipient and any(signer.trusted for signer in record.protection.signers)
