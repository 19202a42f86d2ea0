"""Send: a transfer that is asked for goes out by SMTP, once for each recipient.

The order of the steps is the guarantee::

    1  its identity               the first attempt decides, so that every other one sends under the same Message-ID
    2  the record, with a row for every recipient
    3  claim the attempt          of two workers exactly one goes on
    4  SMTP                       only to those who have not got it
    5  an event                   what the relay said of each recipient

Invariant: a recipient the relay accepted is never given to a relay again; a worker that dies between 4 and 5 makes a
second copy possible, under the same Message-ID.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from airflow_pop3_gateway.errors import ConfigurationError, GatewayError, RelayRefused, RelayUnavailable
from airflow_pop3_gateway.gateway.clock import Clock, utc_now
from airflow_pop3_gateway.gateway.outgoing import Outgoing, SendRequest, prepare
from airflow_pop3_gateway.mail.compose import Chunks
from airflow_pop3_gateway.records.sent import (
    EVENT_SCHEMA,
    NO_DSN,
    EventRow,
    Sent,
    SentEvent,
    SentTransfer,
    Verdict,
    date_of_xfer_ident,
    make_xfer_ident,
)
from airflow_pop3_gateway.store import Store, attempts, layout, sent

log = logging.getLogger(__name__)

SLOWEST = 128 << 10
"""Octets a second a relay takes at least: what a claim is believed for grows with the mail."""
_TOO_MANY = "452"
_ENHANCED = re.compile(r"\d{3}[ -](\d\.\d{1,3}\.\d{1,3})\b")
_LONGEST_DETAIL = 500


@dataclass(frozen=True)
class Envelope:
    """What a relay is told of a mail (RFC 5321 §2.3.1).

    :ivar mail_from: the reverse-path, ``""`` for the null one; :ivar size: octets of the mail;
    :ivar eight_bit: some have the eighth bit set; :ivar envid: of a mail that asks for DSN (RFC 3461), else ``""``.
    """

    mail_from: str
    recipients: Sequence[str]
    size: int
    eight_bit: bool = False
    envid: str = ""


@dataclass(frozen=True)
class Submitted:
    """What a relay said.

    :ivar replies: recipient → its reply, or that to the mail where the recipient was taken; :ivar dsn: whether it could
        be asked for DSN.
    """

    replies: Mapping[str, str]
    dsn: bool


class Relay(Protocol):
    """Takes mails."""

    def submit(self, envelope: Envelope, octets: Chunks) -> Submitted:
        """Give it one.

        :raises RelayRefused: it cannot take this mail for anybody, and was given nothing.
        :raises RelayUnavailable: it cannot be reached, or what it did with the mail is not known.
        :raises ConfigurationError: the connection must be corrected; nothing was sent.
        """


def send(request: SendRequest, store: Store, relay: Relay, *, now: Clock = utc_now) -> Sent:
    """Send a transfer to those who have not got it, and write down what the relay said.

    :raises RelayRefused: for good, for every recipient.
    :raises RelayUnavailable: for the time being, for at least one recipient; call again for the rest.
    :raises SourceChanged: a file changed while it was being sent.
    :raises ConfigurationError: the request, or the connection, must be corrected.
    :raises StoreError: when the record cannot be written or read.
    """
    ident = _identity(request, store, now)
    before = sent.find_key(store, sent.key_of(ident))
    if before is not None and not (history := _History(store, before)).left():
        return _outcome(before, history)
    mail, transfer = _written(request, store, ident, now)
    history = _History(store, transfer)
    while left := history.left():
        _attempt(store, mail, relay, history, left, now)
        history = _History(store, transfer)
        if not history.goes_on:
            break
    if history.count("refused") == len(history.rows):
        sent.settle(store, transfer.key)
    return _outcome(transfer, history, mail.size)


def _identity(request: SendRequest, store: Store, now: Clock) -> str:
    """The *xfer ident* of this request."""
    date = now()
    proposed = make_xfer_ident(request.from_.address, date, request.local_ident)
    ident = sent.xfer_ident(store, request.local_ident, proposed)
    before = sent.find_key(store, sent.key_of(ident))
    if before is None or not (others := _differences(before, request)):
        return ident
    return _given_up(request, store, before, date, f"another {', '.join(others)}")


def _written(request: SendRequest, store: Store, ident: str, now: Clock) -> tuple[Outgoing, SentTransfer]:
    """The mail and its record, which are the same at each attempt."""
    mail = prepare(request, ident)
    transfer = sent.create(store, mail.transfer)
    if (transfer.files, transfer.mic) == (mail.transfer.files, mail.transfer.mic):
        return mail, transfer
    mail = prepare(request, _given_up(request, store, transfer, now(), "other content of the file"))
    return mail, sent.create(store, mail.transfer)


def _given_up(request: SendRequest, store: Store, before: SentTransfer, date: datetime, what: str) -> str:
    """What was corrected after nobody got it is another transfer. After somebody did it is a mistake: two mails by
    one name, of which the second would never go."""
    if _History(store, before).count("accepted"):
        raise ConfigurationError(
            f"{before.xfer_ident} was sent before with {what}. Two transfers of one task need a transfer_id each.",
            field="transfer_id",
        )
    date = max(date, date_of_xfer_ident(before.xfer_ident) + timedelta(seconds=1))
    return sent.supersede(store, before, make_xfer_ident(request.from_.address, date, before.local_ident))


def _differences(before: SentTransfer, request: SendRequest) -> list[str]:
    """The arguments that ask for something else than the record says."""
    source = request.ready_made or request.file
    asked = {
        "from_": (before.from_, request.from_.address),
        "recipient": (before.recipients, request.recipients),
        "message": (before.user_message, request.message),
        "file": (
            [(file.path, file.name) for file in before.files],
            [(source.url, source.name)] if source else [],
        ),
        "ready_made": (before.ready_made, request.ready_made is not None),
        "subject": (before.ready_made or before.subject, before.ready_made or request.subject),
        "xfb": (dict(before.xfb), dict(request.xfb)),
        "acknowledgment_option": (bool(before.requested), request.acknowledgment_option == "to_ack"),
    }
    return [name for name, (old, new) in asked.items() if old != new]


class _History:
    """What relays said so far; of each recipient the last word counts. Who was reported on has got the mail, though the
    answer of the relay was lost."""

    def __init__(self, store: Store, transfer: SentTransfer) -> None:
        self._transfer = transfer
        everything = sent.events(store, transfer.key)
        events = [event for event in everything if event.kind == "smtp"]
        events.sort(key=lambda event: event.name)
        self.done = max((int(event.name.rpartition("-")[2]) for event in events), default=0)
        self.rows = {row.recipient: row for event in events for row in event.rows}
        for event in everything:
            for row in event.rows if event.kind != "smtp" else ():
                if row.recipient in self.rows and self.rows[row.recipient].action == "postponed":
                    self.rows[row.recipient] = _row(row.recipient, "accepted", row.status, row.detail)
        last = events[-1].rows if events else ()
        self.goes_on = any(row.action == "accepted" for row in last) and any(
            row.action == "postponed" and row.detail.startswith(_TOO_MANY) for row in last
        )
        """Whether a relay took as many recipients as it wanted in one transaction (RFC 5321 §4.5.3.1.10)."""

    def left(self) -> list[str]:
        """Who is to be tried: those nobody refused for good; when all were refused and none accepted, all again, for
        that is what a person asks for who runs a failed task once more."""
        everybody = [recipient.address for recipient in self._transfer.recipients]
        left = [one for one in everybody if one not in self.rows or self.rows[one].action == "postponed"]
        if left or self.count("accepted"):
            return left
        return everybody

    def count(self, action: str) -> int:
        """How many recipients have this last word."""
        return sum(row.action == action for row in self.rows.values())


def _attempt(
    store: Store, mail: Outgoing, relay: Relay, history: _History, recipients: Sequence[str], now: Clock
) -> None:
    transfer = mail.transfer
    number = attempts.claim(
        store,
        lambda attempt: layout.sent_attempt(transfer.key, attempt),
        history.done,
        now(),
        attempts.LEASE + timedelta(seconds=mail.size / SLOWEST),
    )
    if number is None or _History(store, transfer).done != history.done:
        raise RelayUnavailable(f"Another worker sends {transfer.xfer_ident} now.")
    envelope = Envelope(
        transfer.from_,
        recipients,
        mail.size,
        mail.eight_bit,
        transfer.xfer_ident if transfer.requested else "",
    )
    try:
        answer = relay.submit(envelope, mail.octets)
    except RelayRefused as error:
        _append(store, transfer, number, now, [_row(one, "refused", "", str(error)) for one in recipients])
    except GatewayError as error:
        rows = [_row(one, "postponed", "", str(error)) for one in recipients]
        _append(store, transfer, number, now, rows, note=str(error))
        raise
    else:
        rows = [_row_of_reply(recipient, answer.replies[recipient]) for recipient in recipients]
        missing = bool(transfer.requested) and not answer.dsn
        _append(store, transfer, number, now, rows, note=NO_DSN if missing else "")


def _row(recipient: str, action: str, status: str, detail: str) -> EventRow:
    verdict: Verdict = "negative" if action == "refused" else "undefined"
    return EventRow(recipient, verdict, action, status, detail[:_LONGEST_DETAIL])


def _row_of_reply(recipient: str, reply: str) -> EventRow:
    action = {"2": "accepted", "5": "refused"}.get(reply[:1], "postponed")
    enhanced = _ENHANCED.match(reply)
    return _row(recipient, action, enhanced[1] if enhanced else reply[:3], reply)


def _append(
    store: Store, transfer: SentTransfer, number: int, now: Clock, rows: Sequence[EventRow], note: str = ""
) -> None:
    event = SentEvent(
        EVENT_SCHEMA,
        f"smtp-{number:04d}",
        "smtp",
        layout.timestamp(now()),
        tuple(rows),
        note=note[:_LONGEST_DETAIL],
    )
    sent.append(store, transfer.key, event)


def _outcome(transfer: SentTransfer, history: _History, octets: int = 0) -> Sent:
    refusals = {
        row.recipient: row.detail for row in history.rows.values() if row.action in ("refused", "postponed")
    }
    sentence = "; ".join(f"{recipient}: {detail}" for recipient, detail in refusals.items())
    if history.count("postponed"):
        raise RelayUnavailable(f"{transfer.xfer_ident} waits: {sentence}", refused=refusals)
    if not history.count("accepted"):
        raise RelayRefused(f"{transfer.xfer_ident} was refused: {sentence}", refused=refusals)
    if refusals:
        log.warning("%s was refused for some recipients: %s", transfer.xfer_ident, sentence)
    return Sent(
        transfer.key,
        transfer.xfer_ident,
        transfer.message_id,
        recipients=len(transfer.recipients),
        accepted=history.count("accepted"),
        refused=history.count("refused"),
        octets=octets,
        attempts=history.done,
        requested=transfer.requested,
        ack_deadline=transfer.ack_deadline,
    )
