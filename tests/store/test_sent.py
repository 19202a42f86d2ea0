"""Transfers we sent are written once, found by what comes back, and their events only grow."""

from __future__ import annotations

import msgspec
from support.transfers import IDENT, transfer

from airflow_pop3_gateway.records.sent import EVENT_SCHEMA, EventRow, SentEvent
from airflow_pop3_gateway.store import Store, sent

TRANSFER = transfer("in@partner.example", "log@us.example")


def event(name: str, at: str) -> SentEvent:
    return SentEvent(EVENT_SCHEMA, name, "dsn", at, (EventRow("in@partner.example", "undefined", "relayed"),))


def test_the_first_record_stays_whoever_writes_again(any_store: Store) -> None:
    assert sent.create(any_store, TRANSFER) == TRANSFER
    again = msgspec.structs.replace(TRANSFER, subject="Order 8")
    assert sent.create(any_store, again) == TRANSFER
    assert sent.read(any_store, TRANSFER.key) == TRANSFER


def test_a_transfer_is_found_by_its_envelope_id_and_by_the_message_id_of_a_ready_made_mail(
    any_store: Store,
) -> None:
    ready = msgspec.structs.replace(TRANSFER, message_id="<theirs@else.example>", ready_made=True)
    sent.create(any_store, ready)
    assert sent.find(any_store, IDENT) == ready
    assert sent.find(any_store, "<theirs@else.example>") == ready
    assert sent.find(any_store, "<nobody@else.example>") is None


def test_an_event_is_appended_once_and_events_come_in_the_order_of_time(any_store: Store) -> None:
    late, early = event("b-1", "2026-11-23T12:00:00.000Z"), event("z-0", "2026-11-23T11:30:00.000Z")
    assert sent.append(any_store, TRANSFER.key, late)
    assert sent.append(any_store, TRANSFER.key, early)
    assert not sent.append(
        any_store, TRANSFER.key, msgspec.structs.replace(late, at="2026-11-23T13:00:00.000Z")
    )
    assert sent.events(any_store, TRANSFER.key) == [early, late]


def test_a_transfer_waits_from_its_record_until_it_is_settled(any_store: Store) -> None:
    sent.create(any_store, TRANSFER)
    sent.create(any_store, msgspec.structs.replace(TRANSFER, key="0" * 40, requested=()))
    assert sent.waiting_keys(any_store) == [TRANSFER.key]
    sent.settle(any_store, TRANSFER.key)
    sent.settle(any_store, TRANSFER.key)
    assert sent.waiting_keys(any_store) == []
