"""What is written down of a transfer we send: the record, the events that come after it, and the status they make.

Strategy: the record is written once, before SMTP, with a row for every recipient. Whatever happens later (the relay's
answer, each DSN and MDN that comes back) is appended as an event of its own; the status is a fold over the events, so
that a report that is late, comes twice or contradicts another never overwrites anything.

Invariant: as in :mod:`airflow_pop3_gateway.records`; record and events are never rewritten.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

import msgspec

from airflow_pop3_gateway.records.jsonable import Jsonable
from airflow_pop3_gateway.records.transfer import Report, StoredFile

SENT_SCHEMA = "airflow-pop3-gateway/sent-transfer/1"
EVENT_SCHEMA = "airflow-pop3-gateway/sent-event/1"

Verdict = Literal["positive", "negative", "undefined"]
Proof = Literal["match", "mismatch", "unproven"]
"""What a receipt proves that was to be signed (RFC 3335): ``match``: the recipient signed for the content that was
sent; ``mismatch``: it is about another content; ``unproven``: its digest cannot be compared, or the recipient did not
sign."""
SentState = Literal["PROCESSING", "CANCELED", "ENDED", "ENDED_TO_ACK", "ACKED", "NACKED_USER", "NACKED_XFB"]
"""The Gateway's states: ENDED asked for no acknowledgment, ENDED_TO_ACK waits for one, NACKED_USER is a negative MDN,
NACKED_XFB a negative DSN."""


NO_DSN = "the relay offers no DSN"
_IDENT = 100  # RFC 3461 §4.4: characters of an ENVID
_DOMAIN = 40
_NOT_IN_USER = re.compile(r"[^A-Za-z0-9!#$%&'*/?^_`{|}~.-]")
_NOT_IN_DOMAIN = re.compile(r"[^A-Za-z0-9.-]")


def make_xfer_ident(address: str, date: datetime, local_ident: str) -> str:
    """``<user.date.local_ident@domain>``, of the two halves of the From address (Gateway: *xfer_ident*).

    It is an ENVID too: what would need quoting there becomes ``_``, ``user`` loses its end and ``domain`` its first
    labels where all of it would be longer than 100 characters. ``local_ident`` alone makes it unique.

    :param date: to the second; :param local_ident: letters and digits.
    """
    user, _, domain = address.rpartition("@")
    domain = _NOT_IN_DOMAIN.sub("", domain.strip("[]"))
    if len(domain) > _DOMAIN:
        domain = domain[-_DOMAIN:].partition(".")[2] or domain[-_DOMAIN:]
    tail = f".{date:%Y%m%d%H%M%S}.{local_ident}@{domain or 'localhost'}>"
    user = _NOT_IN_USER.sub("_", user)[: _IDENT - len(tail) - 1]
    return f"<{re.sub(r'[.]+', '.', user).strip('.') or '_'}{tail}"


def date_of_xfer_ident(ident: str) -> datetime:
    """The date in an *xfer ident* of ours. :raises ValueError: when it is none."""
    return datetime.strptime(ident.rpartition("@")[0].split(".")[-2] + "Z", "%Y%m%d%H%M%S%z")


class SentRecipient(Jsonable, frozen=True):
    """One recipient of the envelope. :ivar field: the header field that names it; ``bcc`` is named in none."""

    address: str
    field: Literal["to", "cc", "bcc"] = "to"


class SentTransfer(Jsonable, frozen=True):
    """One mail we send: ``sent/<kk>/<key>.json``, written before SMTP.

    :ivar key: digest of ``xfer_ident``.
    :ivar local_ident: the Gateway's transfer number: made from what asked for the transfer, so that a second try of
        the same task is the same transfer.
    :ivar xfer_ident: ``<user.date.local_ident@domain>``, ENVID of the envelope; also the Message-ID of a mail we built.
    :ivar message_id: of the mail; a ready-made mail has its own.
    :ivar requested: the acknowledgments that were asked for: ``dsn``, ``mdn``.
    :ivar files: what was attached; ``path`` is the URL it was read from.
    :ivar mic: ``Received-Content-MIC`` a signed receipt must repeat (RFC 3335).
    :ivar asked_by: the task that sent it: ``dag_id``, ``run_id``, ``task_id``, ``map_index``.
    """

    schema: str
    key: str
    local_ident: str
    xfer_ident: str
    message_id: str
    type: Literal["XFER", "MSG"]
    smtp_conn_id: str
    from_: str
    recipients: tuple[SentRecipient, ...]
    subject: str
    created_at: str
    ready_made: bool = False
    requested: tuple[Literal["dsn", "mdn"], ...] = ()
    ack_deadline: str | None = None
    application: str = ""
    xfb: Mapping[str, str] = msgspec.field(default_factory=dict)
    user_message: str | None = None
    files: tuple[StoredFile, ...] = ()
    mic: str | None = None
    asked_by: Mapping[str, str] = msgspec.field(default_factory=dict)


class EventRow(Jsonable, frozen=True):
    """What an event says of one recipient of ours.

    :ivar recipient: as in the record, ``""`` when the event names nobody we sent to.
    :ivar action: ``accepted``, ``refused`` (5xx) or ``postponed`` (4xx, or no answer) of SMTP, where a later attempt
        counts more than an earlier one; the action of a DSN; the disposition type of an MDN.
    :ivar status: SMTP reply or enhanced status code. :ivar detail: the words that came with it.
    """

    recipient: str
    verdict: Verdict
    action: str = ""
    status: str = ""
    detail: str = ""


class SentEvent(Jsonable, frozen=True):
    """One thing that happened to a transfer: ``sent/<kk>/<key>/events/<name>.json``.

    :ivar name: ``smtp-<attempt>``, or the local ident of the EERP's own record, so that a second run of the same
        classification appends nothing.
    :ivar matched_by: how the report found the transfer; ``""`` for SMTP.
    :ivar proof: of a positive MDN where a signed one was asked for.
    :ivar note: :data:`NO_DSN` where the relay does not offer what was asked of it, or why an attempt broke off.
    """

    schema: str
    name: str
    kind: Literal["smtp", "dsn", "mdn"]
    at: str
    rows: tuple[EventRow, ...]
    matched_by: str = ""
    report: Report | None = None
    note: str = ""
    proof: Proof | None = None


class Sent(Jsonable, frozen=True):
    """What became of a transfer so far: the small reference that travels by XCom.

    :ivar recipients: how many; the relay took it for ``accepted`` and refused it for good for ``refused`` of them;
    :ivar octets: of the mail in the last attempt, 0 when there was nothing left to send; :ivar attempts: made in all;
    :ivar requested: the acknowledgments that were asked for; :ivar ack_deadline: until when one is expected.
    """

    key: str
    xfer_ident: str
    message_id: str
    recipients: int
    accepted: int
    refused: int
    octets: int = 0
    attempts: int = 0
    requested: tuple[Literal["dsn", "mdn"], ...] = ()
    ack_deadline: str | None = None
