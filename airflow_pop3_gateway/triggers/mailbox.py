"""The doorbell: an asset watcher that rings when there is mail the ledger does not know.

Strategy: one stream for each maildrop tells every look (:func:`~airflow_pop3_gateway.triggers.watch.watch`); each
watcher of the maildrop decides by itself when that is worth a ring (:class:`Bell`). The stream is Airflow's fast path:
nothing is acknowledged, for nothing depends on a ring. What was rung for is remembered over restarts of the triggerer.

Invariant: a ring carries counts and no content. While mail is left it rings again, less and less often as long as
nothing changes, so that a ring that was lost is made good and none becomes a storm.
"""

# mypy: allow-untyped-calls
# The constructors of Airflow's triggers and events have no types.

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Hashable
from datetime import datetime, timedelta
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_pop3_gateway.gateway.clock import utc_now
from airflow_pop3_gateway.gateway.peek import Awaited, Sight
from airflow_pop3_gateway.records import digest_key
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.triggers.watch import Trouble, Watch, watch

log = logging.getLogger(__name__)

RING_AGAIN = 300.0
"""Seconds until the same mail is rung for again: longer than most runs take, short enough for a lost ring."""
AFTER_RESTART = 60.0
"""The same where a watcher begins anew: Airflow drops what one rings whose DAG is switched off at that moment."""
LEAST_OFTEN = 6 * 3600.0
"""Seconds between two rings for mail nobody can fetch: doubling stops here."""
HEARTBEAT = timedelta(minutes=10)
"""How old the last note in the asset's state may become while all stays the same."""


class Pop3MailboxTrigger(BaseEventTrigger):
    """Rings while there is mail at a mailbox; made by :func:`airflow_pop3_gateway.assets.mailbox`.

    :param pop3_conn_id: Airflow connection of type ``pop3``; its ``poll_interval`` says how often is looked.
    :param base_path: where the ledger lies; default: ``[pop3_gateway] base_path``.
    :param min_messages: ring for so many mails. :param min_bytes: and so many octets of them together.
    """

    def __init__(
        self, pop3_conn_id: str, base_path: str | None = None, min_messages: int = 1, min_bytes: int = 0
    ) -> None:
        super().__init__()
        self.pop3_conn_id = pop3_conn_id
        self.base_path = base_path
        self.awaited = Awaited(min_messages, min_bytes)

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        return f"{type(self).__module__}.{type(self).__name__}", {
            "pop3_conn_id": self.pop3_conn_id,
            "base_path": self.base_path,
            "min_messages": self.awaited.min_messages,
            "min_bytes": self.awaited.min_bytes,
        }

    def shared_stream_key(self) -> Hashable:
        """One login for all watchers of a maildrop."""
        return (type(self).__name__, self.pop3_conn_id, self.base_path)

    @classmethod
    async def open_shared_stream(cls, kwargs: dict[str, Any]) -> AsyncIterator[Sight | Trouble]:
        """Every look at the maildrop, for ever."""
        async for outcome in watch(Watch(kwargs["pop3_conn_id"], kwargs["base_path"])):
            yield outcome

    async def filter_shared_stream(
        self, shared_stream: AsyncIterator[Sight | Trouble]
    ) -> AsyncIterator[TriggerEvent]:
        """The looks that are worth a ring."""
        diary = Diary(self.asset_state_store)
        bell = Bell(self.awaited, await diary.recall())
        async for outcome in shared_stream:
            if isinstance(outcome, Sight) and bell.rings(outcome):
                counts = outcome.counts()
                log.info("%s: rings for %d mails, %d octets", counts.site, counts.messages, counts.octets)
                yield TriggerEvent({**counts.to_json(), "pop3_conn_id": self.pop3_conn_id})
            await diary.note(outcome, bell.memory)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """The same, where Airflow does not share streams."""
        _, kwargs = self.serialize()
        async for event in self.filter_shared_stream(self.open_shared_stream(kwargs)):
            yield event


class Bell:
    """Decides when to ring.

    It rings for mail nobody rang for, and when some of the mail it rang for is gone and some is left: then a run took
    what it could and there is more to do. For mail that stays as it is it rings again after :data:`RING_AGAIN`, twice
    that, and so on; after a restart sooner.

    :param memory: of the bell before a restart (:attr:`memory`).
    """

    def __init__(
        self,
        awaited: Awaited,
        memory: dict[str, Any] | None = None,
        *,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._awaited = awaited
        self._now = now
        self._rung_for: frozenset[str] | None = None
        self.memory = memory or {}
        """JSON-plain: when it last rang, for how many mails, their digest, seconds until it rings for them again."""

    def rings(self, sight: Sight) -> bool:
        """Whether this look is worth a ring; remembers it."""
        if sight.held:
            return False
        marks = frozenset(sight.unknown)
        if not self._awaited.met_by(sight):
            if not marks:
                self._rung_for = marks
            return False
        wait = RING_AGAIN
        if self._is_the_same(marks):
            wait = float(self.memory["again_after"])
            if self._now() < layout.moment(self.memory["rung_at"]) + timedelta(seconds=wait):
                return False
            wait = min(wait * 2, LEAST_OFTEN)
        self._rung_for = marks
        self.memory = {
            "rung_at": layout.timestamp(self._now()),
            "messages": len(marks),
            "digest": _digest(marks),
            "again_after": wait,
        }
        return True

    def _is_the_same(self, marks: frozenset[str]) -> bool:
        if self._rung_for is None:  # the first look after a restart
            if self.memory.get("digest") != _digest(marks):
                return False
            self._rung_for = marks
            self.memory = {**self.memory, "again_after": min(self.memory["again_after"], AFTER_RESTART)}
        return marks == self._rung_for


def _digest(marks: frozenset[str]) -> str:
    return digest_key(*sorted(marks))


class Diary:
    """What a watcher leaves in the state of its asset: ``pop3_watermark`` and ``pop3_health``, when they change.

    The state is a comfort for people and for a restart: trouble with it is told once and stops no watcher.

    :param state: the watcher's ``asset_state_store``, ``None`` where there is none.
    """

    def __init__(self, state: Any, *, now: Callable[[], datetime] = utc_now) -> None:
        self._state = state
        self._now = now
        self._noted_at: datetime | None = None
        self._in_trouble = False
        self._health: dict[str, Any] = {}
        self._watermark: dict[str, Any] = {}

    async def recall(self) -> dict[str, Any]:
        """The watermark of before, ``{}`` when there is none."""
        if self._state is not None:
            try:
                value = await self._state.aget("pop3_watermark", {})
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it
                self._tell(error)
            else:
                if isinstance(value, dict) and {"rung_at", "digest", "again_after"} <= value.keys():
                    self._watermark = value
        return self._watermark

    async def note(self, outcome: Sight | Trouble, watermark: dict[str, Any]) -> None:
        """Write down how the maildrop stands, when that changed or the last note is old."""
        if self._state is None:
            return
        now = self._now()
        health = _health(outcome)
        changed = health != self._health or watermark != self._watermark
        if not changed and self._noted_at is not None and now - self._noted_at < HEARTBEAT:
            return
        try:
            if watermark and watermark != self._watermark:
                await self._state.aset("pop3_watermark", watermark)
            await self._state.aset("pop3_health", {**health, "noted_at": layout.timestamp(now)})
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it
            self._tell(error)
            return
        self._in_trouble = False
        self._noted_at, self._health, self._watermark = now, health, watermark

    def _tell(self, error: Exception) -> None:
        if not self._in_trouble:
            log.warning("The state of the asset cannot be kept: %s: %s", type(error).__name__, error)
        self._in_trouble = True


def _health(outcome: Sight | Trouble) -> dict[str, Any]:
    if isinstance(outcome, Trouble):
        return {"state": outcome.kind, "message": outcome.message}
    counts = outcome.counts()
    seen = {"messages": counts.messages, "octets": counts.octets, "listed": counts.listed}
    return {"state": "held" if counts.held else "well", "message": counts.held, **seen}
