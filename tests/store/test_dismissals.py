"""What was dismissed is known by the day of its batch, and each day is asked for once."""

from __future__ import annotations

import pytest

from airflow_pop3_gateway.records import DISMISSAL_SCHEMA, Dismissal
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.store.dismissals import Dismissed, dismiss

FIRST, SECOND = (f"20261123T080000000Z-00000000-00000{number}" for number in (1, 2))
NEXT_DAY = "20261124T080000000Z-00000000-000001"


def test_each_day_is_listed_once(any_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for ident in (FIRST, NEXT_DAY):
        dismiss(
            any_store, Dismissal(DISMISSAL_SCHEMA, "edi", ident, "0" * 40, "2026-11-30T00:00:00.000Z", "ops")
        )
    listed: list[str] = []
    names = any_store.names
    monkeypatch.setattr(any_store, "names", lambda folder: listed.append(folder) or names(folder))
    dismissed = Dismissed(any_store)
    assert [ident in dismissed for ident in (FIRST, SECOND, NEXT_DAY)] == [True, False, True]
    assert listed == ["dismissed/2026/11/23", "dismissed/2026/11/24"]
