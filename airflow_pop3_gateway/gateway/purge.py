"""Purge: what nobody needs any more leaves the store (Gateway: *pelpur*).

Strategy: a batch may go when its lines lie in ``transfers/``, the ledger has its mails, and it is old enough; a folder
without a manifest is rubbish of a session that died and goes when no session can still be at it. Records, files and
lines are the product and the memory of duplicates: they stay.

Invariant: a mail that was not classified is never purged; neither is what tells the next session that a mail is stored.
"""

from __future__ import annotations

from datetime import timedelta

from airflow_pop3_gateway.config import RemoteSite, at_least
from airflow_pop3_gateway.gateway.clock import Clock, utc_now
from airflow_pop3_gateway.records import Purged
from airflow_pop3_gateway.store import Store, answers, layout, outbox
from airflow_pop3_gateway.store.ledger import Ledger

ABANDONED_AFTER = timedelta(days=2)
"""A batch without a manifest, and an object without its name, may still be written: no session lasts this long."""


def purge(site: RemoteSite, store: Store, *, days: float = 30, now: Clock = utc_now) -> Purged:
    """Remove raw mails, sent receipts' attempts, and requests for receipts that nobody answered, after some days;
    and what writers that died left half done, whoever's they were.

    :param days: age in days since the batch was begun; with 0 everything that is done goes.
    :returns: how many batches were removed, and how many old ones stayed because they are not classified, or because
        their session died and no other has taken them over.
    :raises ConfigurationError: when ``days`` is negative.
    :raises StoreCorrupt: when the ledger cannot be read.
    """
    at_least("days", days, 0)
    old = layout.batch_name(now() - timedelta(days=days), "f" * 8)
    dead = layout.batch_name(now() - max(timedelta(days=days), ABANDONED_AFTER), "f" * 8)
    removed = unfinished = 0
    batches = store.names(layout.spool(site.name))
    ledger = Ledger.load(store, site.name)
    orphaned = set(ledger.announced) - set(ledger.batches)
    for batch in filter(layout.is_batch, batches):
        committed = store.exists(layout.manifest(site.name, batch))
        if batch > (old if committed else dead):
            continue
        if committed and (batch in orphaned or not store.exists(layout.transfers(site.name, batch))):
            unfinished += 1
            continue
        store.delete_tree(layout.spool(site.name, batch))
        removed += 1
    unpublished = store.forget_unpublished((now() - ABANDONED_AFTER).timestamp())
    outbox.forget_hours(store, site.name, now())
    outbox.forget_refused(store, site.name, now() - timedelta(days=days))
    return Purged(
        site.name,
        batches=removed,
        unfinished=unfinished,
        receipts=outbox.forget_attempts(store),
        requests=answers.forget(store, site.name, old),
        unpublished=unpublished,
    )
