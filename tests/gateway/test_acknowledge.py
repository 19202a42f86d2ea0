"""What waits in the outbox goes out once, and says why when it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from support.maildrop import ASKS_FOR_A_RECEIPT, Maildrop, attachment, multipart

from airflow_pop3_gateway.errors import RelayRefused, RelayUnavailable
from airflow_pop3_gateway.gateway import acknowledge, classify
from airflow_pop3_gateway.store import outbox

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


def waiting(maildrop: Open, count: int = 1) -> Maildrop:
    mails = [multipart(n, attachment(b"a", b"a"), headers=ASKS_FOR_A_RECEIPT) for n in range(count)]
    drop = maildrop(*mails)
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
    relay = Relay()
    assert acknowledge(drop.site, drop.store, relay, now=drop.now).sent == 1
    assert waiting_receipt.message_id.encode() in relay.box[0][2]


def test_a_relay_that_says_no_is_not_asked_again(maildrop: Open) -> None:
    drop = waiting(maildrop, 2)
    result = acknowledge(drop.site, drop.store, Relay(RelayRefused("550 no"), None), now=drop.now)
    assert (result.sent, result.refused) == (1, 1)
    assert acknowledge(drop.site, drop.store, Relay(), now=drop.now).sent == 0


def test_another_sites_receipts_are_not_touched(maildrop: Open) -> None:
    drop, relay = waiting(maildrop), Relay()
    assert acknowledge(drop.setup(name="other").site, drop.store, relay, now=drop.now).sent == 0
    assert relay.box == []
