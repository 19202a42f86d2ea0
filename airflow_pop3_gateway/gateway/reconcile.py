"""Reconcile: what the ledger remembers against what the server lists.

Strategy: a UIDL alone is not believed. A mail is *known* when UIDL and LIST size are those of the ledger; it may be
*deleted* without a download only when TOP still gives the header block that was stored. When most kept UIDLs are
gone at once, the server may have changed them (an *epoch*: migration, rebuilt index), and the mails are recognised by
header block and size.

Invariant: what is doomed is stored; what is neither known nor doomed is wanted. A wrong guess here costs a second
download, which the session recognises by its octets, never a mail.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.gateway.listing import Listing, MailClient, head_digests
from airflow_pop3_gateway.records import LedgerEntry, LedgerState
from airflow_pop3_gateway.store import Store, layout
from airflow_pop3_gateway.store.ledger import Ledger
from airflow_pop3_gateway.store.transfers import read_lines

log = logging.getLogger(__name__)

FORGET_AFTER = timedelta(days=30)
"""A kept mail that is no longer listed stays in the ledger this long: servers come back from an empty listing."""
EPOCH_OVERLAP = 0.5
"""Fewer than this share of the kept UIDLs still listed: the server may have changed its UIDLs."""


@dataclass
class Retention:
    """When a stored mail leaves the server: ``retention``, ``retention_days``, ``error_mail_disposal`` of the site."""

    site: RemoteSite
    store: Store
    started_at: datetime
    _left: dict[str, set[int] | None] = field(default_factory=dict)

    @property
    def deletes_now(self) -> bool:
        """Whether a session deletes what it stores; otherwise a later one does, after its proof."""
        site = self.site
        return site.retention == "delete" and not site.retention_days and site.error_mail_disposal != "leave"

    @property
    def first_state(self) -> LedgerState:
        """The state of a mail whose manifest was just committed."""
        if self.deletes_now:
            return "DELETE_PENDING"
        return "COMMITTED" if self.site.error_mail_disposal == "leave" else "KEPT"

    def is_due(self, entry: LedgerEntry) -> bool:
        """Whether a mail that is stored and still listed is to be deleted now."""
        if entry.state in ("DELETE_PENDING", "DELETED"):
            return True
        if self.site.retention == "keep" or entry.why == "left":
            return False
        if entry.state == "COMMITTED" and self.outcome(entry) != "good":
            return False
        return self.started_at - layout.moment(entry.stored_at) >= timedelta(
            days=self.site.retention_days or 0
        )

    def outcome(self, entry: LedgerEntry) -> str:
        """What classification made of a mail: ``good``, ``left`` (error_mail_disposal=leave) or ``waiting``."""
        if entry.batch not in self._left:
            lines = read_lines(self.store, self.site.name, entry.batch)
            self._left[entry.batch] = (
                None
                if lines is None
                else {line["raw"]["index"] for line in lines if line["disposal"] == "leave"}
            )
        left = self._left[entry.batch]
        return "waiting" if left is None else "left" if entry.index in left else "good"


def reconcile(
    ledger: Ledger, listing: Listing, client: MailClient, retention: Retention
) -> tuple[list[int], list[int]]:
    """Bring the ledger up to date with a listing.

    :returns: numbers that are stored, proven and due for DELE; numbers that are wanted.
    """
    known: dict[int, LedgerEntry] = {}
    for uidl, entry in list(ledger.entries.items()):
        number = listing.numbers.get(uidl)
        if number is None:
            _not_listed(ledger, uidl, entry, retention.started_at)
        elif listing.sizes[number] == entry.list_size:
            known[number] = ledger.entries[uidl] = _seen(entry, retention)
    if len(known) < len(listing.sizes) and _epoch_changed(ledger, known):
        _adopt(ledger, listing, client, known)
    due = [number for number, entry in known.items() if retention.is_due(entry)]
    heads = head_digests(client, due)
    doomed = [number for number in due if known[number].head_sha256 in heads.get(number, ())]
    passed_over = known.keys() - (set(due) - set(doomed))
    return doomed, [number for number in listing.sizes if number not in passed_over]


def _seen(entry: LedgerEntry, retention: Retention) -> LedgerEntry:
    if entry.state == "COMMITTED" and retention.outcome(entry) == "left":
        return msgspec.structs.replace(entry, state="KEPT", why="left", gone_since=None)
    return msgspec.structs.replace(entry, gone_since=None) if entry.gone_since else entry


def _not_listed(ledger: Ledger, uidl: str, entry: LedgerEntry, now: datetime) -> None:
    if entry.state in ("DELETE_PENDING", "DELETED"):
        del ledger.entries[uidl]
    elif entry.gone_since is None:
        ledger.entries[uidl] = msgspec.structs.replace(entry, gone_since=layout.timestamp(now))
    elif now - layout.moment(entry.gone_since) > FORGET_AFTER:
        del ledger.entries[uidl]


def _epoch_changed(ledger: Ledger, known: dict[int, LedgerEntry]) -> bool:
    remembered = sum(entry.state in ("KEPT", "COMMITTED") for entry in ledger.entries.values())
    return remembered > 0 and len(known) < remembered * EPOCH_OVERLAP


def _adopt(ledger: Ledger, listing: Listing, client: MailClient, known: dict[int, LedgerEntry]) -> None:
    """New UIDLs, old mails: the same header block and LIST size is the same mail."""
    lost: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
    for uidl, entry in ledger.entries.items():
        if uidl not in listing.numbers and entry.head_sha256:
            lost[entry.head_sha256, entry.list_size].append(uidl)
    new = [number for number in listing.sizes if number not in known]
    adopted = 0
    for number, heads in head_digests(client, new).items():
        alike = next(filter(None, (lost.get((head, listing.sizes[number])) for head in heads)), None)
        if alike is not None:
            entry = msgspec.structs.replace(ledger.entries.pop(alike.pop()), gone_since=None)
            known[number] = ledger.entries[listing.names[number]] = entry
            adopted += 1
    log.warning("%s: most known UIDLs are gone; %d mails recognised by their headers.", ledger.site, adopted)
