"""Mails in quarantine that a person dismissed: that the object exists is the dismissal.

Strategy: they lie by the day of their batch, as the lines that tell of their mails do, so that whoever reads the lines
of a day asks once what of it was dismissed.

Invariant: of two people who dismiss a mail the first one's reason stays; the mail, its record and its line stay what
they are.
"""

from __future__ import annotations

import contextlib

from airflow_pop3_gateway.errors import AlreadyStored
from airflow_pop3_gateway.records import Dismissal, as_json
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.store.objects import Store


def dismiss(store: Store, dismissal: Dismissal) -> None:
    """Write down that a mail needs nobody, unless somebody did."""
    with contextlib.suppress(AlreadyStored):
        store.put(layout.dismissal(dismissal.local_ident), as_json(dismissal))


class Dismissed:
    """The local idents of what was dismissed; a day is listed when the first of its mails is asked for."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._days: dict[str, frozenset[str]] = {}

    def __contains__(self, local_ident: str) -> bool:
        folder, _, name = layout.dismissal(local_ident).rpartition("/")
        if folder not in self._days:
            self._days[folder] = frozenset(self._store.names(folder))
        return name in self._days[folder]
