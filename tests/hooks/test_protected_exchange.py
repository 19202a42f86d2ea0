"""Two gateways exchange a file by AS1 (RFC 3335): signed, encrypted, with a signed receipt; by POP3 and SMTP servers."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from airflow.sdk.exceptions import AirflowFailException
from support.identities import Identity, identity

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.gateway import acknowledge, classify, retrieve
from airflow_pop3_gateway.gateway.clock import utc_now
from airflow_pop3_gateway.gateway.track import tracked
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.hooks.send import send_transfer
from airflow_pop3_gateway.hooks.smtp import GatewaySmtpHook
from airflow_pop3_gateway.pop3 import Pop3Client
from airflow_pop3_gateway.records import TransferRecord
from airflow_pop3_gateway.smime.mic import mic_of
from airflow_pop3_gateway.store import Store, layout, sent
from airflow_pop3_gateway.testing.pop3_server import Pop3Server
from airflow_pop3_gateway.testing.smtp_server import SmtpServer

A, B = "orders@a.example", "edi@b.example"
FILE = b"ISA*00*" + bytes(range(256)) * 40


class Post:
    """The servers between the two, and what each of them has."""

    def __init__(
        self, folder: Path, smtp: SmtpServer, pop3: Pop3Server, connection: Callable[..., str]
    ) -> None:
        self.smtp, self.pop3, self._connection, self._folder = smtp, pop3, connection, folder
        extra = {"disable_ssl": True, "disable_tls": True}
        connection("relay", conn_type="smtp", host=smtp.host, port=smtp.port, extra=extra)
        self.stores = {address: Store.at(folder / address.partition("@")[0]) for address in (A, B)}
        (folder / "order.x12").write_bytes(FILE)

    def mailbox(self, address: str, own: Identity, partners: dict[str, Any]) -> RemoteSite:
        """The connection of one of them, named as the first part of the address."""
        certificate, key = own.write(self._folder)
        extra = {
            "security": "plain",
            "mail_address": address,
            "smtp_conn_id": "relay",
            "smime_certificate": certificate,
            "smime_key": key,
            "smime_partners": partners,
        }
        name = self.pop3.add(address.partition("@")[0])
        self._connection(
            name,
            conn_type="pop3",
            host=self.pop3.host,
            port=self.pop3.port,
            login=name,
            password=self.pop3.password,
            extra=extra,
        )
        return Pop3Hook(name).site

    def send(self, **arguments: Any) -> dict[str, Any]:
        """A sends the file to B."""
        return send_transfer(
            **{
                "file": (self._folder / "order.x12").as_uri(),
                "subject": "order",
                "to": B,
                "pop3_conn_id": "orders",
                "transfer_id": "one",
                "base_path": (self._folder / "orders").as_uri(),
                **arguments,
            }
        )

    def carry(self) -> bytes:
        """What was sent last arrives at its recipient."""
        mail = self.smtp.box.pop()
        (recipient,) = mail.recipients
        self.pop3.deliver(recipient.partition("@")[0], mail.octets)
        return mail.octets

    def receive(self, site: RemoteSite, address: str) -> TransferRecord:
        store = self.stores[address]
        retrieve(site, store, Pop3Client.connect)
        (key,) = classify(site, store).transfers[-1:]
        line = json.loads(store.read(key).splitlines()[-1])
        return TransferRecord.from_json(json.loads(store.read(layout.record(line["key"]))))

    def acknowledge(self, site: RemoteSite, address: str) -> None:
        with GatewaySmtpHook("relay") as relay:
            assert acknowledge(site, self.stores[address], relay.send_raw).sent == 1


@pytest.fixture
def post(
    tmp_path: Path,
    connection: Callable[..., str],
    smtp_server: Callable[..., SmtpServer],
    pop3_server: Callable[..., Pop3Server],
) -> Post:
    return Post(tmp_path, smtp_server(), pop3_server({}), connection)


@pytest.fixture
def sites(post: Post, tmp_path: Path) -> tuple[RemoteSite, RemoteSite]:
    """A asks for everything that B demands."""
    a, b = identity(A, ends=36_500), identity(B, ends=36_500)
    paths = {one.address: one.write(tmp_path)[0] for one in (a, b)}
    wants = {"certificate": paths[B], "sign": True, "encrypt": True, "request_receipt": True}
    demands = {"certificate": paths[A], "require_signed": True, "require_encrypted": True}
    return post.mailbox(A, a, {B: wants}), post.mailbox(B, b, {"*@a.example": demands})


def test_a_file_goes_there_and_its_signed_receipt_comes_back(
    post: Post, sites: tuple[RemoteSite, RemoteSite]
) -> None:
    a, b = sites
    outcome = post.send(acknowledgment_option="not_to_ack")
    wire = post.carry()
    assert (
        base64.b64encode(FILE[:30]) not in wire
        and b"application/pkcs7-mime; smime-type=enveloped-data" in wire
    )
    assert b"Disposition-Notification-Options: signed-receipt-protocol" in wire

    record = post.receive(b, B)
    assert (record.type, record.file_name, record.rejected) == ("XFER", "order.x12", None)
    assert post.stores[B].read(record.files[0].path) == FILE
    assert record.protection is not None
    assert record.protection.layers == ("encrypted", "signed") and record.protection.signers[0].trusted
    transfer = sent.read(post.stores[A], outcome["key"])
    assert transfer.mic is not None and record.mic == transfer.mic

    post.acknowledge(b, B)
    assert b"multipart/signed" in post.carry()
    receipt = post.receive(a, A)
    assert receipt.type == "EERP" and receipt.report is not None and receipt.report.verdict == "positive"
    assert receipt.protection is not None and receipt.protection.signers[0].trusted
    event = sent.events(post.stores[A], transfer.key)[-1]
    assert (event.kind, event.proof) == ("mdn", "match")
    assert tracked(post.stores[A], transfer.key, utc_now()).status.state == "ACKED"


def test_a_receipt_for_another_content_is_a_negative_one(
    post: Post, sites: tuple[RemoteSite, RemoteSite]
) -> None:
    """B signs for what it got; A remembers something else."""
    a, b = sites
    outcome = post.send()
    post.carry()
    post.receive(b, B)
    post.acknowledge(b, B)
    post.carry()
    path = layout.sent(outcome["key"])
    transfer = msgspec.structs.replace(
        sent.read(post.stores[A], outcome["key"]), mic=mic_of(b"something else")
    )
    post.stores[A].replace(path, json.dumps(transfer.to_json()).encode())
    assert post.receive(a, A).type == "EERP"
    assert tracked(post.stores[A], transfer.key, utc_now()).status.state == "NACKED_USER"


def test_a_mail_that_must_be_encrypted_goes_to_no_stranger(
    post: Post, sites: tuple[RemoteSite, RemoteSite]
) -> None:
    with pytest.raises(AirflowFailException, match="stranger"):
        post.send(cc="stranger@else.example")
    assert post.smtp.box == []


def test_a_partner_who_wants_nothing_gets_a_plain_mail(post: Post) -> None:
    post.mailbox(A, identity(A, ends=36_500), {})
    post.send()
    assert b"Content-Type: multipart/mixed" in post.smtp.box[0].octets
