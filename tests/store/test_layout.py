"""Keys are made of our own words, or of a stranger's word that was quoted."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.store import layout

MOMENT = datetime(2026, 11, 23, 8, 9, 10, 123_456, tzinfo=timezone.utc)


def test_plain_words_stay_readable() -> None:
    assert layout.segment("edi_inbox") == "edi_inbox"
    assert layout.segment("orders@partner.example") == "orders@partner.example"


@given(st.text(max_size=300))
def test_any_word_becomes_one_bounded_part_of_a_key(word: str) -> None:
    part = layout.segment(word)
    assert part not in ("", ".", "..")
    assert "/" not in part and part.isprintable() and len(part) <= 160


@given(st.text(max_size=200), st.text(max_size=200))
def test_two_words_never_become_one_part(one: str, two: str) -> None:
    assert (layout.segment(one) == layout.segment(two)) == (one == two)


def test_times_are_rfc_3339_in_utc_and_read_back() -> None:
    assert layout.timestamp(MOMENT) == "2026-11-23T08:09:10.123Z"
    assert layout.timestamp(MOMENT.astimezone(timezone(timedelta(hours=5)))) == "2026-11-23T08:09:10.123Z"
    assert layout.moment("2026-11-23T08:09:10.123Z") == MOMENT.replace(microsecond=123_000)


def test_batches_sort_by_time_and_carry_their_day() -> None:
    first = layout.batch_name(MOMENT, "ffffffff")
    second = layout.batch_name(MOMENT + timedelta(milliseconds=1), "00000000")
    assert first < second
    assert layout.is_batch(first)
    assert not layout.is_batch("somebody's folder")
    assert layout.batch_day(first) == "2026/11/23"
    assert (
        layout.file("MAIL", first, f"{first}-000001", "a.csv")
        == f"files/MAIL/2026/11/23/{first}-000001/a.csv"
    )
    assert layout.transfers("edi", first) == f"transfers/2026/11/23/edi-{first}.jsonl"
