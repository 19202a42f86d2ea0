"""The outbox: acknowledgments of ours, PENDING before SMTP and SENT after.

Strategy: the finished message is stored before anybody connects to a relay, so that every attempt sends the same
octets under the same Message-ID. An attempt is claimed before it is made.

Invariant: one receipt for each message and recipient, for its key is the digest of the two; a receipt that is SENT
or REFUSED is never sent again.
"""

from __future__ import annotations

import contextlib
import json
from datetime import datetime

import msgspec

from airflow_pop3_gateway.errors import AlreadyStored, StoreCorrupt
from airflow_pop3_gateway.records import Receipt, as_json
from airflow_pop3_gateway.store import attempts, layout
from airflow_pop3_gateway.store.objects import Store


def enqueue(store: Store, receipt: Receipt) -> bool:
    """Put a receipt into the outbox. :returns: whether it is new."""
    mark = _mark(receipt)
    with contextlib.suppress(AlreadyStored):
        store.put(mark, b"")
    try:
        store.put(layout.receipt(receipt.key), as_json(receipt))
    except AlreadyStored:
        first = read(store, receipt.key)
        if first.state != "PENDING" or _mark(first) != mark:
            store.delete(mark)
        return False
    return True


def _mark(receipt: Receipt) -> str:
    return layout.pending_receipt(receipt.site, receipt.created_at, receipt.key)


def read(store: Store, key: str) -> Receipt:
    """The receipt under a key. :raises StoreCorrupt: when it is missing or not a receipt."""
    data = store.read(layout.receipt(key))
    try:
        return Receipt.from_json(json.loads(data))
    except (ValueError, TypeError) as error:
        raise StoreCorrupt(f"{layout.receipt(key)} cannot be read: {error}", key=key) from None


def pending(store: Store, site: str) -> list[str]:
    """Keys of the receipts of a site that still have to go out, the oldest first."""
    keys = (name.rpartition("-")[2] for name in store.names(layout.pending_receipt(site)))
    return [key for key in keys if store.exists(layout.receipt(key))]


def refused(store: Store, site: str) -> list[str]:
    """Keys of the receipts of a site that were refused or given up, as far as no purge forgot them."""
    return store.names(layout.refused_receipt(site))


def forget_refused(store: Store, site: str, before: datetime) -> None:
    """Forget that receipts were refused which were made before a time; the receipts stay."""
    for key in refused(store, site):
        if layout.moment(read(store, key).created_at) < before:
            store.delete(layout.refused_receipt(site, key))


def claim(store: Store, receipt: Receipt, now: datetime) -> int | None:
    """Claim the next attempt. :returns: its number, ``None`` while another worker is at it."""
    return attempts.claim(
        store, lambda number: layout.receipt_attempt(receipt.key, number), receipt.attempts, now
    )


def settle(store: Store, receipt: Receipt, **outcome: object) -> Receipt:
    """Write down how an attempt ended; who is no longer PENDING loses the mark for it, who is REFUSED gets another."""
    settled = msgspec.structs.replace(receipt, **outcome)
    store.replace(layout.receipt(receipt.key), as_json(settled))
    if settled.state == "REFUSED":
        with contextlib.suppress(AlreadyStored):
            store.put(layout.refused_receipt(receipt.site, receipt.key), b"")
    if settled.state != "PENDING":
        store.delete(_mark(receipt))
    return settled


def keys_of_hour(store: Store, receipt: Receipt, now: datetime) -> set[str]:
    """The receipts to the same address that a relay was asked to take within this hour."""
    return set(store.names(layout.receipts_of_hour(receipt.site, now, receipt.recipient)))


def count_hour(store: Store, receipt: Receipt, now: datetime) -> None:
    """Write down that a relay is asked to take a receipt; of several attempts within an hour one counts."""
    with contextlib.suppress(AlreadyStored):
        store.put(layout.receipts_of_hour(receipt.site, now, receipt.recipient, receipt.key), b"")


def forget_hours(store: Store, site: str, now: datetime) -> None:
    """Remove what went out in hours that are over."""
    this_hour = layout.receipts_of_hour(site, now).rpartition("/")[2]
    for hour in store.names(layout.receipts_of_hour(site)):
        if hour < this_hour:
            store.delete_tree(f"{layout.receipts_of_hour(site)}/{hour}")


def forget_attempts(store: Store) -> int:
    """Remove the claims of receipts that are settled. :returns: of how many receipts."""
    settled = 0
    for key in store.names("outbox/attempts"):
        if read(store, key).state != "PENDING":
            store.delete_tree(f"outbox/attempts/{key}")
            settled += 1
    return settled
