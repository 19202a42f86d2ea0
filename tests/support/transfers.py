"""Transfers that were sent, without a relay; imported by tests as ``support.transfers``."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_pop3_gateway.records.sent import (
    EVENT_SCHEMA,
    SENT_SCHEMA,
    EventRow,
    SentEvent,
    SentRecipient,
    SentTransfer,
)
from airflow_pop3_gateway.store import Store, layout, sent

IDENT = "<edi.20261123080000.0a1b2c@us.example>"


def transfer(*recipients: str, ident: str = IDENT, **fields: Any) -> SentTransfer:
    """A transfer to these addresses, as it is written down before SMTP."""
    usual: dict[str, Any] = {
        "schema": SENT_SCHEMA,
        "key": sent.key_of(ident),
        "local_ident": ident.rpartition("@")[0].rpartition(".")[2],
        "xfer_ident": ident,
        "message_id": ident,
        "type": "XFER",
        "smtp_conn_id": "relay",
        "from_": "edi@us.example",
        "recipients": tuple(map(SentRecipient, recipients)),
        "subject": "Orders",
        "created_at": "2026-11-23T07:00:00.000Z",
        "requested": ("dsn", "mdn"),
    }
    return SentTransfer(**{**usual, **fields})


def send(store: Store, name: str, *, expected_in: timedelta = timedelta(hours=1)) -> SentTransfer:
    """A transfer to two, sent a day ago; the relay took it, and one has acknowledged it.

    :param expected_in: from now until its deadline.
    """
    now = datetime.now(timezone.utc)
    made = transfer(
        "a@x.example",
        "b@x.example",
        ident=f"<edi.20261123080000.{name}@us.example>",
        subject=f"Prices {name}",
        created_at=layout.timestamp(now - timedelta(days=1)),
        ack_deadline=layout.timestamp(now + expected_in),
        asked_by={"dag_id": "send_prices"},
    )
    sent.create(store, made)
    taken = (
        EventRow("a@x.example", "undefined", "accepted"),
        EventRow("b@x.example", "undefined", "accepted"),
    )
    sent.append(store, made.key, SentEvent(EVENT_SCHEMA, "smtp-0001", "smtp", made.created_at, taken))
    answered = (EventRow("a@x.example", "positive", "processed"),)
    sent.append(store, made.key, SentEvent(EVENT_SCHEMA, "r-1", "mdn", made.created_at, answered, "envid"))
    return made
