"""Sites whose polling is suspended: that the object exists is the suspension.

Invariant: it survives every restart, for nothing but :func:`resume` removes it; of two people who suspend a site the
first one's reason stays.
"""

from __future__ import annotations

import contextlib
import json

from airflow_pop3_gateway.errors import AlreadyStored, StoreCorrupt
from airflow_pop3_gateway.records import Suspension, as_json
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.store.objects import Store


def suspend(store: Store, suspension: Suspension) -> bool:
    """Suspend a site. :returns: whether it was not suspended before."""
    with contextlib.suppress(AlreadyStored):
        store.put(layout.suspension(suspension.site), as_json(suspension))
        return True
    return False


def resume(store: Store, site: str) -> bool:
    """Let a site be polled again. :returns: whether it was suspended."""
    suspended = find(store, site) is not None
    store.delete(layout.suspension(site))
    return suspended


def find(store: Store, site: str) -> Suspension | None:
    """The suspension of a site, ``None`` when it is polled."""
    data = store.find(layout.suspension(site))
    if data is None:
        return None
    try:
        return Suspension.from_json(json.loads(data))
    except (ValueError, TypeError) as error:
        key = layout.suspension(site)
        raise StoreCorrupt(f"{key} cannot be read: {error}", key=key) from None
