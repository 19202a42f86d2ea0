"""The outbox: a receipt exists once, and one worker at a time sends it."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import msgspec
import pytest

from airflow_pop3_gateway.records import OUTBOX_SCHEMA, Receipt
from airflow_pop3_gateway.store import Store, layout, outbox

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=timezone.utc)
RECEIPT = Receipt(
    OUTBOX_SCHEMA,
    "k" * 40,
    "PENDING",
    "r" * 40,
    "edi",
    "smtp",
    "",
    "p@partner.example",
    "<1@us>",
    "TURO",
    "2026-11-23T08:00:00.000Z",
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path)


def test_a_receipt_enters_once_and_waits(store: Store) -> None:
    assert outbox.enqueue(store, RECEIPT)
    assert not outbox.enqueue(store, RECEIPT)
    assert outbox.pending(store, "edi") == [RECEIPT.key]
    assert outbox.read(store, RECEIPT.key) == RECEIPT


def test_a_settled_receipt_no_longer_waits_and_never_waits_again(store: Store) -> None:
    outbox.enqueue(store, RECEIPT)
    outbox.settle(store, RECEIPT, state="SENT", attempts=1)
    assert outbox.pending(store, "edi") == []
    assert not outbox.enqueue(store, RECEIPT)
    assert outbox.pending(store, "edi") == []
    assert outbox.read(store, RECEIPT.key).state == "SENT"


def test_a_worker_that_died_between_mark_and_receipt_left_nothing_to_send(store: Store) -> None:
    store.put(layout.pending_receipt("edi", RECEIPT.created_at, RECEIPT.key), b"")
    assert outbox.pending(store, "edi") == []
    assert outbox.enqueue(store, RECEIPT)
    assert outbox.pending(store, "edi") == [RECEIPT.key]


def test_the_oldest_goes_first_whatever_its_key(store: Store) -> None:
    times = {
        "b": "2026-11-23T08:00:00.002Z",
        "c": "2026-11-23T08:00:00.001Z",
        "a": "2026-11-24T00:00:00.000Z",
    }
    for key, at in times.items():
        outbox.enqueue(store, msgspec.structs.replace(RECEIPT, key=key, created_at=at))
    assert outbox.pending(store, "edi") == ["c", "b", "a"]


def test_who_makes_a_receipt_again_at_another_time_leaves_no_second_mark(store: Store) -> None:
    outbox.enqueue(store, RECEIPT)
    assert not outbox.enqueue(store, msgspec.structs.replace(RECEIPT, created_at="2026-11-24T00:00:00.000Z"))
    assert outbox.pending(store, "edi") == [RECEIPT.key]


def test_the_next_attempt_follows_the_one_that_is_written_down(store: Store) -> None:
    assert outbox.claim(store, RECEIPT, NOW) == 1
    waiting = outbox.settle(store, RECEIPT, attempts=1, last_error="later")
    assert outbox.claim(store, waiting, NOW) == 2


def test_claims_of_settled_receipts_are_forgotten_and_others_stay(store: Store) -> None:
    outbox.enqueue(store, RECEIPT)
    outbox.claim(store, RECEIPT, NOW)
    assert outbox.forget_attempts(store) == 0
    outbox.settle(store, RECEIPT, state="SENT", attempts=1)
    assert outbox.forget_attempts(store) == 1
    assert store.names("outbox/attempts") == []
