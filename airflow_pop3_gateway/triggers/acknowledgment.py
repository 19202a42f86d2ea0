"""Waits for an acknowledgment in place of a worker: what a deferred ``AcknowledgmentSensor`` leaves behind.

Strategy: the store is asked, never a mail server; whoever polls the mailbox appends what comes. A look is one request
that counts events; only when their number has changed, or at the deadline, they are read.

Invariant: one event, then it is over: the transfer waits no longer, its deadline has passed, or it cannot be found. A
store that fails postpones the next look, and is told when it changes. Nothing but key and place is serialised, so a
triggerer that is started again goes on.
"""

# mypy: allow-untyped-calls
# The constructors of Airflow's triggers and events have no types.

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_pop3_gateway.errors import GatewayError
from airflow_pop3_gateway.gateway.clock import utc_now
from airflow_pop3_gateway.gateway.track import Tracked, tracked
from airflow_pop3_gateway.hooks.store import forget_store, kept_store
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.store.sent import count_events
from airflow_pop3_gateway.triggers.watch import in_thread

_threads = ThreadPoolExecutor(8, "pop3-acknowledgments")
"""Of its own: a store that hangs keeps neither the event loop's busy nor those of the watchers."""


class AcknowledgmentTrigger(BaseTrigger):
    """Fires when a transfer no longer waits for its acknowledgment, or waits too long.

    :param key: of the transfer; :param base_path: where it lies; :param poke_interval: seconds between two looks.
    """

    def __init__(self, *, key: str, base_path: str, poke_interval: float) -> None:
        super().__init__()
        self.key = key
        self.base_path = base_path
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        return f"{type(self).__module__}.{type(self).__name__}", {
            "key": self.key,
            "base_path": self.base_path,
            "poke_interval": self.poke_interval,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until it is over: ``{"tracked": …}``, or ``{"error": class, "message": sentence}``."""
        look, told = _Look(self.key, self.base_path), ""
        while True:
            pause = self.poke_interval
            try:
                found = await in_thread(look, threads=_threads)
            except GatewayError as error:
                if not error.retriable:
                    yield TriggerEvent({"error": type(error).__name__, "message": str(error)})
                    return
                forget_store(self.base_path)
                trouble = f"{type(error).__name__}: {error}"
                if trouble != told:
                    self.log.warning("%s: %s", self.key, trouble)
                    told = trouble
            else:
                told = ""
                if found.overdue or not found.status.waits:
                    yield TriggerEvent({"tracked": found.to_json()})
                    return
                if found.ack_deadline is not None:
                    left = (layout.moment(found.ack_deadline) - utc_now()).total_seconds()
                    pause = min(pause, max(left, 0))
            await asyncio.sleep(pause)


class _Look:
    """Looks at one transfer; remembers what it read."""

    def __init__(self, key: str, base_path: str) -> None:
        self._key, self._base_path = key, base_path
        self._events = -1
        self._found: Tracked | None = None

    def __call__(self) -> Tracked:
        store = kept_store(self._base_path)
        now = utc_now()
        events = count_events(store, self._key)
        deadline = self._found.ack_deadline if self._found else None
        if (
            self._found is None
            or events != self._events
            or (deadline is not None and deadline <= layout.timestamp(now))
        ):
            self._found = tracked(store, self._key, now)
            self._events = events
        return self._found
