"""Who hands on and who processes the records of a batch: claims and marks, for one consumer.

Strategy: a claim is an object under the next free number of its folder, with its owner and time; the last one counts.
Who created it goes on with it at every attempt; another may take over when it is older than its lease. Marks are
created once and never changed. There is no list of what is left to do: it is the lines in ``transfers/`` without marks.

Invariant: of several who claim the same thing at the same time exactly one gets it; what was processed is never left to
anybody but the one who processed it.
"""

from __future__ import annotations

import contextlib
import json
from datetime import datetime, timedelta
from typing import Any

from airflow_pop3_gateway.errors import AlreadyStored, StoreCorrupt
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.store.objects import Store


def claim(store: Store, folder: str, owner: str, lease: timedelta, now: datetime) -> bool:
    """Claim what a folder stands for. :returns: whether the owner has it now."""
    claims = store.names(folder)
    if claims:
        last = _read(store, f"{folder}/{claims[-1]}")
        if last["owner"] == owner:
            return True
        if now - layout.moment(last["at"]) < lease:
            return False
    return _create(store, f"{folder}/{len(claims) + 1:04d}", owner, now)


def finish(store: Store, key: str, owner: str, now: datetime) -> None:
    """Mark as done; harmless when it was."""
    _create(store, key, owner, now)


def finished_by_another(store: Store, key: str, owner: str) -> bool:
    """Whether somebody else is done with it."""
    data = store.find(key)
    return data is not None and _parse(key, data)["owner"] != owner


def settle(store: Store, key: str) -> None:
    """Mark that nothing is left; harmless when it was."""
    with contextlib.suppress(AlreadyStored):
        store.put(key, b"")


def _create(store: Store, key: str, owner: str, now: datetime) -> bool:
    try:
        store.put(key, json.dumps({"owner": owner, "at": layout.timestamp(now)}).encode() + b"\n")
    except AlreadyStored:
        return False
    return True


def _read(store: Store, key: str) -> dict[str, Any]:
    return _parse(key, store.read(key))


def _parse(key: str, data: bytes) -> dict[str, Any]:
    try:
        mark: dict[str, Any] = json.loads(data)
        layout.moment(mark["at"])
        str(mark["owner"])
    except (ValueError, TypeError, KeyError) as error:
        raise StoreCorrupt(f"{key} cannot be read: {error}", key=key) from None
    return mark
