"""The one promise: a result or one of our errors, in memory and time linear in the octets.

What a target lets out is a finding. Time and memory are measured on stretched input, for a cost that grows with the
square of the octets does not show on a thousand of them: of some inputs a piece is repeated until they are long, and
then until they are four times as long. Which inputs, and which piece, follows from the octets, so a replay does the same.

The figures are generous, for a fuzzer counts every branch and runs beside other work; what they catch is no slowness
but a different growth.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator

ONE_OF = 512
"""Inputs of which one is stretched."""
LENGTH = 1 << 16
"""Octets after stretching; then four times as many."""
SECONDS, SECONDS_PER_OCTET = 2.0, 40e-6
"""Of the processor, for an input of any length, and more for each octet. Without a fuzzer: some 0.1e-6."""
NOTICEABLE = 0.4
"""Seconds below which nothing is said about growth."""
GROWTH = 10
"""Times the cost for four times the octets: 4 where it is linear, 16 where it is the square."""
MEMORY, MEMORY_PER_OCTET = 32 << 20, 100
"""Octets for an input of any length, and more for each of its own."""
PIECES = 500
"""Into which an input is cut at most, so that the cost of a piece does not look like one of the octets."""


class Broken(AssertionError):
    """The promise was not kept."""


def cut(data: bytes, most: int) -> Iterator[bytes]:
    """The input in pieces of one size, at most ``most`` octets where it is short: the first octet says which."""
    size = max(1 + data[0] % most, len(data) // PIECES) if data else 1
    return (data[at : at + size] for at in range(0, len(data), size))


def keep(take: Callable[[bytes], None], data: bytes) -> None:
    """Give the octets to a target; of some inputs also the stretched ones.

    :raises Broken: too slow or too much memory; anything else that the target lets out goes on as it is.
    """
    _in_time(take, data)
    mark = zlib.crc32(data)
    if len(data) > 3 and mark % ONE_OF == 0:
        stretch(take, data, mark // ONE_OF)


def stretch(take: Callable[[bytes], None], data: bytes, mark: int) -> None:
    """Repeat a piece of the input and compare the costs. :param mark: chooses the piece."""
    start = mark % len(data)
    stop = start + 1 + mark // len(data) % min(64, len(data) - start)

    def stretched(length: int) -> bytes:
        piece = data[start:stop]
        return data[:start] + piece * (max(0, length - len(data)) // len(piece) + 1) + data[stop:]

    short, long = stretched(LENGTH), stretched(4 * LENGTH)
    before, after = _in_time(take, short), _in_time(take, long)
    if after > NOTICEABLE and after > GROWTH * before:
        raise Broken(f"{len(short)} octets take {before:.2f} s, {len(long)} take {after:.2f} s")
    _in_memory(take, short)


def _in_time(take: Callable[[bytes], None], data: bytes) -> float:
    gc.disable()
    started = time.process_time()
    try:
        take(data)
    finally:
        gc.enable()
    seconds = time.process_time() - started
    if seconds > SECONDS + SECONDS_PER_OCTET * len(data):
        raise Broken(f"{len(data)} octets take {seconds:.2f} s")
    return seconds


def _in_memory(take: Callable[[bytes], None], data: bytes) -> None:
    tracemalloc.start()
    try:
        take(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    if peak > MEMORY + MEMORY_PER_OCTET * len(data):
        raise Broken(f"{len(data)} octets take {peak >> 20} MiB")
