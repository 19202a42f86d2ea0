"""The status of a transfer by the Gateway's rules, whatever comes in whatever order."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.transfers import transfer

from airflow_pop3_gateway.acks.status import RecipientStatus, SentStatus, status_of
from airflow_pop3_gateway.records.sent import EVENT_SCHEMA, EventRow, SentEvent, SentTransfer

A, B = "a@partner.example", "b@partner.example"
TO_BOTH = transfer(A, B)
SAYS: dict[str, tuple[str, Any]] = {
    "accepted": ("smtp", "undefined"),
    "refused": ("smtp", "negative"),
    "postponed": ("smtp", "undefined"),
    "delivered": ("dsn", "undefined"),
    "relayed": ("dsn", "undefined"),
    "delayed": ("dsn", "undefined"),
    "failed": ("dsn", "negative"),
    "processed": ("mdn", "positive"),
    "displayed": ("mdn", "positive"),
    "processed/error": ("mdn", "negative"),
    "deleted": ("mdn", "negative"),
    "denied": ("mdn", "undefined"),
}


def event(name: str, **said: str) -> SentEvent:
    """One event: recipient (``a``, ``b``, ``nobody``) and action."""
    names = {"a": A, "b": B, "nobody": ""}
    rows: Any = tuple(EventRow(names[who], SAYS[action][1], action) for who, action in said.items())
    kind: Any = SAYS[next(iter(said.values()))][0]
    return SentEvent(EVENT_SCHEMA, name, kind, "2026-11-23T11:00:00.000Z", rows)


SENT = event("smtp-0001", a="accepted", b="accepted")


def status(*events: SentEvent, of: SentTransfer = TO_BOTH) -> SentStatus:
    return status_of(of, events)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ([], "ENDED_TO_ACK"),
        ([{"a": "delivered", "b": "delivered"}], "ENDED_TO_ACK"),  # proves nothing
        ([{"a": "processed"}], "ENDED_TO_ACK"),  # until everybody has answered
        ([{"a": "processed"}, {"b": "displayed"}], "ACKED"),
        ([{"a": "processed"}, {"b": "denied"}], "ENDED_TO_ACK"),
        ([{"a": "delivered", "b": "failed"}], "NACKED_XFB"),  # one is enough
        ([{"a": "processed"}, {"b": "failed"}], "NACKED_XFB"),
        ([{"a": "processed/error"}], "NACKED_USER"),
        ([{"a": "deleted"}, {"b": "failed"}], "NACKED_USER"),  # who processes knows more than who carries
        ([{"nobody": "failed"}], "NACKED_XFB"),
        ([{"nobody": "processed"}], "ENDED_TO_ACK"),  # whose?
        ([{"nobody": "failed"}, {"a": "processed"}, {"b": "processed"}], "ACKED"),
        ([{"b": "delayed"}, {"b": "delivered"}], "ENDED_TO_ACK"),
    ],
)
def test_reports_make_the_state(said: list[dict[str, str]], state: str) -> None:
    assert status(SENT, *(event(f"e-{number}", **one) for number, one in enumerate(said))).state == state


def test_counters_and_who_said_what() -> None:
    found = status(SENT, event("1", a="delivered", b="failed"), event("2", a="processed"))
    assert (found.positive, found.negative, found.undefined) == (1, 1, 0)
    assert found.recipients[0] == RecipientStatus(A, "accepted", "delivered", "processed", "positive", "mdn")
    assert found.recipients[1] == RecipientStatus(B, "accepted", "failed", "", "negative", "dsn")
    assert (found.unassigned, found.waits) == (None, False)


@pytest.mark.parametrize(
    ("said", "verdict", "by"),
    [
        (["failed", "delivered"], "negative", "dsn"),
        (
            ["failed", "processed"],
            "positive",
            "mdn",
        ),  # a forwarder's bounce: the application has it all the same
        (["processed", "processed/error"], "negative", "mdn"),  # a person must look
        (["delayed", "processed"], "positive", "mdn"),
    ],
)
def test_of_contradicting_reports_the_strongest_counts_in_any_order(
    said: list[str], verdict: str, by: str
) -> None:
    for order in (said, said[::-1]):
        found = status(SENT, *(event(str(number), a=one) for number, one in enumerate(order)))
        assert (found.recipients[0].verdict, found.recipients[0].by) == (verdict, by)
        assert found.recipients[0].contradicted == ({"processed"} < set(said) and "delayed" not in said)


def test_what_the_relay_refuses_is_known_at_once() -> None:
    assert status(event("smtp-0001", a="accepted", b="refused")).state == "NACKED_XFB"
    assert status(event("smtp-0001", a="refused", b="refused")).state == "CANCELED"


def test_of_the_relay_the_last_attempt_counts() -> None:
    later = event("smtp-0002", a="accepted", b="accepted")
    assert status(later, event("smtp-0001", a="refused", b="refused")).state == "ENDED_TO_ACK"


def test_until_everybody_was_given_to_a_relay_it_is_being_processed() -> None:
    assert status().state == "PROCESSING"
    assert status(event("smtp-0001", a="accepted", b="postponed")).state == "PROCESSING"


def test_who_reports_has_got_it_whatever_the_relay_said() -> None:
    """The connection broke before the relay's answer came."""
    lost = event("smtp-0001", a="postponed", b="postponed")
    assert status(lost, event("1", a="delivered"), event("2", b="processed")).state == "ENDED_TO_ACK"


def test_who_asks_for_nothing_waits_for_nothing_and_still_learns_of_a_failure() -> None:
    silent = msgspec.structs.replace(TO_BOTH, requested=())
    assert status(SENT, of=silent).state == "ENDED"
    assert status(SENT, event("1", a="failed"), of=silent).state == "NACKED_XFB"


def test_a_ready_made_mail_waits_for_its_delivery_only() -> None:
    ready = msgspec.structs.replace(TO_BOTH, requested=("dsn",))
    assert status(SENT, event("1", a="delivered"), of=ready).state == "ENDED_TO_ACK"
    assert status(SENT, event("1", a="delivered", b="relayed"), of=ready).state == "ENDED"


# -- whatever comes ---------------------------------------------------------------------------------------------


@st.composite
def histories(draw: st.DrawFn) -> list[SentEvent]:
    """Attempts with numbers of their own, and reports of any kind."""
    attempts = draw(st.lists(st.sampled_from(["accepted", "refused", "postponed"]), max_size=3))
    found = [event(f"smtp-{number:04d}", a=action, b=action) for number, action in enumerate(attempts, 1)]
    actions = [action for action, (kind, _) in SAYS.items() if kind != "smtp"]
    who = st.sampled_from(["a", "b", "nobody"])
    reports = draw(st.lists(st.tuples(who, st.sampled_from(actions)), max_size=6))
    return found + [event(str(number), **{who: action}) for number, (who, action) in enumerate(reports)]


@given(histories().flatmap(lambda events: st.tuples(st.just(events), st.permutations(events))))
def test_the_order_does_not_matter(both: tuple[list[SentEvent], list[SentEvent]]) -> None:
    assert status(*both[0]) == status(*both[1])


@given(histories())
def test_what_comes_twice_changes_nothing(events: list[SentEvent]) -> None:
    assert status(*events, *events) == status(*events)


STRENGTH = [("undefined", ""), ("negative", "dsn"), ("positive", "mdn"), ("negative", "mdn")]


@given(histories(), histories())
def test_a_further_report_never_takes_back_what_one_said(
    before: list[SentEvent], more: list[SentEvent]
) -> None:
    reports = [one for one in (*before, *more) if one.kind != "smtp"]
    for first, second in zip(
        status(SENT, *(one for one in before if one.kind != "smtp")).recipients,
        status(SENT, *reports).recipients,
        strict=True,
    ):
        assert STRENGTH.index((first.verdict, first.by)) <= STRENGTH.index((second.verdict, second.by))


@given(histories())
def test_only_positive_mdns_of_all_make_it_certain(events: list[SentEvent]) -> None:
    found = status(*events)
    assert (found.state == "ACKED") == all(one.verdict == "positive" for one in found.recipients)
    assert found.positive + found.negative + found.undefined == len(found.recipients)
