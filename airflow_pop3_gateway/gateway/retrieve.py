"""Retrieve: one session empties a maildrop into the spool, and loses nothing at any step.

The order of the steps is the guarantee::

    1  log in, list                what the server holds
    2  reconcile                   what the ledger knows: confirmed gone, delete again after proof, new
    3  announce the batch          from here on a dead session can be told from its manifest
    4  RETR → segments             exact octets, digested on the way
    5  manifest                    the commit: all mails of the session at once
    6  DELE, QUIT                  a deletion counts only when QUIT was answered
    7  ledger                      how each mail ended

Invariant: no DELE before the manifest that holds the mail is published; no second copy of octets that are stored; a
mail that cannot be had is passed over and the others go on; a connection that is lost costs the mails that were not
whole yet, no other.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import Pop3Error
from airflow_pop3_gateway.gateway.clock import Clock, utc_now
from airflow_pop3_gateway.gateway.listing import Listing, MailClient, take_listing
from airflow_pop3_gateway.gateway.reconcile import Retention, reconcile
from airflow_pop3_gateway.records import LedgerState, Retrieved
from airflow_pop3_gateway.store import Store, layout
from airflow_pop3_gateway.store.ledger import Ledger
from airflow_pop3_gateway.store.spool import SpoolWriter

log = logging.getLogger(__name__)

Progress = Callable[[int, int, int], None]


class Connect(Protocol):
    """Opens a logged-in client as a context manager (``Pop3Client.connect``)."""

    def __call__(self, site: RemoteSite, *, listings: bool) -> AbstractContextManager[MailClient]: ...


def no_progress(messages: int, octets: int, total: int) -> None:
    """Tell nobody."""


def retrieve(
    site: RemoteSite,
    store: Store,
    connect: Connect,
    *,
    now: Clock = utc_now,
    on_progress: Progress = no_progress,
) -> Retrieved:
    """Run one session.

    :param on_progress: called with (messages, octets, messages to fetch) after each mail.
    :returns: what was stored, and every batch of the site that waits to be classified.
    :raises Pop3Error: when the session failed and nothing new was stored.
    :raises StoreError: when the journal could not be written; nothing was deleted then.
    """
    started = time.monotonic()
    retention = Retention(site, store, now())
    with connect(site, listings=True) as client:
        # Only now: where the server locks, the session before this one has committed whatever it deleted.
        ledger = Ledger.load(store, site.name)
        ledger.recover(store, retention.first_state)
        ledger.settle(store, retention.started_at)
        listing = take_listing(client, site, retention.started_at)
        result = _Session(site, store, ledger, client, listing, retention, now, on_progress).run()
    return msgspec.structs.replace(
        result, batches=tuple(ledger.batches), seconds=round(time.monotonic() - started, 3)
    )


@dataclass
class _Session:
    site: RemoteSite
    store: Store
    ledger: Ledger
    client: MailClient
    listing: Listing
    retention: Retention
    now: Clock
    on_progress: Progress
    again: dict[int, str] = field(default_factory=dict)
    """Numbers whose octets a batch before had stored, under this UIDL."""

    def run(self) -> Retrieved:
        """Steps 2 to 7."""
        doomed, wanted = reconcile(self.ledger, self.listing, self.client, self.retention)
        fitting = self._fitting(wanted)
        chosen = self._within_bounds(fitting)
        spool, trouble = self._fetch(chosen, doomed)
        fresh = list(spool.arrived)
        self._commit(spool)
        doomed += self.again
        if self.retention.deletes_now:
            doomed += fresh
        self._mark(doomed, "DELETE_PENDING")
        deleted: list[int] = []
        if trouble is None:
            deleted, trouble = self._delete_and_quit(doomed)
        self._mark(deleted, "DELETED")
        self._note_refusals(spool)
        self.ledger.save(self.store)
        if trouble is not None and not fresh:
            raise trouble
        return Retrieved(
            self.site.name,
            batch=spool.batch if fresh else None,
            messages=len(fresh),
            octets=spool.octets,
            deleted=len(deleted),
            kept=sum(entry.state in ("KEPT", "COMMITTED") for entry in self.ledger.entries.values()),
            known=len(self.listing.sizes) - len(wanted),
            refused=len(spool.refusals) + len(spool.empty),
            too_large=len(wanted) - len(fitting) + len(spool.too_large),
            more=trouble is not None or len(chosen) < len(fitting),
            interrupted=str(trouble or ""),
        )

    def _fitting(self, wanted: Sequence[int]) -> list[int]:
        """Not too large; mails that were refused before come last, so that they never starve the others."""
        most = self.site.max_message_bytes
        fitting = [n for n in wanted if most is None or self.listing.sizes[n] <= most]
        return sorted(fitting, key=lambda n: (self.ledger.refusals.get(self.listing.names[n], 0), n))

    def _within_bounds(self, fitting: Sequence[int]) -> list[int]:
        chosen: list[int] = []
        octets = 0
        for number in fitting[: self.site.max_messages]:
            octets += self.listing.sizes[number]
            if chosen and self.site.max_bytes is not None and octets > self.site.max_bytes:
                break
            chosen.append(number)
        return chosen

    def _fetch(self, numbers: Sequence[int], doomed: Sequence[int]) -> tuple[SpoolWriter, Pop3Error | None]:
        """Steps 3 and 4. :returns: what arrived whole, and what broke the session on the way."""
        spool = SpoolWriter(
            self.store,
            self.site.name,
            layout.batch_name(self.retention.started_at, secrets.token_hex(4)),
            self.listing.names,
            self.listing.sizes,
            now=lambda: layout.timestamp(self.now()),
            state=self.retention.first_state,
            max_message_bytes=self.site.max_message_bytes,
            stored_before=self._recogniser(doomed),
            on_mail=lambda messages, octets: self.on_progress(messages, octets, len(numbers)),
        )
        trouble: Pop3Error | None = None
        if numbers:
            self.ledger.open(self.store, spool.batch)
            try:
                self.client.retrieve(numbers, spool)
            except Pop3Error as error:
                log.warning(
                    "%s: the session broke after %d mails: %s", self.site.name, len(spool.arrived), error
                )
                trouble = error
            except BaseException:
                spool.discard()
                raise
            spool.close()
        return spool, trouble

    def _recogniser(self, doomed: Sequence[int]) -> Callable[[int, str, int], bool]:
        """Tells mails that are due and came again: the proof by TOP failed, or their UIDL changed.

        A mail with the octets of one that is doomed already is another one: a true duplicate.
        """
        proven = {self.listing.names[number] for number in doomed}
        due: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        for uidl, entry in self.ledger.entries.items():
            if uidl not in proven and self.retention.is_due(entry):
                due[entry.sha256, entry.list_size].append(uidl)

        def stored_before(number: int, sha256: str, list_size: int) -> bool:
            if not (alike := due.get((sha256, list_size))):
                return False
            self.again[number] = alike.pop()
            return True

        return stored_before

    def _commit(self, spool: SpoolWriter) -> None:
        """Step 5."""
        # All leave their places before one takes another's: a server that numbers its mails moves them in a circle.
        moved = {number: self.ledger.entries.pop(uidl) for number, uidl in self.again.items()}
        self.ledger.entries.update((self.listing.names[number], entry) for number, entry in moved.items())
        if spool.arrived:
            spool.commit()
            for number, entry in spool.arrived.items():
                self.ledger.entries[self.listing.names[number]] = entry
        elif self.again:
            self.store.delete_tree(layout.spool(self.site.name, spool.batch))
        if spool.batch in self.ledger.announced:
            self.ledger.close(spool.batch, committed=bool(spool.arrived))

    def _delete_and_quit(self, doomed: Sequence[int]) -> tuple[list[int], Pop3Error | None]:
        """Step 6. :returns: numbers whose deletion the server confirmed, and what went wrong."""
        if not doomed:
            self.client.leave()
            return [], None
        try:
            refused = self.client.quit(sorted(doomed))
        except Pop3Error as error:
            log.warning(
                "%s: deletions are not certain, the next session checks them: %s", self.site.name, error
            )
            return [], error
        for number, refusal in refused.items():
            log.warning("%s: message %d was not deleted: %s", self.site.name, number, refusal)
        return [number for number in doomed if number not in refused], None

    def _mark(self, numbers: Sequence[int], state: LedgerState) -> None:
        for number in numbers:
            uidl = self.listing.names[number]
            if (entry := self.ledger.entries[uidl]).state != state:
                self.ledger.entries[uidl] = entry.become(state)

    def _note_refusals(self, spool: SpoolWriter) -> None:
        listed = self.listing.numbers.keys()
        refusals = {uidl: count for uidl, count in self.ledger.refusals.items() if uidl in listed}
        for number in (*spool.refusals, *spool.empty, *spool.too_large):
            uidl = self.listing.names[number]
            refusals[uidl] = refusals.get(uidl, 0) + 1
        self.ledger.refusals = refusals
