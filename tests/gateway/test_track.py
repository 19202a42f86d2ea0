"""A report that comes back is appended to its transfer, once; the transfer says how it stands."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import msgspec
import pytest
from support.maildrop import Maildrop
from support.transfers import IDENT, transfer

from airflow_pop3_gateway.acks import mdn
from airflow_pop3_gateway.errors import StoreCorrupt, StoreUnavailable
from airflow_pop3_gateway.gateway import classify, track
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.records import Acknowledges, TransferRecord
from airflow_pop3_gateway.records.sent import EVENT_SCHEMA, EventRow, SentEvent, SentRecipient, SentTransfer
from airflow_pop3_gateway.store import Store, layout, sent
from airflow_pop3_gateway.store.transfers import read_lines, read_record

A, B = "a@partner.example", "b@partner.example"
NOON = datetime(2026, 11, 23, 12, tzinfo=timezone.utc)
TRANSFER = transfer(A, B, ack_deadline="2026-11-23T11:00:00.000Z")
_numbers = itertools.count(1)


def receipt(who: str, outcome: Any = "processed", **options: Any) -> bytes:
    """The MDN of a partner's application."""
    original = Head.from_bytes(b"Message-ID: %b\r\nSubject: Orders\r\n" % IDENT.encode())
    return mdn.build(
        original,
        from_=who,
        to=["edi@us.example"],
        final_recipient=who,
        message_id=f"<{next(_numbers)}@partner.example>",
        date=NOON,
        reporting_ua="partner.example; app",
        outcome=outcome,
        **options,
    )


def bounce(who: str, action: str = "failed", ident: str = IDENT) -> bytes:
    """The DSN of a mail server that returns nothing of the mail."""
    number = next(_numbers)
    return (
        f"Message-ID: <dsn{number}@relay.example>\r\nFrom: MAILER-DAEMON@relay.example\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        f"Reporting-MTA: dns; relay.example\r\nOriginal-Envelope-Id: {ident}\r\n\r\n"
        f"Final-Recipient: rfc822; {who}\r\nAction: {action}\r\nStatus: 5.1.1\r\n\r\n--b--\r\n"
    ).encode()


class Sender(Maildrop):
    """Us: a transfer went out, the relay took it, reports come to our maildrop."""

    def sent(self, **changes: Any) -> SentTransfer:
        transfer = sent.create(self.store, msgspec.structs.replace(TRANSFER, **changes))
        rows = tuple(EventRow(one.address, "undefined", "accepted") for one in transfer.recipients)
        event = SentEvent(EVENT_SCHEMA, "smtp-0001", "smtp", transfer.created_at, rows)
        sent.append(self.store, transfer.key, event)
        return transfer

    def gets(self, *mails: bytes) -> list[TransferRecord]:
        """A run with these mails; the records it made."""
        for mail in mails:
            self.mailbox.deliver(mail)
        batch = self.poll().batch
        assert batch is not None
        classify(self.site, self.store)
        lines = read_lines(self.store, "edi", batch) or iter(())
        return [read_record(self.store, line["key"]) for line in lines]

    @property
    def state(self) -> str:
        return track.tracked(self.store, TRANSFER.key, NOON).status.state


@pytest.fixture
def us(maildrop: Callable[..., Maildrop]) -> Sender:
    drop = maildrop()
    return Sender(drop.server, drop.store)


def test_receipts_of_all_close_the_loop(us: Sender) -> None:
    us.sent()
    (record,) = us.gets(receipt(A))
    assert record.acknowledges == Acknowledges(TRANSFER.key, IDENT, "original-message-id")
    assert us.state == "ENDED_TO_ACK"
    assert sent.waiting_keys(us.store) == [TRANSFER.key]
    us.gets(receipt(B))
    assert us.state == "ACKED"
    assert sent.waiting_keys(us.store) == []


def test_an_event_says_what_came_how_it_was_found_and_when(us: Sender) -> None:
    us.sent()
    (record,) = us.gets(bounce(A))
    _, event = sent.events(us.store, TRANSFER.key)
    assert (event.name, event.kind, event.at) == (record.local_ident, "dsn", record.created_at)
    assert (event.matched_by, event.report) == ("envid", record.report)
    assert event.rows == (EventRow(A, "negative", "failed", "5.1.1"),)
    assert us.state == "NACKED_XFB"


def test_a_report_on_a_ready_made_mail_is_found_by_that_mails_own_message_id(us: Sender) -> None:
    us.sent(xfer_ident="<other@us.example>", message_id=IDENT, ready_made=True)
    (record,) = us.gets(receipt(A))
    assert record.acknowledges == Acknowledges(TRANSFER.key, "<other@us.example>", "original-message-id")


def test_a_report_that_acknowledges_nothing_of_ours_is_recorded_as_such(us: Sender) -> None:
    (record,) = us.gets(bounce(A, ident="<stranger@else.example>"))
    assert (record.type, record.acknowledges) == ("EERP", Acknowledges())
    assert us.store.names("sent") == []


def test_a_mail_that_is_no_report_costs_no_request(us: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise AssertionError("asked")

    monkeypatch.setattr(sent, "find", never)
    monkeypatch.setattr(sent, "find_key", never)
    (record,) = us.gets(b"Message-ID: <1@x>\r\nIn-Reply-To: %b\r\n\r\nThank you\r\n" % IDENT.encode())
    assert (record.type, record.acknowledges) == ("MSG", None)


def test_late_double_and_contradicting_reports_are_all_kept(us: Sender) -> None:
    us.sent(recipients=(SentRecipient(A),))
    one = receipt(A)
    us.gets(bounce(A))
    assert us.state == "NACKED_XFB"
    us.gets(one, one)
    assert us.state == "ACKED"  # a forwarder bounced, the application has it
    us.gets(receipt(A, "failed"))
    assert us.state == "NACKED_USER"
    assert len(sent.events(us.store, TRANSFER.key)) == 4  # the copy of the receipt is a duplicate mail
    assert track.tracked(us.store, TRANSFER.key, NOON).status.recipients[0].contradicted


def test_a_transfer_waits_again_when_its_failure_is_overruled(us: Sender) -> None:
    us.sent()
    us.gets(bounce(A))
    assert sent.waiting_keys(us.store) == []
    us.gets(receipt(A))
    assert us.state == "ENDED_TO_ACK"
    assert sent.waiting_keys(us.store) == [TRANSFER.key]


def test_a_crash_between_record_and_event_is_made_good_by_the_next_run(
    us: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    us.sent(recipients=(SentRecipient(A),))
    us.mailbox.deliver(receipt(A))
    us.poll()
    with monkeypatch.context() as dying:
        dying.setattr(sent, "append", _unavailable)
        with pytest.raises(StoreUnavailable):
            classify(us.site, us.store)
    assert us.state == "ENDED_TO_ACK"
    classify(us.site, us.store)
    assert us.state == "ACKED"
    assert len(sent.events(us.store, TRANSFER.key)) == 2


def _unavailable(*arguments: object) -> bool:
    raise StoreUnavailable("full")


def test_a_site_that_gives_no_receipts_still_reads_those_it_gets(us: Sender) -> None:
    us.setup(acknowledgment_option="not_to_ack")
    us.sent(recipients=(SentRecipient(A),))
    us.gets(receipt(A))
    assert us.state == "ACKED"


def test_nobody_answers_a_report(us: Sender) -> None:
    us.sent()
    mail = receipt(A).replace(
        b"MIME-Version", b"Disposition-Notification-To: a@partner.example\r\nMIME-Version", 1
    )
    (record,) = us.gets(mail)
    assert record.acknowledgment is not None
    assert (record.acknowledgment.decision, record.acknowledgment.why) == ("deny", "is-a-report")


# -- signed receipts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("proof", "state"), [("match", "ACKED"), ("unproven", "ACKED"), ("mismatch", "NACKED_USER")]
)
def test_a_receipt_that_was_signed_for_other_octets_is_a_negative_one(
    us: Sender, monkeypatch: pytest.MonkeyPatch, proof: str, state: str
) -> None:
    monkeypatch.setattr(track, "proof_of", lambda site, transfer, record: proof)
    us.sent(recipients=(SentRecipient(A),))
    us.gets(receipt(A))
    assert (us.state, sent.events(us.store, TRANSFER.key)[-1].proof) == (state, proof)


# -- overdue ----------------------------------------------------------------------------------------------------


def test_what_waits_after_its_deadline_is_overdue_until_a_person_dismisses_it(us: Sender) -> None:
    us.sent()
    early = datetime(2026, 11, 23, 10, tzinfo=timezone.utc)
    assert list(track.waiting(us.store, early, only_overdue=True)) == []
    assert [one.overdue for one in track.waiting(us.store, early)] == [False]
    (overdue,) = track.waiting(us.store, NOON, only_overdue=True)
    assert (overdue.key, overdue.overdue, overdue.status.undefined) == (TRANSFER.key, True, 2)
    assert track.Tracked.from_json(overdue.to_json()) == overdue
    track.dismiss(us.store, [TRANSFER.key])
    assert list(track.waiting(us.store, NOON)) == []
    us.gets(receipt(A))
    assert len(sent.events(us.store, TRANSFER.key)) == 2


def test_a_mark_that_was_left_behind_is_taken_away(us: Sender) -> None:
    us.sent(recipients=(SentRecipient(A),))
    us.gets(receipt(A))
    sent.wait(us.store, TRANSFER.key)
    assert list(track.waiting(us.store, NOON)) == []
    assert sent.waiting_keys(us.store) == []


def test_a_mark_before_its_record_stays(us: Sender) -> None:
    """The process that sends writes the mark first."""
    sent.wait(us.store, "0" * 40)
    assert list(track.waiting(us.store, NOON)) == []
    assert sent.waiting_keys(us.store) == ["0" * 40]


def test_an_unknown_key_is_an_error_of_ours(us: Sender) -> None:
    with pytest.raises(StoreCorrupt):
        track.tracked(us.store, "0" * 40, NOON)
    with pytest.raises(StoreCorrupt):
        track.dismiss(us.store, ["0" * 40])


def test_the_record_of_a_report_and_its_event_are_the_same_on_every_store(
    any_store: Store, maildrop: Callable[..., Maildrop]
) -> None:
    drop = maildrop()
    us = Sender(drop.server, any_store)
    us.sent(recipients=(SentRecipient(A),))
    us.gets(receipt(A))
    assert us.state == "ACKED"
    assert not any_store.exists(layout.sent_waiting(TRANSFER.key))
