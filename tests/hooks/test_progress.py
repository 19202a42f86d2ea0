"""Progress is a line every few seconds."""

from __future__ import annotations

import logging

import pytest

from airflow_pop3_gateway.hooks.progress import INTERVAL, ProgressLog, octets_text


def test_a_line_every_interval_with_messages_octets_and_rate(caplog: pytest.LogCaptureFixture) -> None:
    time = [0.0]
    progress = ProgressLog(logging.getLogger("t"), "orders: retrieving", clock=lambda: time[0])
    with caplog.at_level(logging.INFO, "t"):
        for count in range(1, 1200):
            time[0] = count * INTERVAL / 500
            progress(count, count * 4000, 1200)
    assert [record.getMessage() for record in caplog.records] == [
        "orders: retrieving: 500 of 1200 messages, 2.0 MB, 100 messages/s, 400 KB/s",
        "orders: retrieving: 1000 of 1200 messages, 4.0 MB, 100 messages/s, 400 KB/s",
    ]


@pytest.mark.parametrize(
    ("octets", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 KB"), (20_000_000, "20 MB"), (5e12, "5000 GB")],
)
def test_octets_for_people(octets: float, text: str) -> None:
    assert octets_text(octets) == text


class State:
    """A task's state store."""

    def __init__(self) -> None:
        self.kept: list[object] = []
        self.down = False

    def set(self, key: str, value: object) -> None:
        if self.down:
            raise RuntimeError("the API is down")
        assert key == "progress"
        self.kept.append(value)


def test_how_far_it_is_lies_in_the_state_of_the_task() -> None:
    time, state = [0.0], State()
    progress = ProgressLog(logging.getLogger("t"), "orders: retrieving", state=state, clock=lambda: time[0])
    for count in (1, 2, 3):
        time[0] += INTERVAL / 1.5
        progress(count, count * 10, 9)
    assert state.kept == [{"messages": 2, "octets": 20, "total": 9}]


def test_a_state_that_cannot_be_kept_does_not_stop_the_work() -> None:
    time, state = [0.0], State()
    state.down = True
    progress = ProgressLog(logging.getLogger("t"), "orders: retrieving", state=state, clock=lambda: time[0])
    for count in (1, 2):
        time[0] += INTERVAL
        progress(count, 1, 9)
        state.down = False
    assert state.kept == []
