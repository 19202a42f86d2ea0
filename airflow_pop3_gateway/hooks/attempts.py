"""What the attempts of a task have got: one that is tried again, or cleared, gets it again.

Strategy: a batch that is classified waits for nobody any more, so the names of the batches a task got are written into
its state, which Airflow keeps for all its attempts, before anything is done with them.

Invariant: within one attempt a batch is got once; what a task got in one run, no other run is told of by this.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from airflow.sdk import get_current_context

KEY = "pop3_batches"
_told: set[tuple[str, str]] = set()
"""Attempts, and batches they were told of."""


def got(place: str, batches: Iterable[str]) -> list[str]:
    """Batches of this attempt, and of those before it.

    :param place: what tells one maildrop's from another's; :param batches: those that wait now.
    :returns: without those that this attempt was told of; outside of a task, what was given.
    """
    try:
        context = get_current_context()
    except RuntimeError:
        return list(batches)
    state, attempt = context["task_state_store"], str(context["ti"].id)  # a new id for each attempt
    before = cast("dict[str, Any]", state.get(KEY, {}))
    every = sorted({*before.get(place, ()), *batches})
    if every != before.get(place, []):
        state.set(KEY, {**before, place: every})
    fresh = [batch for batch in every if (attempt, batch) not in _told]
    _told.update((attempt, batch) for batch in fresh)
    return fresh
