"""The way of a mail on real servers: a partner's letters through Postfix into Dovecot, from there into every store as
files and records, and a receipt back through Postfix into the partner's mailbox.
"""

from __future__ import annotations

import dataclasses
import email
import smtplib
from collections.abc import Callable
from pathlib import Path

import pytest
from support.dovecot import Dovecot
from support.postfix import OURS, THEIRS, Postfix
from support.programs import until
from support.served import Served, new_name

from airflow_pop3_gateway.config import LocalSite, RemoteSite
from airflow_pop3_gateway.gateway import acknowledge, classify, retrieve
from airflow_pop3_gateway.hooks.smtp import GatewaySmtpHook
from airflow_pop3_gateway.pop3 import Pop3Client
from airflow_pop3_gateway.records import Acknowledged, Classified, Retrieved
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.store.spool import open_mail, read_manifest
from airflow_pop3_gateway.store.transfers import read_lines
from airflow_pop3_gateway.testing import letters

REPORTS = ("receipt", "bounce")


class Way:
    """A partner, the relay, our mailbox, our store; :meth:`run` is what a scheduled run does."""

    def __init__(self, dovecot: Dovecot, postfix: Postfix, served: Served, store: Store, relay: str) -> None:
        self.dovecot, self.postfix, self.store, self._relay = dovecot, postfix, store, relay
        self.partner = postfix.add(dovecot.add(f"{new_name()}@{THEIRS}"))
        self.us = postfix.add(dovecot.add(f"{new_name()}@{OURS}"))
        self.site = dataclasses.replace(
            served.site, name="edi", login=self.us, local_site=LocalSite(mail_address=self.us)
        )

    def send(self, name: str, mail: bytes) -> None:
        """The partner sends a letter by SMTP; reports come from the null sender."""
        mail = mail.replace(letters.PARTNER.encode(), self.partner.encode())
        sender = "" if name in REPORTS else self.partner
        with smtplib.SMTP(self.postfix.host, self.postfix.port, "localhost") as client:
            client.sendmail(sender, [self.us], mail)

    def waits(self, count: int) -> list[bytes]:
        """What lies in our mailbox when all of it has come, as POP3 gives it."""
        until(lambda: len(self.dovecot.mails(self.us)) == count, f"{count} mails have come")
        return [mail.replace(b"\n", b"\r\n") for mail in self.dovecot.mails(self.us)]

    def run(self, site: RemoteSite | None = None) -> tuple[Retrieved, Classified, Acknowledged]:
        site = site or self.site
        retrieved = retrieve(site, self.store, Pop3Client.connect)
        classified = classify(site, self.store)
        with GatewaySmtpHook(self._relay) as relay:
            return retrieved, classified, acknowledge(site, self.store, relay.send_raw)

    def everything(self) -> set[str]:
        """Every key of the store but the ledger's, which every session writes."""
        areas = ("spool", "files", "records", "transfers", "outbox")
        return {key for area in areas for key in self.store.walk(area)}

    def spooled(self, batch: str | None, site: str = "edi") -> list[bytes]:
        assert batch is not None
        entries = read_manifest(self.store, site, batch) or ()
        return [b"".join(open_mail(self.store, entry)) for entry in entries]


@pytest.fixture
def relay(postfix: Postfix, connection: Callable[..., str]) -> str:
    """The relay as an Airflow connection."""
    in_the_clear = {"disable_ssl": True, "disable_tls": True}
    return connection("relay", conn_type="smtp", host=postfix.host, port=postfix.port, extra=in_the_clear)


@pytest.fixture
def way(
    dovecot: Dovecot,
    postfix: Postfix,
    serve: Callable[[str, str], Served],
    security: str,
    any_store: Store,
    relay: str,
) -> Way:
    """Dovecot in the clear, by STLS and in TLS; files and S3."""
    return Way(dovecot, postfix, serve("dovecot", security), any_store, relay)


def test_every_kind_of_letter_goes_its_way_once(way: Way) -> None:
    sent = letters.one_of_every_kind()
    for name, mail in sent.items():
        way.send(name, mail)
    delivered = way.waits(len(sent))

    retrieved, classified, acknowledged = way.run()

    assert (retrieved.messages, retrieved.deleted, retrieved.more) == (len(sent), len(sent), False)
    assert sorted(way.spooled(retrieved.batch)) == sorted(delivered)
    assert way.dovecot.mails(way.us) == []

    assert classified.messages == len(sent)
    assert classified.types == {"XFER": 15, "MSG": 8, "EERP": 2}
    assert (classified.duplicates, classified.recovered) == (1, 4)
    lines = {
        line["subject"].partition(" ")[0]: line
        for line in read_lines(way.store, "edi", retrieved.batch or "") or ()
    }
    invoice = lines["asks-for-receipt"]
    assert (invoice["type"], invoice["file_name"]) == ("XFER", "ORDERS.edi")
    assert way.store.read(invoice["files"][0]["path"]) == letters.EDIFACT

    assert (acknowledged.sent, acknowledged.refused, acknowledged.postponed) == (1, 0, 0)
    until(lambda: way.dovecot.mails(way.partner), "the partner has the receipt")
    (receipt,) = map(email.message_from_bytes, way.dovecot.mails(way.partner))
    assert receipt["Return-Path"] == "<>"
    assert receipt["To"] == way.partner
    notification = receipt.get_payload(1).get_payload(0)  # type: ignore[union-attr]
    assert notification["Original-Message-ID"] == "<asks-for-receipt-1@supplier.example>"  # type: ignore[index]
    assert notification["Disposition"].endswith("processed")  # type: ignore[index]

    written = way.everything()
    again = way.run()

    assert (again[0].batch, again[0].messages, again[1].messages, again[2].sent) == (None, 0, 0, 0)
    assert way.everything() == written


@pytest.mark.parametrize("security", ["tls"], indirect=True)
def test_a_letter_that_comes_again_is_a_duplicate_and_gets_no_second_receipt(way: Way) -> None:
    way.send("", letters.asks_for_receipt())
    way.waits(1)
    assert way.run()[2].sent == 1

    way.send("", letters.asks_for_receipt())
    way.waits(1)
    retrieved, classified, acknowledged = way.run()

    assert (retrieved.messages, classified.duplicates, acknowledged.sent) == (1, 1, 0)


@pytest.mark.parametrize("security", ["starttls"], indirect=True)
def test_our_receipt_is_read_by_the_partners_gateway_and_answered_by_nobody(way: Way) -> None:
    """The loop of two gateways ends: a receipt for a receipt is never owed."""
    way.send("", letters.asks_for_receipt())
    way.waits(1)
    way.run()
    until(lambda: way.dovecot.mails(way.partner), "the partner has the receipt")

    theirs = dataclasses.replace(
        way.site, name="partner", login=way.partner, local_site=LocalSite(mail_address=way.partner)
    )
    retrieved, classified, acknowledged = way.run(theirs)

    (line,) = read_lines(way.store, "partner", retrieved.batch or "") or ()
    assert (classified.types, line["report"]["kind"], line["report"]["verdict"]) == (
        {"EERP": 1},
        "mdn",
        "positive",
    )
    assert line["report"]["original_message_id"] == "<asks-for-receipt-1@supplier.example>"
    assert acknowledged == Acknowledged("partner")


@pytest.mark.parametrize("security", ["tls"], indirect=True)
def test_a_bounce_by_postfix_is_a_negative_acknowledgment(way: Way) -> None:
    mail = letters.message().replace(letters.PARTNER.encode(), way.us.encode())
    with smtplib.SMTP(way.postfix.host, way.postfix.port, "localhost") as client:
        client.sendmail(way.us, [f"nobody@{THEIRS}"], mail)
    way.waits(1)

    retrieved, classified, _ = way.run()

    (line,) = read_lines(way.store, "edi", retrieved.batch or "") or ()
    assert classified.types == {"EERP": 1}
    assert (line["report"]["kind"], line["report"]["verdict"]) == ("dsn", "negative")
    assert line["report"]["original_message_id"] == "<message-1@supplier.example>"
    assert line["report"]["recipients"][0]["final_recipient"] == f"nobody@{THEIRS}"


@pytest.mark.parametrize("security", ["plain"], indirect=True)
def test_kept_mails_stay_and_are_fetched_once(way: Way) -> None:
    site = dataclasses.replace(way.site, retention="keep")
    way.send("", letters.message())
    way.waits(1)

    first = way.run(site)[0]
    second = way.run(site)[0]

    assert (first.messages, second.messages, second.known) == (1, 0, 1)
    assert len(way.dovecot.mails(way.us)) == 1


def test_a_large_mail_goes_through_in_pieces(
    dovecot: Dovecot, serve: Callable[[str, str], Served], tmp_path: Path
) -> None:
    """Fifty megabytes, straight into the Maildir: nobody's relay takes them."""
    site = dataclasses.replace(serve("dovecot", "tls").mailbox(letters.large_file(50_000_000)), name="edi")
    store = Store.at(tmp_path)

    retrieve(site, store, Pop3Client.connect)
    result = classify(site, store)

    assert (result.files, result.types) == (1, {"XFER": 1})
    (line,) = read_lines(store, "edi", result.batches[0]) or ()
    assert line["files"][0]["size"] == 50_000_000
