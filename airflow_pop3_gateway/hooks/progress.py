"""Progress of long work in the task's log and state: a line every few seconds, not one a mail."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

INTERVAL = 5.0
"""Seconds between two lines: soon enough for a person who watches, rare enough for a log that is kept."""


def octets_text(octets: float) -> str:
    """A number of octets for people: ``512 B``, ``1.5 KB``, ``20 MB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if octets < 1000 or unit == "GB":
            break
        octets /= 1000
    return f"{octets:.0f} {unit}" if octets >= 10 or unit == "B" else f"{octets:.1f} {unit}"


class ProgressLog:
    """Give it to a use case as ``on_progress``.

    :param log: anything with ``info(format, *arguments)``.
    :param what: what is being done, for example ``"orders: retrieving"``.
    :param state: the task's state store, where people and the REST API see it under ``progress``.
    """

    def __init__(
        self, log: Any, what: str, *, state: Any = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._what = what
        self._state = state
        self._clock = clock
        self._began = self._told = clock()
        self._lock = threading.Lock()

    def __call__(self, messages: int, octets: int, total: int) -> None:
        """Take note; a line is written when the last one is :data:`INTERVAL` old."""
        now = self._clock()
        with self._lock:
            if now - self._told < INTERVAL:
                return
            self._told = now
        seconds = now - self._began
        self._log.info(
            "%s: %d of %d messages, %s, %.0f messages/s, %s/s",
            self._what,
            messages,
            total,
            octets_text(octets),
            messages / seconds,
            octets_text(octets / seconds),
        )
        if self._state is not None:
            try:
                self._state.set("progress", {"messages": messages, "octets": octets, "total": total})
            except Exception:  # noqa: BLE001 - a comfort, whatever is wrong with it
                self._state = None
