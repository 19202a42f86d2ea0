"""Delivery status notifications (RFC 3464, RFC 6533): what mail servers say became of a mail we sent.

Strategy: the first group of fields is about the message, each further one about a recipient; a group that names a
final recipient is a recipient's wherever it stands, because some servers leave out the first group or the empty line.

Invariant: nothing raises. One failed recipient makes the verdict negative; any other DSN proves nothing, so a DSN is
never positive (Gateway).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from airflow_pop3_gateway.acks.fields import (
    ReportPart,
    address_of,
    all_fields,
    groups_of,
    returned_message_id,
    words_of,
)
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.mail.words import without_comments
from airflow_pop3_gateway.records import Report, ReportedRecipient

CONTENT_TYPES = ("message/delivery-status", "message/global-delivery-status")
_FAILED = ("failed", "failure", "expired")  # the latter two are what agents write, and mean it
_OTHERS = ("delayed", "delivered", "relayed", "expanded")


def parse(parts: Sequence[ReportPart]) -> Report | None:
    """Read a DSN. :returns: ``None`` when no part has a delivery status with at least one field."""
    groups = [group for part in parts if part.content_type in CONTENT_TYPES for group in groups_of(part.data)]
    if not groups:
        return None
    recipients = tuple(_recipient(group) for group in groups if _is_recipient(group))
    message = next((group for group in groups if group.get("reporting-mta") is not None), groups[0])
    return Report(
        kind="dsn",
        verdict=verdict(recipients),
        original_message_id=returned_message_id(parts),
        envelope_id=message.text("original-envelope-id"),
        reporting=words_of(message, "reporting-mta"),
        recipients=recipients,
        fields=all_fields(message),
    )


def _is_recipient(group: Head) -> bool:
    return any(
        group.get(name) is not None for name in ("final-recipient", "original-recipient", "action", "status")
    )


def _recipient(group: Head) -> ReportedRecipient:
    return ReportedRecipient(
        final_recipient=address_of(group, "final-recipient"),
        original_recipient=address_of(group, "original-recipient"),
        action=without_comments(group.text("action")).partition(" ")[0].lower(),
        status=group.text("status"),
        diagnostic_code=words_of(group, "diagnostic-code"),
        remote_mta=words_of(group, "remote-mta"),
    )


def verdict(recipients: Sequence[ReportedRecipient]) -> Literal["negative", "undefined"]:
    """Negative as soon as one has failed; where the action is none of RFC 3464, its status decides."""
    failed = any(
        one.action in _FAILED or (one.action not in _OTHERS and one.status.startswith("5"))
        for one in recipients
    )
    return "negative" if failed else "undefined"
