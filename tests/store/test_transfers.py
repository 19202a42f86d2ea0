"""The lines of the latest sessions: of one site or of all, the latest first."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_pop3_gateway.records import as_json
from airflow_pop3_gateway.store import Store, layout
from airflow_pop3_gateway.store.transfers import TransferLines, latest_batches, read_lines

DAYS = [datetime(2026, 11, day, tzinfo=timezone.utc) for day in (23, 22)]
EARLY, LATE, BEFORE = (f"2026112{when}0000000Z-00000001" for when in ("3T08", "3T09", "2T23"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two sites of which one's name begins with the other's, and what is no session."""
    store = Store.at(tmp_path)
    for site, batch in (("edi", EARLY), ("edi-2", LATE), ("edi", BEFORE), ("a b", LATE)):
        lines = TransferLines(store, site, batch)
        for number in (1, 2):
            lines.add(as_json({"site": site, "number": number}))
        lines.commit()
    store.put(f"{layout.transfers_of_day(DAYS[0])}/notes.jsonl", b"no session")
    return store


def told(store: Store, site: str | None) -> list[list[tuple[Any, ...]]]:
    return [[tuple(line.values()) for line in lines] for lines in latest_batches(store, DAYS, site)]


def test_of_a_site_the_last_line_of_the_latest_session_comes_first(store: Store) -> None:
    assert told(store, "edi") == [[("edi", 2), ("edi", 1)]] * 2
    assert told(store, "a b") == [[("a b", 2), ("a b", 1)]]
    assert told(store, "ed") == []


def test_of_all_sites_the_latest_session_comes_first(store: Store) -> None:
    assert sorted(lines[0][0] for lines in told(store, None)[:2]) == ["a b", "edi-2"]
    assert [lines[0][0] for lines in told(store, None)[2:]] == ["edi", "edi"]


@pytest.mark.parametrize("text", ["Grüße", "half a pair: \ud83d"])
def test_a_line_is_read_back_whatever_text_is_in_it(store: Store, text: str) -> None:
    lines = TransferLines(store, "edi", "20261121T080000000Z-00000001")
    lines.add(as_json({"subject": text}))
    lines.commit()
    assert list(read_lines(store, "edi", "20261121T080000000Z-00000001") or ()) == [{"subject": text}]
