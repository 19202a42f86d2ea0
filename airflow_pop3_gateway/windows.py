"""When a site may be polled: windows of the week in a time zone.

Strategy: windows are text, ``mon-fri 06:00-20:00; sat 08:00-12:00 @ Europe/Paris``, read into minutes of the day for
each day; the question is asked of the wall clock of the zone, so that six o'clock stays six o'clock in summer.

Invariant: no windows means always; a window that ends before it begins goes on after midnight.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from airflow_pop3_gateway.errors import ConfigurationError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW = re.compile(r"(?:([a-z,\s-]+)\s+)?(\d{1,2}):(\d\d)\s*-\s*(\d{1,2}):(\d\d)")
_DAY_MINUTES = 24 * 60
_LONGEST_DAYS = 15
"""Between two openings: a week, and another one where the clock goes forward over a window."""
_Spans = list[tuple[int, int, int]]


@dataclass(frozen=True)
class PollingWindows:
    """Windows of the week. :ivar text: as the user wrote them; ``""`` for always.

    :raises ConfigurationError: when the text is not a list of windows, or the time zone is unknown.
    """

    text: str = ""

    def __post_init__(self) -> None:
        _read(self.text)

    def __str__(self) -> str:
        return self.text or "always"

    def __contains__(self, now: datetime) -> bool:
        """Whether a poll may begin now."""
        zone, spans = _read(self.text)
        local = now.astimezone(zone)
        minute, today = local.hour * 60 + local.minute, local.weekday()
        return not spans or any(
            (day == today and begin <= minute < end)
            or (day == (today - 1) % 7 and begin <= minute + _DAY_MINUTES < end)
            for day, begin, end in spans
        )

    def next_opening(self, now: datetime) -> datetime:
        """The first full minute from now on at which a poll may begin; ``now`` inside a window."""
        return now if now in self else _opening_after(self, now.replace(second=0, microsecond=0))


@functools.lru_cache(maxsize=256)  # a watcher asks at every look, for many sites with the same windows
def _opening_after(windows: PollingWindows, minute: datetime) -> datetime:
    steps = range(1, _LONGEST_DAYS * _DAY_MINUTES)
    return next(then for step in steps if (then := minute + timedelta(minutes=step)) in windows)


@functools.lru_cache(maxsize=256)
def _read(text: str) -> tuple[ZoneInfo, _Spans]:
    """The zone; of each window and day the weekday it begins on, first minute, end in minutes of that day."""
    windows, _, name = text.partition("@")
    try:
        zone = ZoneInfo(name.strip() or "UTC")
    except (KeyError, ValueError, OSError):
        raise ConfigurationError(
            f"time zone {name.strip()!r} is not known; use a name as Europe/Paris.",
            field="polling_windows",
        ) from None
    spans: _Spans = []
    for window in filter(None, map(str.strip, windows.lower().split(";"))):
        match = _WINDOW.fullmatch(window)
        if not match:
            raise _unreadable(window)
        hour, minute, end_hour, end_minute = map(int, match.groups()[1:])
        begin, end = hour * 60 + minute, end_hour * 60 + end_minute
        if minute > 59 or end_minute > 59 or max(begin, end) > _DAY_MINUTES or begin in (end, _DAY_MINUTES):
            raise _unreadable(window)
        if end < begin:
            end += _DAY_MINUTES
        spans += [(day, begin, end) for day in _days(match[1] or "mon-sun", window)]
    return zone, spans


def _days(text: str, window: str) -> list[int]:
    days = []
    for part in text.split(","):
        first, _, last = (word.strip() for word in part.partition("-"))
        if first not in DAYS or (last or first) not in DAYS:
            raise _unreadable(window)
        begin, end = DAYS.index(first), DAYS.index(last or first)
        days += [day % 7 for day in range(begin, end + 1 if end >= begin else end + 8)]
    return days


def _unreadable(window: str) -> ConfigurationError:
    return ConfigurationError(
        f"polling window {window!r} is not a window; write days and times as 'mon-fri 06:00-20:00', several with ';', "
        "a time zone after '@'.",
        field="polling_windows",
    )
