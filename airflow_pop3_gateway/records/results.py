"""What a use case brought: counts and references, small enough to travel between tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from airflow_pop3_gateway.records.jsonable import Jsonable


class Retrieved(Jsonable, frozen=True):
    """What one session brought: the small reference that travels by XCom.

    :ivar batch: the batch of this session, ``None`` when nothing new was stored; :ivar batches: every batch of the
        site that still waits to be classified, this one included; :ivar more: mail is left because of a bound;
        :ivar held: why no session was opened (suspended, outside the polling windows), ``""`` when one was.
    """

    site: str
    batch: str | None = None
    batches: tuple[str, ...] = ()
    messages: int = 0
    octets: int = 0
    deleted: int = 0
    kept: int = 0
    known: int = 0
    refused: int = 0
    too_large: int = 0
    more: bool = False
    interrupted: str = ""
    held: str = ""
    seconds: float = 0.0


class Classified(Jsonable, frozen=True):
    """What one classification brought: counts, and where the lines are.

    :ivar transfers: keys of the ``transfers/….jsonl`` objects; :ivar types: TYPE → count; :ivar applications:
        Application → count; :ivar by_application: Application → ``messages``, ``files``, ``octets`` and ``types`` of
        its records that were not canceled; :ivar receipts: acknowledgments put into the outbox for these batches.
    """

    site: str
    batches: tuple[str, ...] = ()
    transfers: tuple[str, ...] = ()
    messages: int = 0
    files: int = 0
    octets: int = 0
    types: Mapping[str, int] = msgspec.field(default_factory=dict)
    applications: Mapping[str, int] = msgspec.field(default_factory=dict)
    by_application: Mapping[str, Mapping[str, Any]] = msgspec.field(default_factory=dict)
    recovered: int = 0
    duplicates: int = 0
    canceled: int = 0
    receipts: int = 0
    seconds: float = 0.0


class HandedOn(Jsonable, frozen=True):
    """What one sweep found for those who process the records of an Application.

    :ivar consumer: who processes them; :ivar keys: of the records that are handed on now; :ivar waiting: handed on
        before and not processed yet; :ivar more: records are left for the next sweep because of its bound.
    """

    application: str
    consumer: str
    keys: tuple[str, ...] = ()
    waiting: int = 0
    more: bool = False


class Acknowledged(Jsonable, frozen=True):
    """What one run of the outbox brought.

    :ivar sent: accepted by the relay; :ivar refused: refused for good, or given up; :ivar postponed: still pending,
        because the relay said "later" or another worker is at it; :ivar waiting: still pending, because the relay said
        so before and their next attempt is not due; :ivar limited: still pending, because enough went to their
        addresses within the hour.
    """

    site: str
    sent: int = 0
    refused: int = 0
    postponed: int = 0
    waiting: int = 0
    limited: int = 0


class Replayed(Jsonable, frozen=True):
    """What one replay found.

    :ivar differences: mails that would be something else now; :ivar report: key of the lines.
    """

    site: str
    batches: int = 0
    messages: int = 0
    differences: int = 0
    report: str | None = None


class Purged(Jsonable, frozen=True):
    """What one purge removed."""

    site: str
    batches: int = 0
    unfinished: int = 0
    receipts: int = 0
    requests: int = 0
    unpublished: int = 0


class SiteStatus(Jsonable, frozen=True):
    """How a site stands (Gateway: *status_site*).

    :ivar held: why no session begins now, ``""`` when one may; :ivar last_batch: of the last session that stored mail;
        :ivar ledger: LedgerState → count; :ivar refusals: mails the server did not give in the last session.
    """

    site: str
    address: str
    login: str
    held: str
    polling_windows: str
    last_batch: str | None
    waiting_batches: tuple[str, ...] = ()
    pending_receipts: int = 0
    refused_receipts: int = 0
    waiting_requests: int = 0
    ledger: Mapping[str, int] = msgspec.field(default_factory=dict)
    refusals: int = 0
