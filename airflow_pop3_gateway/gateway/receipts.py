"""Receipts: whether a mail that asks for an acknowledgment gets one, and the finished message.

Strategy: the decision is written on the record (Gateway: *ack_to*, *acknowledgment_option*), the message is built once
from the mail's header and the record, with every time and identifier taken from them, so that a second run builds the
same octets.

Invariant: at most one receipt for each message and notification address; none without a record; none for what we
could not take.
"""

from __future__ import annotations

import base64
import dataclasses

from airflow_pop3_gateway.acks import mdn
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


def answer(site: RemoteSite, head: Head, key: str) -> AcknowledgmentRequest | None:
    """What becomes of a mail's request for a receipt, ``None`` when it asks for none.

    :param key: the key of the mail's record.
    """
    ack_to = mdn.requested(head)
    if not ack_to:
        return None
    if site.acknowledgment_option == "not_to_ack":
        return AcknowledgmentRequest(ack_to, "deny", "not_to_ack")
    if (reason := mdn.deny_reason(head)) is not None:
        return AcknowledgmentRequest(ack_to, "deny", reason)
    if site.acknowledgment_option == "ack_by_user":
        return AcknowledgmentRequest(ack_to, "wait", "ack_by_user")
    receipts = tuple(digest_key(key, address.lower()) for address in ack_to)
    return AcknowledgmentRequest(ack_to, "send", "ack_by_monitor", receipts)


def after_rejection(
    request: AcknowledgmentRequest | None, rejected: Rejected
) -> AcknowledgmentRequest | None:
    """No automatic receipt for a mail that was not taken: a duplicate was answered, anything else needs a person."""
    if request is None or request.decision == "deny":
        return request
    decision, why = ("deny", "duplicate") if rejected.duplicate_of else ("wait", rejected.reason.code)
    return AcknowledgmentRequest(request.ack_to, "deny" if decision == "deny" else "wait", why)
