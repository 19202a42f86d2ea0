"""What waits in the outbox goes out once, and says why when it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.maildrop import ASKS_FOR_A_RECEIPT, Maildrop, attachment, multipart

from airflow_pop3_gateway.config import AddressPatterns, LocalSite
from airflow_pop3_gateway.errors import ConfigurationError, RelayRefused, RelayUnavailable
from airflow_pop3_gateway.gateway import acknowledge, classify, purge
from airflow_pop3_gateway.store import Store, layout, outbox
from airflow_pop3_gateway.testing.faulty_pop3_server import Mailbox

Open = Callable[..., Maildrop]


class Relay:
    """Takes messages, or says no."""

    def __init__(self, *answers: Exception | None) -> None:
        self.box: list[tuple[str, list[str], bytes]] = []
        self._answers = list(answers)

    def __call__(self, mail_from: str, recipients: Sequence[str], message: bytes) -> None:
        answer = self._answers.pop(0) if self._answers else None
        if answer is not None:
            raise answer
        self.box.append((mail_from, list(recipients), message))


def asking(count: int, start: int = 0) -> list[bytes]:
    return [multipart(start + n, attachment(b"a", b"a"), headers=ASKS_FOR_A_RECEIPT) for n in range(count)]


def waiting(maildrop: Open, count: int = 1, **options: Any) -> Maildrop:
    drop = maildrop(*asking(count), **options)
    drop.poll()
    assert classify(drop.site, drop.store).receipts == count
    return drop


def test_every_receipt_goes_out_once_with_a_null_reverse_path(maildrop: Open) -> None:
    drop, relay = waiting(maildrop, 3), Relay()
    assert acknowledge(drop.site, drop.store, relay, now=drop.now).sent == 3
    assert acknowledge(drop.site, drop.store, relay, now=drop.now).sent == 0
    assert [(sender, to) for sender, to, _ in relay.box] == [("", ["p@partner.example"])] * 3


def test_a_relay_that_says_later_is_asked_again_with_the_same_octets(maildrop: Open) -> None:
    drop = waiting(maildrop)
    (key,) = outbox.pending(drop.store, "edi")
    first = acknowledge(drop.site, drop.store, Relay(RelayUnavailable("421 later")), now=drop.now)
    assert (first.sent, first.postponed) == (0, 1)
    waiting_receipt = outbox.read(drop.store, key)
    assert (waiting_receipt.attempts, waiting_receipt.last_error) == (1, "421 later")
    drop.now.time += timedelta(minutes=1)
    relay = Relay()
    assert acknowledge(drop.site, drop.store, relay, now=drop.now).sent == 1
    assert waiting_receipt.message_id.encode() in relay.box[0][2]


def test_a_relay_that_says_no_is_not_asked_again(maildrop: Open) -> None:
    drop = waiting(maildrop, 2)
    result = acknowledge(drop.site, drop.store, Relay(RelayRefused("550 no"), None), now=drop.now)
    assert (result.sent, result.refused) == (1, 1)
    assert acknowledge(drop.site, drop.store, Relay(), now=drop.now).sent == 0


def test_what_another_worker_sent_since_it_was_read_is_not_sent_again(maildrop: Open) -> None:
    drop, relay, both = waiting(maildrop, 2), Relay(), []

    def another_sweep_in_between() -> datetime:
        if not both:
            both.append(acknowledge(drop.site, drop.store, relay, now=drop.now))
        return drop.now()

    both.append(acknowledge(drop.site, drop.store, relay, now=another_sweep_in_between))
    assert len(relay.box) == 2
    assert [(one.sent, one.postponed) for one in both] == [(2, 0), (0, 0)]


def test_another_sites_receipts_are_not_touched(maildrop: Open) -> None:
    drop, relay = waiting(maildrop), Relay()
    assert acknowledge(drop.setup(name="other").site, drop.store, relay, now=drop.now).sent == 0
    assert relay.box == []


def test_the_delay_doubles_up_to_four_hours_and_every_attempt_is_written_down(maildrop: Open) -> None:
    drop = waiting(maildrop)
    (key,) = outbox.pending(drop.store, "edi")
    delays = []
    for _ in range(11):
        begun = drop.now()
        acknowledge(drop.site, drop.store, Relay(RelayUnavailable("421 later")), now=drop.now)
        drop.now.time = layout.moment(outbox.read(drop.store, key).next_attempt_at or "")
        delays.append((drop.now() - begun) / timedelta(minutes=1))
    assert delays == [1, 2, 4, 8, 16, 32, 64, 128, 240, 240, 240]
    receipt = outbox.read(drop.store, key)
    assert len(receipt.failures) == 11
    assert receipt.failures[0] == "2026-11-23T08:00:00.000Z 421 later"


def test_before_its_time_a_receipt_waits_without_an_attempt(maildrop: Open) -> None:
    drop, relay = waiting(maildrop), Relay()
    acknowledge(drop.site, drop.store, Relay(RelayUnavailable("421 later")), now=drop.now)
    drop.now.time += timedelta(seconds=59)
    result = acknowledge(drop.site, drop.store, relay, now=drop.now)
    assert (result.sent, result.postponed, result.waiting, relay.box) == (0, 0, 1, [])
    drop.now.time += timedelta(seconds=1)
    assert acknowledge(drop.site, drop.store, relay, now=drop.now).sent == 1


def test_after_so_many_attempts_it_is_given_up_and_says_so(maildrop: Open) -> None:
    drop = waiting(maildrop, receipt_retry_count_max=2)
    (key,) = outbox.pending(drop.store, "edi")
    results = []
    for _ in range(4):
        results.append(acknowledge(drop.site, drop.store, Relay(RelayUnavailable("421 later")), now=drop.now))
        drop.now.pass_days(1)
    assert [(result.postponed, result.refused) for result in results] == [(1, 0), (1, 0), (0, 1), (0, 0)]
    receipt = outbox.read(drop.store, key)
    assert (receipt.state, receipt.last_error) == ("REFUSED", "given up after 3 attempts: 421 later")


def test_a_relay_that_cannot_be_reached_is_asked_once_a_run(maildrop: Open) -> None:
    drop = waiting(maildrop, 3)
    result = acknowledge(drop.site, drop.store, Relay(RelayUnavailable("no route")), now=drop.now)
    assert (result.sent, result.postponed) == (0, 3)
    attempts = [outbox.read(drop.store, key).attempts for key in outbox.pending(drop.store, "edi")]
    assert sorted(attempts) == [0, 0, 1]


def test_a_relay_that_postpones_one_recipient_is_given_the_others(maildrop: Open) -> None:
    drop = waiting(maildrop, 3)
    later = RelayUnavailable("450 greylisted", refused={"p@partner.example": "450 greylisted"})
    result = acknowledge(drop.site, drop.store, Relay(later), now=drop.now)
    assert (result.sent, result.postponed) == (2, 1)


def test_a_connection_that_must_be_corrected_costs_no_receipt(maildrop: Open) -> None:
    drop = waiting(maildrop, receipt_retry_count_max=0)
    for _ in range(3):
        with pytest.raises(ConfigurationError):
            acknowledge(drop.site, drop.store, Relay(ConfigurationError("login", field="x")), now=drop.now)
    assert acknowledge(drop.site, drop.store, Relay(), now=drop.now).sent == 1


def test_a_relay_that_wants_a_sender_gets_one(maildrop: Open) -> None:
    drop, relay = waiting(maildrop, receipt_sender="receipts@us.example"), Relay()
    acknowledge(drop.site, drop.store, relay, now=drop.now)
    assert [sender for sender, _, _ in relay.box] == ["receipts@us.example"]


# -- enough ----------------------------------------------------------------------------------------------------


def test_past_the_limit_receipts_wait_for_the_next_hour(maildrop: Open) -> None:
    drop, relay = waiting(maildrop, 5, receipts_per_hour=2), Relay()
    results = []
    for _ in range(4):
        results.append(acknowledge(drop.site, drop.store, relay, now=drop.now))
        results.append(acknowledge(drop.site, drop.store, relay, now=drop.now))
        drop.now.time += timedelta(hours=1)
    told = [(result.sent, result.limited, result.postponed) for result in results]
    assert told == [(2, 3, 0), (0, 3, 0), (2, 1, 0), (0, 1, 0), (1, 0, 0), *[(0, 0, 0)] * 3]
    assert len(relay.box) == 5


def test_one_partners_limit_holds_up_nobody_else(maildrop: Open) -> None:
    other = [mail.replace(b"p@partner", b"q@partner") for mail in asking(2, start=10)]
    drop, relay = maildrop(*asking(3), *other, receipts_per_hour=1), Relay()
    drop.poll()
    classify(drop.site, drop.store)
    result = acknowledge(drop.site, drop.store, relay, now=drop.now)
    assert (result.sent, result.limited) == (2, 3)
    assert {to[0] for _, to, _ in relay.box} == {"p@partner.example", "q@partner.example"}


def test_attempts_of_one_receipt_count_once_within_the_hour(maildrop: Open) -> None:
    drop = waiting(maildrop, receipts_per_hour=1)
    acknowledge(drop.site, drop.store, Relay(RelayUnavailable("421 later")), now=drop.now)
    drop.now.time += timedelta(minutes=1)
    assert acknowledge(drop.site, drop.store, Relay(), now=drop.now).sent == 1


def test_a_purge_forgets_the_hours_that_are_over(maildrop: Open) -> None:
    drop = waiting(maildrop)
    acknowledge(drop.site, drop.store, Relay(), now=drop.now)
    purge(drop.site, drop.store, now=drop.now)
    assert drop.store.names("outbox/hours/edi") == ["20261123T08"]
    drop.now.time += timedelta(hours=1)
    purge(drop.site, drop.store, now=drop.now)
    assert drop.store.names("outbox/hours/edi") == []


# -- nothing can loop ------------------------------------------------------------------------------------------


def ring(maildrop: Open, tmp_path: Path, *mails: bytes, **options: Any) -> tuple[Maildrop, Maildrop]:
    """Two gateways; each has a mailbox on the same server."""
    here = maildrop(*mails, **options)
    here.server.mailboxes["partner"] = Mailbox()
    there = Maildrop(here.server, Store.at(tmp_path / "there"))
    there.setup(
        name="partner", login="partner", local_site=LocalSite(mail_address="p@partner.example"), **options
    )
    return here, there


def rounds(
    here: Maildrop, there: Maildrop, count: int, dirt: Callable[[str, bytes], bytes]
) -> list[tuple[str, bytes]]:
    """What goes over the wire while each polls in turn; ``dirt`` is what the mail systems between make of it."""
    posted: list[tuple[str, bytes]] = []
    boxes = {"edi@us.example": here.mailbox, "p@partner.example": here.server.mailboxes["partner"]}

    def send(mail_from: str, recipients: Sequence[str], message: bytes) -> None:
        posted.append((recipients[0], message))
        boxes[recipients[0]].deliver(dirt(mail_from, message))

    for _ in range(count):
        for drop in (here, there):
            with drop.server.mailboxes[drop.site.login].lock:  # the session before has ended
                pass
            drop.poll()
            classify(drop.site, drop.store)
            acknowledge(drop.site, drop.store, send, now=drop.now)
    return posted


def honest(mail_from: str, message: bytes) -> bytes:
    return b"Return-Path: <" + mail_from.encode() + b">\r\n" + message


def test_two_gateways_that_acknowledge_each_other_stop_after_one_receipt(
    maildrop: Open, tmp_path: Path
) -> None:
    here, there = ring(maildrop, tmp_path, *asking(3))
    posted = rounds(here, there, 4, honest)
    assert [to for to, _ in posted] == ["p@partner.example"] * 3
    assert there.server.mailboxes["partner"].mails == {}, "they were fetched and answered nothing"


def asks_back(mail_from: str, message: bytes) -> bytes:
    """A broken system asks for a receipt of every receipt, and invents the return path for it."""
    sender = b"edi@us.example" if message.startswith(b"From: edi@us.example") else b"p@partner.example"
    asks = b"Return-Path: <" + sender + b">\r\nDisposition-Notification-To: " + sender + b"\r\n"
    return asks + message


def test_receipts_that_ask_for_receipts_are_not_answered(maildrop: Open, tmp_path: Path) -> None:
    here, there = ring(maildrop, tmp_path, *asking(3), trusted_partners=AddressPatterns("*"))
    assert len(rounds(here, there, 4, asks_back)) == 3


def test_even_a_system_that_makes_new_mails_of_receipts_ends_at_the_limit(
    maildrop: Open, tmp_path: Path
) -> None:
    """Nothing tells such a mail from a partner's; what is left is that a loop is slow."""
    made = iter(range(1000, 2000))

    def makes_new_mails(mail_from: str, message: bytes) -> bytes:
        (mail,) = asking(1, start=next(made))
        if message.startswith(b"From: edi@us.example"):
            mail = mail.replace(b"p@partner", b"edi@us")
        return mail

    here, there = ring(maildrop, tmp_path, *asking(1), receipts_per_hour=3)
    assert len(rounds(here, there, 8, makes_new_mails)) == 6
