"""Receipts: whether a mail that asks for an acknowledgment gets one, and the finished message.

Strategy: the decision is written on the record (Gateway: *ack_to*, *acknowledgment_option*), the message is built once
from the mail's header and the record or the answer, with every time and identifier taken from them, so that a second
run builds the same octets.

Invariant: one message for each mail that asked, and one receipt of it for each notification address; none without a
record; nothing positive for what we could not take, unless a person says so. A receipt is given for the address that
the connection says is ours (RFC 8098 §3, §3.2.4); where it says none, for the only one in To, which its sender chose.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Callable

from airflow_pop3_gateway.acks import asking, mdn
from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway.signing import signing_for
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.records import (
    OUTBOX_SCHEMA,
    AcknowledgmentRequest,
    Outcome,
    Receipt,
    Rejected,
    TransferRecord,
    digest_key,
)
from airflow_pop3_gateway.records.asked import AFTER_PROCESSING, WAITING_SCHEMA, Answer, WaitingRequest
from airflow_pop3_gateway.store import layout

PRODUCT = "airflow-pop3-gateway"
_POSITIVE = ("processed", "displayed", "dispatched")


def decide(
    site: RemoteSite, head: Head, key: str, rejected: Rejected | None = None, *, repeated: bool = False
) -> AcknowledgmentRequest | None:
    """What becomes of a mail's request for a receipt (RFC 8098 §2.1); ``None`` when it asks for none.

    The very same mail again was answered with the first; anything else that was not taken needs a person, for an
    automatic positive receipt would be a lie and an automatic negative one a guess.

    :param key: of the record that stands for the mail; a mail that is released later has the same.
    :param repeated: the very same octets have a record of their own.
    """
    ack_to = asking.requested(head)
    if not ack_to:
        return None
    receipts = tuple(digest_key(key, address.lower()) for address in ack_to)
    decision, why = "send", "ack_by_monitor"
    ours = _own_address(site, head)
    denied = asking.deny_reason(
        head,
        [own for own in (ours, _ascii_domain(ours)) if own],
        trusted=site.trusted_partners.__contains__,
    )
    if site.acknowledgment_option == "not_to_ack":
        decision, why = "deny", "not_to_ack"
    elif denied is not None:
        decision, why = "wait" if denied in asking.NEEDS_A_PERSON else "deny", denied
    elif rejected is not None:
        decision, why = "deny" if repeated else "wait", rejected.reason.code
    elif not ours:
        decision, why = "wait", "no-own-address"
    elif site.acknowledgment_option == "ack_by_user":
        decision, why = "wait", "ack_by_user"
    elif not all(map(_may_be_answered(site), ack_to)):
        decision, why = "wait", "partner-not-listed"
    elif asking.unknown_options(head) or signing_for(site, head).impossible:
        why = "unknown-options"
    elif site.acknowledge_after == "processed":
        decision, why = "wait", AFTER_PROCESSING
    if decision == "deny":
        return AcknowledgmentRequest(ack_to, "deny", why)
    return AcknowledgmentRequest(ack_to, "send" if decision == "send" else "wait", why, receipts)


def _own_address(site: RemoteSite, head: Head) -> str:
    return site.own_address or (head.to[0] if len(head.to) == 1 else "")


def own_address(site: RemoteSite, head: Head) -> str:
    """For whom a receipt speaks: the site's address, else the only one in To.

    :raises ConfigurationError: nobody says which address is ours.
    """
    if not (ours := _own_address(site, head)):
        raise ConfigurationError(
            f"{site.name}: neither the connection nor To says which address the receipt is for: set mail_address.",
            field="mail_address",
        )
    return ours


def receipts_for(site: RemoteSite, record: TransferRecord, head: Head) -> list[Receipt]:
    """The receipts that a record's decision asks for, finished."""
    asked = record.acknowledgment
    if asked is None or asked.decision != "send":
        return []
    return _receipts(site, head, asked.ack_to, asked.receipts, record.key, record.created_at, record.mic)


def request_for(record: TransferRecord, head: Head) -> WaitingRequest | None:
    """What waits because of a record's decision, ``None`` when nothing does."""
    asked = record.acknowledgment
    if asked is None or asked.decision != "wait":
        return None
    header = b"".join(name + b": " + value + b"\r\n" for name, value in head.fields)
    return WaitingRequest(
        schema=WAITING_SCHEMA,
        site=record.raw.site,
        local_ident=record.local_ident,
        record=record.key,
        application=record.application,
        from_=record.from_,
        subject=record.subject,
        date=record.date,
        ack_to=asked.ack_to,
        receipts=asked.receipts,
        why=asked.why,
        head=base64.b64encode(header).decode(),
        created_at=record.created_at,
        duplicate=record.rejected is not None and record.rejected.duplicate_of is not None,
        mic=record.mic,
    )


def head_of(site: RemoteSite, request: WaitingRequest) -> Head:
    """The header block of the mail that asked."""
    return Head.from_bytes(base64.b64decode(request.head), site.limits)


def receipts_of_answer(site: RemoteSite, request: WaitingRequest, answer: Answer) -> list[Receipt]:
    """The receipts that an answer makes, finished. A duplicate is never said to be processed without a warning."""
    if answer.outcome == "none":
        return []
    outcome, text = answer.outcome, answer.text
    if request.duplicate and outcome in _POSITIVE:
        outcome, text = "warning", f"duplicate: this message was received before. {text}".strip()
    return _receipts(
        site,
        head_of(site, request),
        request.ack_to,
        request.receipts,
        request.record,
        answer.at,
        request.mic,
        outcome,
        text,
        answer.by_a_person,
    )


def _receipts(
    site: RemoteSite,
    head: Head,
    ack_to: tuple[str, ...],
    keys: tuple[str, ...],
    record: str,
    at: str,
    mic: str | None,
    outcome: Outcome = "processed",
    text: str = "",
    by_a_person: bool = False,
) -> list[Receipt]:
    """One message, and an envelope of its own for each address, so that one address that fails hurts no other.

    :raises ConfigurationError: nobody says which address is ours.
    """
    ours = own_address(site, head)
    if unknown := asking.unknown_options(head):
        outcome = "unsupported"
        text = f"Disposition-Notification-Options requires what is not known here: {', '.join(unknown)}"
    signing = signing_for(site, head)
    if signing.impossible:
        outcome, text = "unsupported", signing.impossible
    domain, own = _ascii_domain(site.domain), _ascii_domain(ours)
    message_id = f"<{keys[0]}.receipt@{domain}>"
    message = mdn.build(
        head,
        from_=own,
        to=ack_to,
        final_recipient=own,
        message_id=message_id,
        date=layout.moment(at),
        reporting_ua=f"{domain}; {PRODUCT}",
        outcome=outcome,
        explanation=text,
        by_a_person=by_a_person,
        fields=(("Received-Content-MIC", mic),) if mic else (),
        sign=signing.sign,
    )
    return [
        Receipt(
            schema=OUTBOX_SCHEMA,
            key=key,
            state="PENDING",
            record=record,
            site=site.name,
            smtp_conn_id=site.smtp_conn_id,
            mail_from=site.receipt_sender,
            recipient=address,
            message_id=message_id,
            message=base64.b64encode(message).decode(),
            created_at=at,
        )
        for address, key in zip(ack_to, keys, strict=True)
    ]


def _may_be_answered(site: RemoteSite) -> Callable[[str], bool]:
    listed = site.acknowledge_partners
    return lambda address: not listed or address in listed or address in site.trusted_partners


def _ascii_domain(name: str) -> str:
    """A domain, or an address with its domain, as ASCII (RFC 5890); what is no domain stays as it is."""
    local_part, at, domain = name.rpartition("@")
    with contextlib.suppress(UnicodeError):
        domain = domain.encode("idna").decode()
    return f"{local_part}{at}{domain}"
