"""Several mails at once, where that pays.

Strategy: the first few are worked on one after another; where most of them took more of the processor than they
waited, threads would only wait for each other's interpreter lock, and the rest goes on in the same way. Each is looked
at by itself: on a loaded machine one that lost the processor for a while says nothing of the store.

Invariant: the results are those of ``map``, in its order.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import chain, islice
from typing import Any

Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""``map``, or that of a pool."""

TRIED = 8
"""Calls that show whether the work waits."""


def where_it_pays(each: Each) -> Each:
    """``each`` for work that waits, ``map`` for other work."""

    def tried(work: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        left = iter(items)
        done, waited = [], 0
        for item in islice(left, TRIED):
            clock, processor = time.perf_counter(), time.thread_time()
            done.append(work(item))
            waited += time.perf_counter() - clock > 2 * (time.thread_time() - processor)
        return chain(done, (each if waited > TRIED // 2 else map)(work, left))

    return tried
