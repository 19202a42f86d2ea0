"""Receipts: whether a mail that asks for an acknowledgment gets one, and the finished message.

Strategy: the decision is written on the record (Gateway: *ack_to*, *acknowledgment_option*), the message is built once
from the mail's header and the record, with every time and identifier taken from them, so that a second run builds the
same octets.

Invariant: at most one receipt for each message and notification address; none without a record; none for what we
could not take.
"""

from __future__ import annotations

import base64

from airflow_pop3_gateway.acks import asking, mdn
from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.records import (
    OUTBOX_SCHEMA,
    AcknowledgmentRequest,
    Receipt,
    Rejected,
    TransferRecord,
    digest_key,
)
from airflow_pop3_gateway.store import layout

PRODUCT = "airflow-pop3-gateway"
NULL_REVERSE_PATH = ""


def answer(
    site: RemoteSite, head: Head, record_key: str, rejected: Rejected | None
) -> AcknowledgmentRequest | None:
    """What becomes of a mail's request for a receipt (RFC 8098 §2.1); ``None`` when it asks for none.

    A duplicate was answered with the first; anything else that was not taken needs a person, for an automatic
    positive receipt would be a lie and an automatic negative one a guess.
    """
    ack_to = asking.requested(head)
    if not ack_to:
        return None
    denied = asking.deny_reason(head, [own] if (own := _own_address(site, head)) else [])
    if site.acknowledgment_option == "not_to_ack":
        return AcknowledgmentRequest(ack_to, "deny", "not_to_ack")
    if denied is not None:
        return AcknowledgmentRequest(ack_to, "wait" if denied in asking.NEEDS_A_PERSON else "deny", denied)
    if rejected is not None:
        return AcknowledgmentRequest(
            ack_to, "deny" if rejected.duplicate_of else "wait", rejected.reason.code
        )
    if site.acknowledgment_option == "ack_by_user":
        return AcknowledgmentRequest(ack_to, "wait", "ack_by_user")
    receipts = tuple(digest_key(record_key, address.lower()) for address in ack_to)
    return AcknowledgmentRequest(ack_to, "send", "ack_by_monitor", receipts)


def receipts_for(site: RemoteSite, record: TransferRecord, head: Head) -> list[Receipt]:
    """The receipts that a record's decision asks for, finished."""
    asked = record.acknowledgment
    if asked is None or asked.decision != "send":
        return []
    return [
        _receipt(site, record, head, address, key)
        for address, key in zip(asked.ack_to, asked.receipts, strict=True)
    ]


def _receipt(site: RemoteSite, record: TransferRecord, head: Head, address: str, key: str) -> Receipt:
    domain = site.local_site.domain
    own = _own_address(site, head)
    message_id = f"<{key}.receipt@{domain}>"
    message = mdn.build(
        head,
        from_=own,
        to=[address],
        final_recipient=own,
        message_id=message_id,
        date=layout.moment(record.created_at),
        reporting_ua=f"{domain}; {PRODUCT}",
    )
    return Receipt(
        schema=OUTBOX_SCHEMA,
        key=key,
        state="PENDING",
        record=record.key,
        site=site.name,
        smtp_conn_id=site.smtp_conn_id,
        mail_from=NULL_REVERSE_PATH,
        recipient=address,
        message_id=message_id,
        message=base64.b64encode(message).decode(),
        created_at=record.created_at,
    )


def _own_address(site: RemoteSite, head: Head) -> str:
    """The address the mail was received for: the Local Site's, the login where it is one, else the first To."""
    if site.local_site.mail_address:
        return site.local_site.mail_address
    return site.login if "@" in site.login else next(iter(head.to), f"{site.login}@{site.local_site.domain}")
