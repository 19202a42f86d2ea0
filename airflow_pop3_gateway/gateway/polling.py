"""Whether a site is polled (Gateway: *poll_mode*), and how it stands (Gateway: *status_site*).

Strategy: before a session begins it asks :func:`hold`; a suspension lies in the store, so it survives restarts and
every worker sees it, and polling windows are the connection's. What a person asks for by name is not held.

Invariant: a session that runs is left alone, and so is what comes after it: mails that are stored are classified and
acknowledged whether their site is polled or not.
"""

from __future__ import annotations

from collections import Counter
from datetime import datetime

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.gateway.clock import Clock, utc_now
from airflow_pop3_gateway.gateway.retrieve import Connect, Progress, no_progress, retrieve
from airflow_pop3_gateway.records import SUSPENSION_SCHEMA, Retrieved, SiteStatus, Suspension
from airflow_pop3_gateway.store import Store, answers, layout, outbox, suspensions
from airflow_pop3_gateway.store.ledger import Ledger, waiting_batches


def hold(site: RemoteSite, store: Store, now: datetime) -> str:
    """Why no session may begin now, ``""`` when one may."""
    suspension = suspensions.find(store, site.name)
    if suspension is not None:
        reason = f": {suspension.reason}" if suspension.reason else ""
        return f"suspended since {suspension.since} by {suspension.by}{reason}"
    if now not in site.polling_windows:
        opening = layout.timestamp(site.polling_windows.next_opening(now))
        return f"outside its polling windows ({site.polling_windows}) until {opening}"
    return ""


def poll(
    site: RemoteSite,
    store: Store,
    connect: Connect,
    *,
    now: Clock = utc_now,
    on_progress: Progress = no_progress,
) -> Retrieved:
    """:func:`~airflow_pop3_gateway.gateway.retrieve.retrieve`, unless the site is held.

    :returns: of a held site: why, and the batches that wait to be classified all the same.
    """
    why = hold(site, store, now())
    if why:
        return Retrieved(site.name, batches=tuple(waiting_batches(store, site.name)), held=why)
    return retrieve(site, store, connect, now=now, on_progress=on_progress)


def suspend(site: str, store: Store, now: datetime, *, by: str, reason: str = "") -> bool:
    """Suspend the polling of a site, until :func:`resume`. :returns: whether it was polled before."""
    return suspensions.suspend(store, Suspension(SUSPENSION_SCHEMA, site, layout.timestamp(now), by, reason))


def resume(site: str, store: Store) -> bool:
    """Poll a site again. :returns: whether it was suspended."""
    return suspensions.resume(store, site)


def status(site: RemoteSite, store: Store, now: datetime) -> SiteStatus:
    """How a site stands, as far as the store knows; nothing is changed, nobody is connected."""
    ledger = Ledger.load(store, site.name)
    batches = store.names(layout.spool(site.name))
    return SiteStatus(
        site=site.name,
        address=str(site.address),
        login=site.login,
        held=hold(site, store, now),
        polling_windows=str(site.polling_windows),
        last_batch=max(filter(layout.is_batch, batches), default=None),
        waiting_batches=tuple(waiting_batches(store, site.name)),
        pending_receipts=len(outbox.pending(store, site.name)),
        refused_receipts=len(outbox.refused(store, site.name)),
        waiting_requests=len(answers.waiting(store, site.name)),
        ledger=dict(Counter(entry.state for entry in ledger.entries.values())),
        refusals=len(ledger.refusals),
    )
