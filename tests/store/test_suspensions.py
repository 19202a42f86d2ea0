"""A suspension is an object: there or not."""

from __future__ import annotations

import pytest

from airflow_pop3_gateway.errors import StoreCorrupt
from airflow_pop3_gateway.records import SUSPENSION_SCHEMA, Suspension
from airflow_pop3_gateway.store import Store, layout, suspensions

FIRST = Suspension(SUSPENSION_SCHEMA, "edi in/box", "2026-11-23T11:00:00.000Z", "ann", "maintenance")


def test_the_first_reason_stays_until_the_site_is_resumed(any_store: Store) -> None:
    assert suspensions.find(any_store, FIRST.site) is None
    assert suspensions.suspend(any_store, FIRST)
    assert not suspensions.suspend(any_store, Suspension(SUSPENSION_SCHEMA, FIRST.site, "later", "bob"))
    assert suspensions.find(any_store, FIRST.site) == FIRST
    assert suspensions.resume(any_store, FIRST.site)
    assert not suspensions.resume(any_store, FIRST.site)
    assert suspensions.find(any_store, FIRST.site) is None


def test_what_is_no_suspension_is_told(any_store: Store) -> None:
    any_store.put(layout.suspension("x"), b"{")
    with pytest.raises(StoreCorrupt, match="suspended/x"):
        suspensions.find(any_store, "x")
