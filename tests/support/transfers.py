"""Transfers that were sent, without a relay; imported by tests as ``support.transfers``."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow_pop3_gateway.records.sent import (
    EVENT_SCHEMA,
    SENT_SCHEMA,
    EventRow,
    SentEvent,
    SentRecipient,
    SentTransfer,
)
from airflow_pop3_gateway.store import Store, layout, sent


def send(store: Store, name: str, *, expected_in: timedelta = timedelta(hours=1)) -> SentTransfer:
    """A transfer to two, sent a day ago; the relay took it, and one has acknowledged it.

    :param expected_in: from now until its deadline.
    """
    now = datetime.now(timezone.utc)
    ident = f"<edi.20261123080000.{name}@us.example>"
    transfer = SentTransfer(
        schema=SENT_SCHEMA,
        key=sent.key_of(ident),
        local_ident=name,
        xfer_ident=ident,
        message_id=ident,
        type="XFER",
        smtp_conn_id="relay",
        from_="edi@us.example",
        recipients=(SentRecipient("a@x.example"), SentRecipient("b@x.example")),
        subject=f"Prices {name}",
        created_at=layout.timestamp(now - timedelta(days=1)),
        requested=("dsn", "mdn"),
        ack_deadline=layout.timestamp(now + expected_in),
        asked_by={"dag_id": "send_prices"},
    )
    sent.create(store, transfer)
    taken = (
        EventRow("a@x.example", "undefined", "accepted"),
        EventRow("b@x.example", "undefined", "accepted"),
    )
    at = transfer.created_at
    sent.append(store, transfer.key, SentEvent(EVENT_SCHEMA, "smtp-0001", "smtp", at, taken))
    answered = (EventRow("a@x.example", "positive", "processed"),)
    sent.append(store, transfer.key, SentEvent(EVENT_SCHEMA, "r-1", "mdn", at, answered, "envid"))
    return transfer
