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
    ("processor", "given"), [(1.0, 0), (0.1, 20)], ids=["the work is ours", "the store is waited for"]
)
def test_threads_take_over_where_the_store_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, processor: float, given: int
) -> None:
    clock, spent = iter((0.0, 1.0)), iter((0.0, processor))
    times = SimpleNamespace(perf_counter=lambda: next(clock), thread_time=lambda: next(spent))
    monkeypatch.setattr(together, "time", times)
    pool = Pool()
    results = where_it_pays(pool.map)(str, range(TRIED + 20))
    assert list(results) == [str(number) for number in range(TRIED + 20)]
    assert pool.given == given
