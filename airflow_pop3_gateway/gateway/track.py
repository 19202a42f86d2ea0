"""Track: what comes back of a transfer we sent is appended to it, and says how it stands.

The order of the steps is the guarantee, for one report::

    1  find its transfer                  before the record of the report, which names it
    2  create the record of the report    the commit
    3  append the event                   under the local ident of the record, so that it happens once
    4  settle the transfer, or not        by what all events say

A process that dies after step 2 leaves the rest to the next run, which finds the record and goes on.

Invariant: a mail that is no report costs no request; a report that is late, comes twice or contradicts another is
appended like any other. Reports are believed as far as mail can be: who knows the identity of a transfer can forge one,
but for a receipt that is signed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import msgspec

from airflow_pop3_gateway.acks import parse_report
from airflow_pop3_gateway.acks.correlate import candidates, rows_of
from airflow_pop3_gateway.acks.status import SentStatus, status_of
from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import AcknowledgmentOverdue, NotAcknowledged
from airflow_pop3_gateway.gateway.signing import proof_of
from airflow_pop3_gateway.mail.extract import Understanding
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.records import Acknowledges, Jsonable, TransferRecord
from airflow_pop3_gateway.records.sent import EVENT_SCHEMA, SentEvent, SentTransfer
from airflow_pop3_gateway.store import Store, layout, sent

log = logging.getLogger(__name__)

MIC_DIFFERS = "the receipt was signed for other octets than those we sent"
WORKERS = 8
"""Transfers that are looked at together: the work is waiting for the store."""


class Tracked(Jsonable, frozen=True):
    """A transfer and how it stands.

    :ivar overdue: it still waits, and its deadline has passed; :ivar asked_by: the task that sent it.
    """

    key: str
    xfer_ident: str
    subject: str
    created_at: str
    ack_deadline: str | None
    overdue: bool
    status: SentStatus
    asked_by: dict[str, str]


# -- a report comes in ------------------------------------------------------------------------------------------


def reported(store: Store, understanding: Understanding) -> dict[str, Any]:
    """What the record of a mail says of the report in it: its fields ``report`` and ``acknowledges``."""
    if understanding.type != "EERP" or (report := parse_report(understanding.captured)) is None:
        return {}
    for candidate in candidates(report, understanding.head, understanding.captured):
        if (transfer := sent.find(store, candidate.ident)) is not None:
            found = Acknowledges(transfer.key, transfer.xfer_ident, candidate.matched_by)
            return {"report": report, "acknowledges": found}
    return {"report": report, "acknowledges": Acknowledges()}


def append(site: RemoteSite, store: Store, record: TransferRecord, head: Head) -> None:
    """Append what a mail reports to the transfer it acknowledges; harmless for any other mail, and when repeated.

    A receipt that is about other octets than those we sent is a negative one.

    :param site: where it came in; :param head: of the mail.
    """
    found, report = record.acknowledges, record.report
    if found is None or report is None:
        return
    transfer = sent.find_key(store, found.key) if found.key else None
    if transfer is None:
        log.info("%s acknowledges nothing we sent", record.local_ident)
        return
    rows = rows_of(report, head, [recipient.address for recipient in transfer.recipients])
    proof = proof_of(site, transfer, record)
    if proof == "mismatch":
        rows = tuple(msgspec.structs.replace(row, verdict="negative", detail=MIC_DIFFERS) for row in rows)
    event = SentEvent(
        schema=EVENT_SCHEMA,
        name=record.local_ident,
        kind=report.kind,
        at=record.created_at,
        rows=rows,
        matched_by=found.matched_by,
        report=report,
        proof=proof,
    )
    sent.append(store, transfer.key, event)
    events = sent.events(store, transfer.key)
    status = status_of(transfer, events)
    if not status.waits:
        sent.settle(store, transfer.key)
    elif not status_of(transfer, [one for one in events if one.name != event.name]).waits:
        sent.wait(store, transfer.key)  # this report overruled the one that had settled it
    log.info("%s acknowledges %s: %s", record.local_ident, transfer.xfer_ident, status.state)


# -- how transfers stand ----------------------------------------------------------------------------------------


def tracked(store: Store, key: str, now: datetime) -> Tracked:
    """A transfer and how it stands. :raises StoreCorrupt: when there is none under this key."""
    return _tracked(store, sent.read(store, key), now)


def _tracked(store: Store, transfer: SentTransfer, now: datetime) -> Tracked:
    status = status_of(transfer, sent.events(store, transfer.key))
    return Tracked(
        transfer.key,
        transfer.xfer_ident,
        transfer.subject,
        transfer.created_at,
        transfer.ack_deadline,
        status.waits and _is_over(transfer, now),
        status,
        dict(transfer.asked_by),
    )


def closed(found: Tracked) -> bool:
    """Whether the loop is closed: everything that was asked for has come.

    :raises NotAcknowledged: somebody said no. :raises AcknowledgmentOverdue: the deadline has passed.
    """
    name = f"{found.xfer_ident} ({found.subject})" if found.subject else found.xfer_ident
    if found.overdue:
        silent = [one.address for one in found.status.recipients if one.verdict == "undefined"]
        raise AcknowledgmentOverdue(
            f"{name} was to be acknowledged by {found.ack_deadline}; nothing certain came from {', '.join(silent)}.",
            keys=(found.key,),
        )
    if found.status.state in ("ACKED", "ENDED") or found.status.waits:
        return not found.status.waits
    said = [
        f"{one.address or 'somebody'}: {one.detail or one.mdn or one.dsn or one.smtp}"
        for one in (*found.status.recipients, found.status.unassigned)
        if one is not None and one.verdict == "negative"
    ]
    raise NotAcknowledged(
        f"{name} is {found.status.state}: {'; '.join(said)}", state=found.status.state, key=found.key
    )


def _is_over(transfer: SentTransfer, now: datetime) -> bool:
    return transfer.ack_deadline is not None and transfer.ack_deadline <= layout.timestamp(now)


def waiting(
    store: Store, now: datetime, *, only_overdue: bool = False, keys: Sequence[str] | None = None
) -> Iterator[Tracked]:
    """The transfers that wait for an acknowledgment; those that no longer do lose their mark.

    :param only_overdue: only those whose deadline has passed; the events of others are not read.
    :param keys: which of the marked ones to look at; ``None`` for all.
    """
    marked = sent.waiting_keys(store) if keys is None else keys
    with ThreadPoolExecutor(WORKERS) as pool:
        for one in pool.map(lambda key: _looked_at(store, key, now, only_overdue), marked):
            if one is not None:
                yield one


def _looked_at(store: Store, key: str, now: datetime, only_overdue: bool) -> Tracked | None:
    transfer = sent.find_key(store, key)
    if transfer is None or (only_overdue and not _is_over(transfer, now)):
        return None
    found = _tracked(store, transfer, now)
    if found.status.waits:
        return found
    sent.settle(store, key)
    return None


def dismiss(store: Store, keys: Sequence[str]) -> None:
    """A person no longer waits for these; what comes later is appended all the same."""
    for key in keys:
        sent.read(store, key)
        sent.settle(store, key)
