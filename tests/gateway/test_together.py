"""Threads where the store is waited for, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_pop3_gateway.gateway import together
from airflow_pop3_gateway.gateway.together import TRIED, where_it_pays


class Pool:
    """Notes how many calls it is given."""

    given = 0

    def map(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
        rest = list(items)
        self.given += len(rest)
        return map(work, rest)


@pytest.mark.parametrize(
    ("waits", "given"),
    [([0] * TRIED, 0), ([9] * TRIED, 20), ([99] + [0] * (TRIED - 1), 0)],
    ids=["the work is ours", "the store is waited for", "another program had the processor once"],
)
def test_threads_take_over_where_the_store_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, waits: list[int], given: int
) -> None:
    clock = processor = 0

    def work(number: int) -> str:
        nonlocal clock, processor
        processor += 1
        clock += 1 + (waits[number] if number < TRIED else 0)
        return str(number)

    times = SimpleNamespace(perf_counter=lambda: clock, thread_time=lambda: processor)
    monkeypatch.setattr(together, "time", times)
    pool = Pool()
    results = where_it_pays(pool.map)(work, range(TRIED + 20))
    assert list(results) == [str(number) for number in range(TRIED + 20)]
    assert pool.given == given
