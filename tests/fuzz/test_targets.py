"""What ``make fuzz`` asks of the parsers, asked a little in every test run; so the targets cannot rot either."""

from __future__ import annotations

import itertools

import pytest
from fuzz.targets import TARGETS
from hypothesis import given, settings
from hypothesis import strategies as st

SEEDS = 40
"""Of each target; the collections of real mail have hundreds, which the tests of the mail room read whole."""


def garbled(seeds: list[bytes], words: tuple[bytes, ...]) -> st.SearchStrategy[bytes]:
    """Pieces of good input, words and noise, put together anyhow."""
    places = st.tuples(st.sampled_from(seeds), st.integers(0, 4000), st.integers(0, 400))
    piece = places.map(lambda place: place[0][place[1] % (len(place[0]) + 1) :][: place[2]])
    kinds = [piece, st.binary(max_size=20), *([st.sampled_from(words)] if words else [])]
    return st.lists(st.one_of(kinds), max_size=12).map(b"".join)


@pytest.mark.parametrize("name", TARGETS)
def test_good_input_passes(name: str) -> None:
    for seed in itertools.islice(TARGETS[name].seeds(), SEEDS):
        TARGETS[name].take(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_garbage_is_a_result_or_one_of_our_errors(name: str) -> None:
    target = TARGETS[name]

    @settings(max_examples=60, deadline=None)
    @given(garbled(list(itertools.islice(target.seeds(), SEEDS)), target.words))
    def passes(data: bytes) -> None:
        target.take(data)

    target.take(b"")
    passes()
