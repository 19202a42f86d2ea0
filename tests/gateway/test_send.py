"""Send: once for each recipient, whatever breaks; what the relay said is written down, and nothing else is decided."""

from __future__ import annotations

import dataclasses
import email
import email.policy
import hashlib
import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.relay import SmtplibRelay

from airflow_pop3_gateway.errors import (
    ConfigurationError,
    RelayRefused,
    RelayUnavailable,
    SourceChanged,
    StoreUnavailable,
)
from airflow_pop3_gateway.gateway import examine
from airflow_pop3_gateway.gateway.outgoing import Protected, SendRequest, Source, local_ident, prepare
from airflow_pop3_gateway.gateway.send import send
from airflow_pop3_gateway.mail import compose
from airflow_pop3_gateway.mail.compose import Entity
from airflow_pop3_gateway.mail.extract import Policy
from airflow_pop3_gateway.mail.fields import mailboxes
from airflow_pop3_gateway.records.sent import (
    EVENT_SCHEMA,
    NO_DSN,
    EventRow,
    Sent,
    SentEvent,
    SentRecipient,
    date_of_xfer_ident,
    make_xfer_ident,
)
from airflow_pop3_gateway.store import Store, attempts, layout, sent
from airflow_pop3_gateway.testing.smtp_server import SmtpServer

NOW = datetime(2026, 11, 23, 12, 0, 0, 500_000, tzinfo=timezone.utc)
CONTENT = bytes(range(256)) * 1000
READY = b"From: app@us.example\r\nMessage-ID: <own@app>\r\nSubject: own\r\n\r\n.dot\r\ncaf\xe9\r\n"
Start = Callable[..., SmtpServer]


class Desk:
    """Somebody who sends: a store, a server, a clock."""

    def __init__(self, store: Store, folder: Path, server: SmtpServer) -> None:
        self.store, self.server = store, server
        self.file, self.mail = folder / "ORDERS.edi", folder / "ready.eml"
        self.file.write_bytes(CONTENT)
        self.mail.write_bytes(READY)
        self.relay = SmtplibRelay(server.host, server.port)
        self.now = NOW

    def request(self, *to: str, **options: Any) -> SendRequest:
        asked: dict[str, Any] = {"subject": "Orders", "file": self.source(self.file), **options}
        return SendRequest(
            local_ident("dag", "run", "task", "-1"),
            "relay",
            mailboxes("orders@us.example", "from_")[0],
            mailboxes(to or "a@x.example", "to"),
            **asked,
        )

    def ready_made(self, *to: str, **options: Any) -> SendRequest:
        return self.request(*to, subject="", file=None, ready_made=self.source(self.mail), **options)

    @staticmethod
    def source(path: Path) -> Source:
        return Source(str(path), path.name, lambda: (path.read_bytes(),))

    def send(self, request: SendRequest) -> Sent:
        self.now += timedelta(minutes=1)
        return send(request, self.store, self.relay, now=lambda: self.now)

    def mails(self) -> list[EmailMessage]:
        parsed = [
            email.message_from_bytes(one.octets, policy=email.policy.default) for one in self.server.box
        ]
        return [mail for mail in parsed if isinstance(mail, EmailMessage)]

    def rows(self, key: str) -> list[list[tuple[str, str, str]]]:
        """Of each event: recipient, action, status."""
        return [
            [(row.recipient, row.action, row.status) for row in event.rows]
            for event in sent.events(self.store, key)
        ]

    def key(self) -> str:
        """Of the only transfer there is."""
        found = [one for one in self.store.walk("sent") if one.endswith(".json") and "/events/" not in one]
        (path,) = found
        return path.rpartition("/")[2].removesuffix(".json")


@pytest.fixture
def open_desk(tmp_path: Path, smtp_server: Start) -> Callable[..., Desk]:
    return lambda *faults: Desk(Store.at(tmp_path / "base"), tmp_path, smtp_server(*faults))


@pytest.fixture
def desk(open_desk: Callable[..., Desk]) -> Desk:
    return open_desk("dsn")


def test_a_file_with_a_message_arrives_and_is_written_down(desk: Desk) -> None:
    result = desk.send(
        desk.request(
            "A <a@x.example>",
            cc=mailboxes("c@x.example", "cc"),
            bcc=mailboxes("b@x.example", "bcc"),
            message="Gr\u00fc\u00dfe",
            xfb={"appli": "ORDERS", "dest": "BANK"},
            ack_within=timedelta(hours=4),
            headers={"X-Priority": "1"},
            asked_by={"dag_id": "dag"},
        )
    )

    (mail,) = desk.mails()
    assert mail.defects == []
    assert (mail["From"], mail["To"], mail["Cc"], mail["Bcc"]) == (
        "orders@us.example",
        "A <a@x.example>",
        "c@x.example",
        None,
    )
    assert mail["Subject"] == "Orders //XFB appli=ORDERS; DEST=BANK"
    assert mail["Message-ID"] == result.xfer_ident == result.message_id
    assert mail["Date"].datetime == NOW.replace(microsecond=0) + timedelta(minutes=1)
    assert mail["Disposition-Notification-To"] == "<orders@us.example>"
    assert mail["X-Priority"] == "1"
    (attached,) = mail.iter_attachments()
    assert (attached.get_filename(), attached.get_content()) == ("ORDERS.edi", CONTENT)
    body = mail.get_body()
    assert body is not None and body.get_content() == "Gr\u00fc\u00dfe\r\n"
    assert desk.server.box[0].recipients == ("a@x.example", "c@x.example", "b@x.example")

    record = sent.read(desk.store, result.key)
    assert record.recipients == (
        SentRecipient("a@x.example", "to"),
        SentRecipient("c@x.example", "cc"),
        SentRecipient("b@x.example", "bcc"),
    )
    assert (record.type, record.requested, record.user_message) == ("XFER", ("dsn", "mdn"), "Gr\u00fc\u00dfe")
    assert (record.application, record.xfb) == ("ORDERS", {"appli": "ORDERS", "dest": "BANK"})
    assert (record.files[0].name, record.files[0].size) == ("ORDERS.edi", len(CONTENT))
    assert record.ack_deadline == "2026-11-23T16:01:00.000Z"
    assert record.asked_by == {"dag_id": "dag"}
    assert sent.waiting_keys(desk.store) == [result.key]
    assert (result.recipients, result.accepted, result.refused, result.attempts) == (3, 3, 0, 1)
    assert result.octets == len(desk.server.box[0].octets)


def test_dsn_is_asked_for_with_our_identity_and_the_recipient_as_we_know_it(desk: Desk) -> None:
    result = desk.send(desk.request("a+b=c@x.example"))
    options = desk.server.box[0].options
    size = f"SIZE={result.octets}"
    assert options[""] == f"{size} RET=HDRS ENVID={result.xfer_ident}"
    assert options["a+b=c@x.example"] == "NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;a+2Bb+3Dc@x.example"


def test_a_relay_without_dsn_gets_the_mail_and_the_event_says_so(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk()
    result = desk.send(desk.request())
    assert "ENVID" not in desk.server.box[0].options[""]
    assert desk.mails()[0]["Disposition-Notification-To"]
    assert [event.note for event in sent.events(desk.store, result.key)] == [NO_DSN]


def test_nothing_is_asked_for_without_to_ack(desk: Desk) -> None:
    result = desk.send(desk.request(acknowledgment_option="not_to_ack", ack_within=timedelta(1)))
    (mail,) = desk.mails()
    assert mail["Disposition-Notification-To"] is None
    assert "ENVID" not in desk.server.box[0].options[""]
    assert (result.requested, result.ack_deadline) == ((), None)
    assert sent.waiting_keys(desk.store) == []


def test_a_message_alone_is_a_text(desk: Desk) -> None:
    result = desk.send(desk.request(file=None, message="hello"))
    (mail,) = desk.mails()
    assert (mail.get_content_type(), mail.get_content()) == ("text/plain", "hello\r\n")
    assert sent.read(desk.store, result.key).type == "MSG"


def test_a_ready_made_mail_goes_octet_for_octet_and_asks_for_dsn_only(desk: Desk) -> None:
    result = desk.send(desk.ready_made("a@x.example", "b@x.example"))
    (taken,) = desk.server.box
    assert (taken.octets, taken.recipients) == (READY, ("a@x.example", "b@x.example"))
    assert f"BODY=8BITMIME RET=HDRS ENVID={result.xfer_ident}" in taken.options[""]
    record = sent.read(desk.store, result.key)
    assert (record.ready_made, record.message_id, record.subject) == (True, "<own@app>", "own")
    assert record.requested == ("dsn",)
    assert sent.find(desk.store, "<own@app>") == record == sent.find(desk.store, result.xfer_ident)


def test_a_ready_made_mail_without_message_id_is_known_by_its_envid_alone(desk: Desk) -> None:
    desk.mail.write_bytes(b"From: app@us.example\n\nhello")
    result = desk.send(desk.ready_made())
    assert desk.server.box[0].octets == b"From: app@us.example\r\n\r\nhello\r\n"
    assert result.message_id == ""
    assert sent.find(desk.store, "") is None


@pytest.mark.parametrize("content", [b"", b"\r\nno header", b"bare\rreturn: x\r\n\r\n"])
def test_what_is_no_mail_does_not_go_as_one(desk: Desk, content: bytes) -> None:
    desk.mail.write_bytes(content)
    with pytest.raises(ConfigurationError):
        desk.send(desk.ready_made())
    assert desk.server.box == []


# -- once ---------------------------------------------------------------------------------------------------------


def test_a_second_attempt_of_what_is_sent_sends_nothing(desk: Desk) -> None:
    first = desk.send(desk.request())
    desk.file.unlink()
    again = desk.send(desk.request())
    assert again == msgspec.structs.replace(first, octets=0)
    assert len(desk.server.box) == 1


@pytest.mark.parametrize(
    "fault", ["data-451", "cut-data", "drop-in-data", "sender-4xx", "rcpt-450:a@x.example"]
)
def test_an_attempt_that_failed_is_made_again_with_the_same_octets(
    open_desk: Callable[..., Desk], fault: str
) -> None:
    desk = open_desk("dsn", fault)
    with pytest.raises(RelayUnavailable):
        desk.send(desk.request())
    desk.server.faults.remove(fault)
    result = desk.send(desk.request())
    (mail,) = desk.mails()
    assert result.attempts == 2
    assert (
        mail["Date"].datetime
        == date_of_xfer_ident(result.xfer_ident)
        == NOW.replace(microsecond=0) + timedelta(minutes=1)
    )
    assert [[action for _, action, _ in rows] for rows in desk.rows(desk.key())] == [
        ["postponed"],
        ["accepted"],
    ]


def test_a_lost_answer_may_bring_a_second_copy_under_the_same_message_id(
    open_desk: Callable[..., Desk],
) -> None:
    desk = open_desk("lose-answer")
    with pytest.raises(RelayUnavailable):
        desk.send(desk.request())
    desk.server.faults.clear()
    desk.send(desk.request())
    first, second = desk.server.box
    assert first.octets == second.octets


def test_who_was_reported_on_gets_no_second_copy_though_the_answer_was_lost(
    open_desk: Callable[..., Desk],
) -> None:
    desk = open_desk("lose-answer")
    with pytest.raises(RelayUnavailable):
        desk.send(desk.request())
    rows = (EventRow("a@x.example", "undefined", "delivered", "2.0.0"),)
    event = SentEvent(EVENT_SCHEMA, "1", "dsn", layout.timestamp(desk.now), rows)
    sent.append(desk.store, desk.key(), event)
    desk.server.faults.clear()
    assert desk.send(desk.request()).accepted == 1
    assert len(desk.server.box) == 1


def test_a_worker_that_died_after_the_record_leaves_it_to_the_next_attempt(desk: Desk) -> None:
    """Another host cannot see that it died: its claim holds for a lease that grows with the mail."""
    ident = sent.xfer_ident(
        desk.store, desk.request().local_ident, make_xfer_ident("orders@us.example", NOW, "x")
    )
    record = sent.create(desk.store, prepare(desk.request(), ident).transfer)
    mark = {"at": layout.timestamp(NOW), "host": "elsewhere", "pid": 1}
    desk.store.put(layout.sent_attempt(record.key, 1), json.dumps(mark).encode())
    with pytest.raises(RelayUnavailable, match="Another worker"):
        desk.send(desk.request())
    desk.now += attempts.LEASE + timedelta(seconds=10)
    result = desk.send(desk.request())
    assert (result.xfer_ident, result.attempts, len(desk.server.box)) == (ident, 2, 1)


def test_what_another_worker_sent_since_the_history_was_read_is_not_sent_again(desk: Desk) -> None:
    times = iter([False, True])

    def another_worker_in_between() -> datetime:
        if next(times, False):
            desk.send(desk.request())
        return desk.now

    with pytest.raises(RelayUnavailable, match="Another worker"):
        send(desk.request(), desk.store, desk.relay, now=another_worker_in_between)
    assert len(desk.server.box) == 1


def test_a_refusal_of_some_is_written_down_and_the_others_have_it(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk("rcpt-550:b@x.example")
    result = desk.send(desk.request("a@x.example", "b@x.example"))
    assert (result.accepted, result.refused) == (1, 1)
    assert desk.rows(result.key) == [
        [("a@x.example", "accepted", "2.0.0"), ("b@x.example", "refused", "5.1.1")]
    ]
    assert desk.send(desk.request("a@x.example", "b@x.example")).attempts == 1


def test_only_those_who_were_told_later_are_tried_again(open_desk: Callable[..., Desk]) -> None:
    desk = open_desk("rcpt-550:b@x.example", "rcpt-450:c@x.example")
    request = desk.request("a@x.example", "b@x.example", "c@x.example")
    with pytest.raises(RelayUnavailable, match=r"c@x\.example: 450"):
        desk.send(request)
    desk.server.faults.clear()
    result = desk.send(request)
    assert [one.recipients for one in desk.server.box] == [("a@x.example",), ("c@x.example",)]
    assert (result.accepted, result.refused) == (2, 1)


def test_more_recipients_than_a_relay_takes_at_once_go_in_several_transactions(
    open_desk: Callable[..., Desk],
) -> None:
    desk = open_desk("rcpt-most:2")
    addresses = [f"{number}@x.example" for number in range(5)]
    result = desk.send(desk.request(*addresses))
    assert [len(one.recipients) for one in desk.server.box] == [2, 2, 1]
    assert len({one.octets for one in desk.server.box}) == 1
    assert (result.accepted, result.attempts) == (5, 3)


@pytest.mark.parametrize("fault", ["data-554", "rcpt-550:a@x.example"])
def test_a_refusal_of_all_is_final_until_a_person_tries_again(
    open_desk: Callable[..., Desk], fault: str
) -> None:
    desk = open_desk(fault)
    with pytest.raises(RelayRefused, match=r"was refused: a@x\.example: 55"):
        desk.send(desk.request())
    assert sent.waiting_keys(desk.store) == []
    desk.server.faults.clear()
    assert desk.send(desk.request()).attempts == 2
    assert len(sent.waiting_keys(desk.store)) == 1


@pytest.mark.parametrize(
    ("faults", "change", "words"),
    [
        (["size:1000"], {}, "1000"),
        (["hide:SMTPUTF8"], {"to": ["jos\u00e9@x.example"]}, "SMTPUTF8"),
        (["hide:8BITMIME"], {"ready": True}, "8BITMIME"),
    ],
)
def test_a_relay_that_cannot_take_the_mail_is_told_nothing(
    open_desk: Callable[..., Desk], faults: list[str], change: dict[str, Any], words: str
) -> None:
    desk = open_desk(*faults)
    ask = desk.ready_made if change.get("ready") else desk.request
    with pytest.raises(RelayRefused, match=words):
        desk.send(ask(*change.get("to", ["a@x.example"])))
    assert desk.server.box == []
    assert desk.rows(desk.key())[0][0][1] == "refused"


def test_an_international_address_goes_where_it_can(desk: Desk) -> None:
    desk.send(desk.request("jos\u00e9@x.example"))
    (taken,) = desk.server.box
    assert taken.recipients == ("jos\u00e9@x.example",)
    assert "BODY=8BITMIME SMTPUTF8" in taken.options[""]
    assert r"ORCPT=utf-8;jos\x{E9}@x.example" in taken.options["jos\u00e9@x.example"]
    assert "To: jos\u00e9@x.example\r\n".encode() in taken.octets


class Forgetful(Store):
    """A store that cannot be written just when the relay has said yes."""

    broken = True

    def put(self, key: str, data: bytes) -> None:
        if "/events/" in key and self.broken:
            raise StoreUnavailable(key)
        super().put(key, data)


def test_an_answer_that_could_not_be_written_down_may_bring_a_second_copy_under_the_same_message_id(
    desk: Desk, tmp_path: Path
) -> None:
    desk.store = store = Forgetful.at(tmp_path / "base")
    assert isinstance(store, Forgetful)
    with pytest.raises(StoreUnavailable):
        desk.send(desk.request())
    store.broken = False
    assert desk.send(desk.request()).attempts == 2
    first, second = desk.server.box
    assert first.octets == second.octets


def test_what_we_send_our_own_gateway_reads_as_it_was_meant(desk: Desk) -> None:
    desk.send(desk.request(xfb={"appli": "ORDERS", "filename": "a b"}, message="hello"))
    octets = desk.server.box[0].octets
    found = examine(lambda: [octets], len(octets), Policy())
    assert (found["type"], found["file_name"], found["application"]) == ("XFER", "ORDERS.edi", "ORDERS")
    assert (found["subject"], found["xfb"]) == ("Orders", {"appli": "ORDERS", "filename": "a b"})
    assert (found["user_message"], found["attachments"][0]["sha256"]) == (
        "hello",
        hashlib.sha256(CONTENT).hexdigest(),
    )
    assert (found["ack_to"], found["defects"]) == (["orders@us.example"], [])


# -- what changes between attempts --------------------------------------------------------------------------------


def test_a_file_that_changes_while_it_is_sent_never_arrives(desk: Desk) -> None:
    times = iter([CONTENT, CONTENT[:-1] + b"!"])
    changing = Source("file:///x", "x", lambda: (next(times),))
    with pytest.raises(SourceChanged):
        desk.send(desk.request(file=changing))
    assert desk.server.box == []
    assert desk.rows(desk.key())[0][0][1] == "postponed"


def test_storage_that_fails_while_the_file_is_sent_leaves_it_to_the_next_attempt(desk: Desk) -> None:
    reads = 0

    def octets() -> Any:
        nonlocal reads
        reads += 1
        yield CONTENT[:1000]
        if reads == 2:
            raise StoreUnavailable("gone for a moment")
        yield CONTENT[1000:]

    request = desk.request(file=Source("file:///x", "x", octets))
    with pytest.raises(StoreUnavailable):
        desk.send(request)
    assert desk.server.box == []
    assert desk.send(request).accepted == 1


@pytest.mark.parametrize("change", ["subject", "message", "content"])
def test_what_was_corrected_before_anybody_got_it_goes_as_another_transfer(
    open_desk: Callable[..., Desk], change: str
) -> None:
    desk = open_desk("rcpt-550:a@x.example")
    with pytest.raises(RelayRefused):
        desk.send(desk.request())
    first = desk.key()
    desk.server.faults.clear()
    if change == "content":
        desk.file.write_bytes(b"corrected")
    result = desk.send(desk.request(**({} if change == "content" else {change: "corrected"})))
    assert result.key != first
    assert sent.waiting_keys(desk.store) == [result.key]
    assert len(desk.server.box) == 1
    assert desk.send(desk.request(**({} if change == "content" else {change: "corrected"}))).attempts == 1


def test_two_transfers_of_one_name_are_a_mistake_and_not_a_mail_that_never_goes(desk: Desk) -> None:
    desk.send(desk.request())
    with pytest.raises(ConfigurationError, match=r"another recipient, subject.*transfer_id"):
        desk.send(desk.request("b@x.example", subject="Other"))


# -- requests that make no sense, protections, names --------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"file": None}, "file"),
        ({"subject": ""}, "subject"),
        ({"to": ()}, "to"),
        ({"xfb": {"appl": "x"}}, "xfb"),
        ({"message": "x" * (1 << 20) + "x"}, "message"),
        ({"acknowledgment_option": "perhaps"}, "acknowledgment_option"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(desk: Desk, options: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        dataclasses.replace(desk.request(), **options)
    assert caught.value.facts["field"] == field


@pytest.mark.parametrize("name", ["message", "subject", "xfb", "headers"])
def test_a_ready_made_mail_has_everything(desk: Desk, name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        dataclasses.replace(
            desk.ready_made(), **{name: {"appli": "x"} if name in ("xfb", "headers") else "x"}
        )


def test_a_recipient_named_twice_gets_it_once(desk: Desk) -> None:
    desk.send(desk.request("a@x.example", "A@X.example", cc=mailboxes("a@x.example", "cc")))
    assert desk.server.box[0].recipients == ("a@x.example",)


def test_nobody_is_shown_when_all_recipients_are_hidden(desk: Desk) -> None:
    desk.send(dataclasses.replace(desk.request(), to=(), bcc=mailboxes("b@x.example", "bcc")))
    assert desk.mails()[0]["To"] == "undisclosed-recipients:;"


def test_a_protection_puts_another_entity_in_place_of_ours(desk: Desk) -> None:
    def protect(entity: Entity) -> Protected:
        wrapped = compose.mixed([entity, compose.text("signature")], "=_signed")
        return Protected(wrapped, "abc=, sha-256", (("Disposition-Notification-Options", "x"),))

    result = desk.send(desk.request(protect=protect))
    (mail,) = desk.mails()
    assert mail.get_boundary() == "=_signed"
    assert mail["Disposition-Notification-Options"] == "x"
    assert sent.read(desk.store, result.key).mic == "abc=, sha-256"


@pytest.mark.parametrize(
    "address",
    [
        "o+r=ders@us.example",
        "x" * 64 + "@" + "y" * 63 + ".example",
        "jos\u00e9@x.example",
        ".@[192.0.2.1]",
        '"a b"@x',
    ],
)
def test_the_identity_fits_into_an_envid_and_tells_its_date(address: str) -> None:
    date = NOW.replace(microsecond=0)
    ident = make_xfer_ident(address, date, local_ident("x"))
    assert len(ident) <= 100
    assert ident.isascii() and not set(ident) & set(' +="')
    assert date_of_xfer_ident(ident) == date
    mail = email.message_from_bytes(f"Message-ID: {ident}\r\n\r\n".encode(), policy=email.policy.default)
    assert (mail["Message-ID"], mail["Message-ID"].defects) == (ident, ())
