"""The loop is closed on real servers: Postfix reports, Dovecot keeps, two gateways send, receive, answer and are answered."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.dovecot import Dovecot
from support.postfix import BEYOND, OURS, THEIRS, Postfix
from support.programs import until
from support.served import Served, new_name

from airflow_pop3_gateway.config import LocalSite, RemoteSite
from airflow_pop3_gateway.gateway import acknowledge, classify, retrieve
from airflow_pop3_gateway.gateway.clock import utc_now
from airflow_pop3_gateway.gateway.outgoing import SendRequest, local_ident
from airflow_pop3_gateway.gateway.send import send
from airflow_pop3_gateway.gateway.track import Tracked, tracked, waiting
from airflow_pop3_gateway.hooks.smtp import GatewaySmtpHook
from airflow_pop3_gateway.mail.fields import Mailbox
from airflow_pop3_gateway.pop3 import Pop3Client
from airflow_pop3_gateway.records import Acknowledged, Classified
from airflow_pop3_gateway.records.sent import Sent
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.store.sent import events
from airflow_pop3_gateway.testing.smtp_server import SmtpServer

MANY = 100


class Gateway:
    """One gateway: a mailbox, a store of its own, the relay."""

    def __init__(self, dovecot: Dovecot, postfix: Postfix, site: RemoteSite, domain: str, base: Path) -> None:
        self.address = postfix.add(dovecot.add(f"{new_name()}@{domain}"))
        self._dovecot = dovecot
        self.store = Store.at(base)
        self.site = dataclasses.replace(
            site, name="edi", login=self.address, local_site=LocalSite(mail_address=self.address)
        )

    def send(self, relay: GatewaySmtpHook, name: str, *to: str, **options: Any) -> Sent:
        request = SendRequest(
            local_ident(self.address, name),
            "relay",
            Mailbox(self.address),
            tuple(map(Mailbox, to)),
            subject=name,
            message="hello",
            **options,
        )
        return send(request, self.store, relay)

    def waits(self, count: int) -> None:
        until(lambda: len(self._dovecot.mails(self.address)) >= count, f"{count} mails for {self.address}")

    def run(self, relay: GatewaySmtpHook) -> tuple[Classified, Acknowledged]:
        """What a scheduled run does."""
        retrieve(self.site, self.store, Pop3Client.connect)
        classified = classify(self.site, self.store)
        return classified, acknowledge(self.site, self.store, relay.send_raw)

    def stands(self, sent: Sent) -> Tracked:
        return tracked(self.store, sent.key, utc_now())

    @property
    def left(self) -> int:
        return len(self._dovecot.mails(self.address))


@pytest.fixture
def relay(postfix: Postfix, connection: Callable[..., str]) -> Iterator[GatewaySmtpHook]:
    extra = {"disable_ssl": True, "disable_tls": True}
    connection("relay", conn_type="smtp", host=postfix.host, port=postfix.port, extra=extra)
    with GatewaySmtpHook("relay") as hook:
        yield hook


@pytest.fixture
def gateway(
    dovecot: Dovecot, postfix: Postfix, serve: Callable[[str, str], Served], tmp_path: Path
) -> Callable[[str], Gateway]:
    site = serve("dovecot", "tls").site
    return lambda domain: Gateway(dovecot, postfix, site, domain, tmp_path / domain)


def test_every_fate_of_a_mail_comes_back_to_its_recipient(
    gateway: Callable[[str], Gateway], relay: GatewaySmtpHook, postfix: Postfix
) -> None:
    """Delivered, relayed to one without DSN, and failed, in one mail; the relay refuses a fourth at once."""
    us, partner = gateway(OURS), gateway(THEIRS)
    nobody, beyond, outside = f"nobody+x@{THEIRS}", f"someone@{BEYOND}", "someone@outside.example"
    with SmtpServer(port=postfix.next_hop):
        result = us.send(relay, "mixed", partner.address, nobody, beyond, outside)
        until(lambda: us.run(relay) and len(_answered(us.stands(result))) == 3, "all are reported", pause=0.2)
    found = us.stands(result)
    assert {one.address: (one.dsn, one.verdict, one.by) for one in found.status.recipients} == {
        partner.address: ("delivered", "undefined", ""),
        nobody: ("failed", "negative", "dsn"),
        beyond: ("relayed", "undefined", ""),
        outside: ("", "negative", "smtp"),
    }
    assert (found.status.state, found.status.unassigned) == ("NACKED_XFB", None)
    assert list(waiting(us.store, utc_now())) == []


def test_a_delay_is_followed_by_what_became_of_it(
    gateway: Callable[[str], Gateway], relay: GatewaySmtpHook, postfix: Postfix
) -> None:
    """The next relay cannot be reached, and then can."""
    us = gateway(OURS)
    result = us.send(relay, "late", f"late@{BEYOND}")

    def says(action: str) -> bool:
        us.run(relay)
        return us.stands(result).status.recipients[0].dsn == action

    until(lambda: says("delayed"), "the delay is reported", pause=0.2)
    with SmtpServer(port=postfix.next_hop):
        until(lambda: says("relayed"), "the delivery is reported", pause=0.2)
    actions = [row.action for event in events(us.store, result.key) for row in event.rows]
    assert (actions[0], actions[1], actions[-1]) == ("accepted", "delayed", "relayed")
    assert us.stands(result).status.state == "ENDED_TO_ACK"


def _answered(found: Tracked) -> list[str]:
    return [one.address for one in found.status.recipients if one.dsn]


@pytest.mark.timeout(120)
def test_two_gateways_close_every_loop_and_neither_answers_an_answer(
    gateway: Callable[[str], Gateway], relay: GatewaySmtpHook
) -> None:
    """Hundreds of transfers in both directions; each brings a DSN by Postfix and a receipt by the other gateway."""
    us, partner = gateway(OURS), gateway(THEIRS)
    ours = [us.send(relay, f"order {number}", partner.address) for number in range(MANY)]
    theirs = [partner.send(relay, f"invoice {number}", us.address) for number in range(MANY)]
    us.waits(2 * MANY)
    partner.waits(2 * MANY)
    types: dict[str, Counter[str]] = {us.address: Counter(), partner.address: Counter()}
    receipts: Counter[str] = Counter()

    def everything_has_come() -> bool:
        for one in (us, partner):
            classified, acknowledged = one.run(relay)
            types[one.address] += Counter(classified.types)
            receipts[one.address] += acknowledged.sent
            assert (acknowledged.refused, acknowledged.postponed, acknowledged.limited) == (0, 0, 0)
        return all(sum(counts.values()) >= 3 * MANY for counts in types.values())

    until(everything_has_come, "three mails for each transfer", pause=0.2)
    for one, sent in ((us, ours), (partner, theirs)):
        assert {one.stands(each).status.state for each in sent} == {"ACKED"}
        assert list(waiting(one.store, utc_now())) == []
        assert types[one.address] == {"MSG": MANY, "EERP": 2 * MANY}
        assert receipts[one.address] == MANY
        assert one.left == 0
