"""Polling windows: text for people, read strictly, asked of the wall clock."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.windows import PollingWindows

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(timezone.utc))  # noqa: DTZ001


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@given(MOMENTS)
def test_no_windows_means_always(now: datetime) -> None:
    assert now in PollingWindows()
    assert PollingWindows().next_opening(now) == now


@pytest.mark.parametrize(
    ("text", "moment", "inside"),
    [
        ("mon-fri 06:00-20:00", "2026-11-23T06:00", True),
        ("mon-fri 06:00-20:00", "2026-11-23T20:00", False),
        ("mon-fri 06:00-20:00", "2026-11-22T12:00", False),
        ("mon-fri 06:00-20:00; sat 08:00-12:00", "2026-11-28T08:30", True),
        ("sun,wed 10:00-11:00", "2026-11-25T10:59", True),
        ("10:00-24:00", "2026-11-25T23:59", True),
        ("22:00-06:00", "2026-11-25T23:00", True),
        ("22:00-06:00", "2026-11-25T05:59", True),
        ("22:00-06:00", "2026-11-25T06:00", False),
        ("sat 22:00-06:00", "2026-11-29T03:00", True),
        ("sun 22:00-06:00", "2026-11-23T03:00", True),
        ("mon 22:00-06:00", "2026-11-23T03:00", False),
        ("fri-mon 00:00-24:00", "2026-11-24T12:00", False),
        ("fri-mon 00:00-24:00", "2026-11-23T12:00", True),
        ("SAT 8:00 - 9:00 ;", "2026-11-28T08:30", True),
    ],
)
def test_inside_and_outside(text: str, moment: str, inside: bool) -> None:
    assert (utc(moment) in PollingWindows(text)) is inside


def test_the_wall_clock_of_the_zone_counts_in_summer_and_in_winter() -> None:
    windows = PollingWindows("06:00-07:00 @ Europe/Paris")
    assert utc("2026-07-01T04:30") in windows
    assert utc("2026-12-01T04:30") not in windows
    assert utc("2026-12-01T05:30") in windows


@given(MOMENTS)
def test_the_next_opening_is_the_first_minute_that_is_inside(now: datetime) -> None:
    windows = PollingWindows("tue,thu 21:30-02:15; sat 09:00-09:01 @America/New_York")
    opening = windows.next_opening(now)
    assert opening in windows
    assert opening >= now
    assert opening == now or (opening - timedelta(minutes=1)).replace(second=0, microsecond=0) not in windows


def test_a_window_that_summer_time_skips_opens_a_week_later() -> None:
    windows = PollingWindows("sun 02:00-03:00 @ Europe/Berlin")
    assert windows.next_opening(utc("2026-03-22T02:00")) == utc("2026-04-05T00:00")


@pytest.mark.parametrize(
    "text",
    ["always", "mon", "mon 06:00", "mon 25:00-26:00", "mon 06:60-07:00", "day 06:00-07:00", "06:00-06:00",
     "mon-xyz 06:00-07:00", "24:00-25:00", "24:00-01:00", "mon-tue-wed 06:00-07:00"],
)  # fmt: skip
def test_what_is_no_window_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match="mon-fri 06:00-20:00"):
        PollingWindows(text)


def test_an_unknown_zone_is_refused() -> None:
    for zone in ("Mars/Olympus", "../etc/passwd", "UTC@UTC"):
        with pytest.raises(ConfigurationError, match="Europe/Paris"):
            PollingWindows(f"06:00-07:00 @ {zone}")
