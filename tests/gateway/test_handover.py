"""Every record is processed once, whatever becomes of the events that announce it."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from support.maildrop import Maildrop, letter

from airflow_pop3_gateway.errors import ConfigurationError, StoreCorrupt
from airflow_pop3_gateway.gateway import classify
from airflow_pop3_gateway.gateway.handover import LEASE, hand_on, processing
from airflow_pop3_gateway.records import HandedOn
from airflow_pop3_gateway.store import layout

Open = Callable[..., Maildrop]


def filled(maildrop: Open, count: int, **options: Any) -> Maildrop:
    """A maildrop whose mails are stored and classified, all in one batch."""
    box = maildrop(*map(letter, range(count)), **options)
    box.poll()
    classify(box.site, box.store)
    return box


def sweep(box: Maildrop, owner: str = "run 1", **options: Any) -> HandedOn:
    return hand_on(box.store, "MAIL", owner, now=box.now, **options)


def process(box: Maildrop, key: str, owner: str) -> str | None:
    """Process a record. :returns: the number of its mail."""
    with processing(box.store, key, owner, now=box.now) as record:
        return record and record.subject


def test_records_are_named_once_and_processed_once(maildrop: Open) -> None:
    box = filled(maildrop, 3)
    keys = sweep(box).keys
    assert [process(box, key, f"run of {key}") for key in keys] == ["0", "1", "2"]
    assert [process(box, key, "somebody else") for key in keys] == [None, None, None]
    assert sweep(box, "run 2") == HandedOn("MAIL", "MAIL")


def test_what_was_announced_is_not_announced_again_for_a_while(maildrop: Open) -> None:
    box = filled(maildrop, 2)
    assert len(sweep(box, "run 1").keys) == 2
    assert sweep(box, "run 2") == HandedOn("MAIL", "MAIL", waiting=2)


def test_what_is_done_is_never_done_by_another_whatever_the_lease(maildrop: Open) -> None:
    box = filled(maildrop, 1)
    (key,) = sweep(box).keys
    process(box, key, "run a")
    box.now.time += 2 * LEASE
    assert process(box, key, "run b") is None
    assert process(box, key, "run a") == "0"


def test_a_sweep_that_is_tried_again_announces_the_same(maildrop: Open) -> None:
    """A task that failed after the claim emitted nothing."""
    box = filled(maildrop, 2)
    assert sweep(box, "run 1") == sweep(box, "run 1")


def test_what_no_sweep_looks_at_any_more_leaves_no_mark(maildrop: Open) -> None:
    """Each sweep lists the marks of batches: of those of years it would list them all."""
    box = filled(maildrop, 1)
    (key,) = sweep(box, days=7).keys
    process(box, key, "a")
    sweep(box, days=7)
    box.now.pass_days(7)
    assert sweep(box, days=7) == HandedOn("MAIL", "MAIL")
    assert len(box.store.names(layout.settled("MAIL"))) == 1
    box.now.pass_days(1)
    assert sweep(box, days=7) == HandedOn("MAIL", "MAIL")
    assert box.store.names(layout.settled("MAIL")) == []
    assert sweep(box, days=30) == HandedOn("MAIL", "MAIL")


def test_what_a_lost_event_left_behind_is_announced_again(maildrop: Open) -> None:
    box = filled(maildrop, 3)
    first, lost, last = sweep(box, "run 1", again_after=3600).keys
    process(box, first, "a")
    process(box, last, "b")
    box.now.time += timedelta(seconds=3601)
    assert sweep(box, "run 2").keys == (lost,)


def test_a_run_that_died_goes_on_and_another_takes_over_after_the_lease(maildrop: Open) -> None:
    box = filled(maildrop, 1)
    (key,) = sweep(box).keys
    with pytest.raises(RuntimeError), processing(box.store, key, "run a", now=box.now):
        raise RuntimeError("killed")
    assert process(box, key, "run b") is None
    assert process(box, key, "run a") == "0"

    other = filled(maildrop, 1)
    other.now.time += timedelta(days=1)
    with pytest.raises(RuntimeError), processing(box.store, key, "run c", consumer="other", now=box.now):
        raise RuntimeError("killed")
    box.now.time += LEASE
    with processing(box.store, key, "run d", consumer="other", now=box.now) as record:
        assert record is not None
    with processing(box.store, key, "run c", consumer="other", now=box.now) as record:
        assert record is None


def test_a_run_that_is_cleared_processes_its_record_again(maildrop: Open) -> None:
    """A person wants it so: the run is the same."""
    box = filled(maildrop, 1)
    (key,) = sweep(box).keys
    assert [process(box, key, "run a") for _ in range(2)] == ["0", "0"]


def test_of_many_who_come_at_the_same_time_one_gets_it(maildrop: Open) -> None:
    box = filled(maildrop, 1)
    with ThreadPoolExecutor(8) as pool:
        swept = [found.keys for found in pool.map(lambda n: sweep(box, f"run {n}"), range(8))]
        (key,) = sum(swept, ())
        got = list(pool.map(lambda n: process(box, key, f"run {n}"), range(8)))
    assert sorted(map(len, swept)) == [0] * 7 + [1]
    assert sorted(map(str, got)) == ["0"] + ["None"] * 7


def test_only_the_application_and_what_was_not_canceled_is_handed_on(maildrop: Open) -> None:
    box = maildrop(letter(1), letter(1), letter(2), error_mail_disposal="delete")
    box.poll()
    classify(box.site, box.store, choose=lambda choice: "EDI" if "<1@" in choice.xfer_ident else None)
    (key,) = hand_on(box.store, "EDI", "run", now=box.now).keys
    with processing(box.store, key, "run", now=box.now) as record:
        assert record is not None
        assert (record.application, record.subject) == ("EDI", "1")


def test_two_consumers_do_not_know_of_each_other(maildrop: Open) -> None:
    box = filled(maildrop, 1)
    (key,) = sweep(box, consumer="archive").keys
    assert sweep(box, consumer="table").keys == (key,)


def test_a_batch_that_is_done_is_not_read_again(maildrop: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    box = filled(maildrop, 2)
    for key in sweep(box).keys:
        process(box, key, key)
    sweep(box)
    read: list[str] = []
    monkeypatch.setattr(type(box.store), "read", lambda store, key: read.append(key))
    assert sweep(box) == HandedOn("MAIL", "MAIL")
    assert read == []


def test_a_sweep_is_bounded_and_looks_back_some_days_only(maildrop: Open) -> None:
    box = filled(maildrop, 2)
    box.mailbox.deliver(letter(9))
    box.now.time += timedelta(days=2)
    box.poll()
    classify(box.site, box.store)
    first = sweep(box, most=1)
    assert (len(first.keys), first.more) == (2, True), "whole batches"
    assert len(sweep(box, "run 2", most=1).keys) == 1
    box.now.time += timedelta(days=6)
    assert sweep(box, "run 3").waiting == 0
    assert len(sweep(box, "run 3").keys) == 1
    assert len(sweep(box, "run 3", days=30).keys) == 3


@pytest.mark.parametrize("wrong", [{"days": -1}, {"again_after": -1}, {"most": 0}])
def test_bounds_that_make_no_sense_are_refused(maildrop: Open, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        sweep(maildrop(), **wrong)


def test_a_key_of_nothing_and_a_broken_mark_are_said(maildrop: Open) -> None:
    box = filled(maildrop, 1)
    with pytest.raises(StoreCorrupt):
        process(box, "0" * 40, "run")
    (key,) = sweep(box).keys
    box.store.put(f"{layout.taken('MAIL', key)}/0001", json.dumps({"owner": "x"}).encode())
    with pytest.raises(StoreCorrupt, match="taken"):
        process(box, key, "run")
