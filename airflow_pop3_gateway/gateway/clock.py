"""What time it is, given to whoever asks: a test has a clock of its own.

Invariant: every time in this room is aware of its zone.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """The time in UTC."""
    return datetime.now(timezone.utc)
