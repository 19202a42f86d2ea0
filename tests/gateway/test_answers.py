"""What waits is answered once, by whoever may, with what really became of the mail."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from support.maildrop import ASKS_FOR_A_RECEIPT, Maildrop, attachment, letter, multipart

from airflow_pop3_gateway.acks import parse_report
from airflow_pop3_gateway.errors import ConfigurationError, StoreUnavailable
from airflow_pop3_gateway.gateway import acknowledge, answers, classify, purge
from airflow_pop3_gateway.gateway.quarantine import release
from airflow_pop3_gateway.mail.extract import Policy, understand
from airflow_pop3_gateway.records import Receipt, Report
from airflow_pop3_gateway.store import Store, layout, outbox
from airflow_pop3_gateway.store import answers as kept

Open = Callable[..., Maildrop]


def asking(number: int, headers: bytes = b"", files: int = 1) -> bytes:
    parts = [attachment(b"%d.txt" % n, b"a") for n in range(files)]
    return multipart(number, *parts, headers=ASKS_FOR_A_RECEIPT + headers)


def waiting(maildrop: Open, *mails: bytes, **options: Any) -> tuple[Maildrop, list[str]]:
    """A site whose requests wait, and their local idents."""
    drop = maildrop(*mails, **{"acknowledge_after": "processed", **options})
    drop.poll()
    assert classify(drop.site, drop.store).receipts == 0
    return drop, [request.local_ident for request in answers.waiting(drop.site, drop.store)]


def answer(drop: Maildrop, outcome: str = "processed", text: str = "", **options: Any):
    return answers.answer(drop.site, drop.store, outcome, text, now=drop.now, **options)  # type: ignore[arg-type]


def receipts(drop: Maildrop) -> list[Receipt]:
    return [outbox.read(drop.store, key) for key in outbox.pending(drop.store, "edi")]


def said(receipt: Receipt) -> Report:
    octets = base64.b64decode(receipt.message)
    report = parse_report(understand([octets], lambda head: Policy(), pytest.fail).captured)  # type: ignore[arg-type]
    assert report is not None
    return report


@pytest.mark.parametrize(
    ("outcome", "verdict", "disposition"),
    [
        ("processed", "positive", "automatic-action/MDN-sent-automatically; processed"),
        ("failed", "negative", "automatic-action/MDN-sent-automatically; processed/error"),
        ("deleted", "negative", "automatic-action/MDN-sent-automatically; deleted"),
        ("dispatched", "positive", "automatic-action/MDN-sent-automatically; dispatched"),
    ],
)
def test_the_receipt_says_what_became_of_the_mail(
    maildrop: Open, outcome: str, verdict: str, disposition: str
) -> None:
    drop, _ = waiting(maildrop, asking(1))
    assert receipts(drop) == []
    assert answer(drop, outcome, "3 lines are wrong").answered == 1
    (receipt,) = receipts(drop)
    report = said(receipt)
    assert (report.verdict, report.disposition) == (verdict, disposition)
    assert report.original_message_id == "<1@partner.example>"
    assert b"3 lines are wrong" in base64.b64decode(receipt.message)
    assert list(answers.waiting(drop.site, drop.store)) == []


def test_the_first_answer_wins_and_another_one_is_reported_not_sent(maildrop: Open) -> None:
    drop, (ident,) = waiting(maildrop, asking(1))
    answer(drop, "processed")
    assert answer(drop, "processed", local_idents=[ident]).again == 1
    late = answer(drop, "failed", local_idents=[ident])
    assert (late.answered, late.contradicted) == (0, (ident,))
    (receipt,) = receipts(drop)
    assert said(receipt).verdict == "positive"


def test_a_batch_that_is_answered_again_tells_what_contradicts(maildrop: Open) -> None:
    drop, idents = waiting(maildrop, asking(1), asking(2))
    batch = idents[0][: -len("-000000")]
    answer(drop, "failed", local_idents=idents[:1])
    rest = answer(drop, "processed", batches=[batch])
    assert (rest.answered, rest.contradicted) == (1, (idents[0],))
    again = answer(drop, "processed", batches=[batch])
    assert (again.answered, again.again, again.contradicted) == (0, 1, (idents[0],))


def test_only_the_mails_that_are_meant_are_answered(maildrop: Open) -> None:
    def subject(number: int, appli: str) -> bytes:
        return asking(number, f"Subject: //XFB appli={appli}\r\n".encode())

    drop, (first, _, _) = waiting(
        maildrop, subject(1, "ORDERS"), subject(2, "ORDERS"), subject(3, "INVOICES")
    )
    assert answer(drop, application="INVOICES").answered == 1
    assert answer(drop, local_idents=[first]).answered == 1
    assert answer(drop, batches=["20200101T000000000Z-00000000"]).answered == 0
    assert answer(drop).answered == 1


def test_mails_that_asked_for_nothing_are_passed_over(maildrop: Open) -> None:
    drop, idents = waiting(maildrop, letter(1))
    assert idents == []
    assert answer(drop, local_idents=["20200101T000000000Z-00000000-000000", ""]).answered == 0
    assert receipts(drop) == []


def test_no_answer_is_an_answer(maildrop: Open) -> None:
    drop, (ident,) = waiting(maildrop, asking(1))
    assert answer(drop, "none").answered == 1
    assert (receipts(drop), list(answers.waiting(drop.site, drop.store))) == ([], [])
    assert answer(drop, "processed", local_idents=[ident]).contradicted == (ident,)


def test_an_outcome_that_is_none_is_refused(maildrop: Open) -> None:
    drop, _ = waiting(maildrop)
    for word in ("done", "unsupported"):
        with pytest.raises(ConfigurationError, match="outcome"):
            answer(drop, word)


# -- a person --------------------------------------------------------------------------------------------------


def test_what_needs_a_person_is_answered_by_no_task(maildrop: Open) -> None:
    drop, (ident,) = waiting(maildrop, asking(1), acknowledgment_option="ack_by_user")
    assert answer(drop).answered == 0
    assert answer(drop, local_idents=[ident]).held == (ident,)
    assert receipts(drop) == []
    assert answer(drop, "processed", "seen", local_idents=[ident], by="anna", by_a_person=True).answered == 1
    (receipt,) = receipts(drop)
    assert said(receipt).disposition == "manual-action/MDN-sent-manually; processed"
    assert kept.find_answer(drop.store, ident).by == "anna"  # type: ignore[union-attr]


def test_a_persons_yes_to_a_duplicate_is_a_yes_with_a_warning(maildrop: Open) -> None:
    drop = maildrop(asking(1), asking(1, b"X-Other: octets\r\n"))
    drop.poll()
    assert classify(drop.site, drop.store).receipts == 1
    acknowledge(drop.site, drop.store, lambda *given: None, now=drop.now)
    (ident,) = kept.waiting(drop.store, "edi")
    assert answer(drop, local_idents=[ident], by_a_person=True).answered == 1
    (receipt,) = receipts(drop)
    report = said(receipt)
    assert report.disposition == "manual-action/MDN-sent-manually; processed/warning"
    assert report.fields["warning"].startswith("duplicate")


def test_every_address_that_asked_gets_the_same_receipt_in_an_envelope_of_its_own(maildrop: Open) -> None:
    two = asking(1).replace(b"-To: p@partner.example", b"-To: p@partner.example, q@partner.example")
    drop, (ident,) = waiting(maildrop, two)
    answer(drop, local_idents=[ident], by_a_person=True)
    first, second = receipts(drop)
    assert {first.recipient, second.recipient} == {"p@partner.example", "q@partner.example"}
    assert (first.message, first.message_id) == (second.message, second.message_id)


def test_a_request_with_unknown_options_is_answered_failed_whatever_the_person_says(maildrop: Open) -> None:
    head = b"Disposition-Notification-Options: paper=required,A4\r\n"
    drop, (ident,) = waiting(maildrop, asking(1, head), acknowledgment_option="ack_by_user")
    answer(drop, "processed", local_idents=[ident], by_a_person=True)
    (receipt,) = receipts(drop)
    report = said(receipt)
    assert report.disposition == "manual-action/MDN-sent-manually; failed/failure"
    assert "paper" in report.fields["failure"]


# -- what happens in between -----------------------------------------------------------------------------------


def test_an_answer_needs_no_raw_mail(maildrop: Open) -> None:
    drop, _ = waiting(maildrop, asking(1))
    drop.store.delete_tree("spool/edi")
    answer(drop)
    (receipt,) = receipts(drop)
    assert b"Message-Id: <1@partner.example>" in base64.b64decode(receipt.message)


def test_a_request_that_nobody_answers_is_forgotten_with_its_raw_mail(maildrop: Open) -> None:
    drop, _ = waiting(maildrop, asking(1))
    assert purge(drop.site, drop.store, days=30, now=drop.now).requests == 0
    drop.now.pass_days(31)
    assert purge(drop.site, drop.store, days=30, now=drop.now).requests == 1
    assert answer(drop).answered == 0


def test_a_process_that_died_after_the_answer_leaves_the_rest_to_the_next_sweep(
    maildrop: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop, _ = waiting(maildrop, asking(1))

    def die(*given: object) -> None:
        raise StoreUnavailable("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "enqueue", die)
        with pytest.raises(StoreUnavailable):
            answer(drop, "failed", "no")
    assert list(answers.waiting(drop.site, drop.store)) == []
    box: list[bytes] = []
    sent = acknowledge(drop.site, drop.store, lambda *given: box.append(given[2]), now=drop.now)
    assert sent.sent == 1 and b"processed/error" in box[0]
    assert acknowledge(drop.site, drop.store, lambda *given: box.append(given[2]), now=drop.now).sent == 0


def test_wherever_answering_stops_one_receipt_goes_out(
    maildrop: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write of an answer fails once, in turn; then somebody else answers, otherwise, and the outbox is swept."""
    steps, outcomes = 0, set()
    while True:
        drop, (ident,) = waiting(maildrop, asking(steps))
        writes = itertools.count()

        def failing(write: Callable[..., None]) -> Callable[..., None]:
            def wrapped(*given: Any) -> None:
                if next(writes) == steps:  # noqa: B023
                    raise StoreUnavailable("the disk is full")
                write(*given)

            return wrapped

        with monkeypatch.context() as patched:
            for name in ("put", "delete", "replace"):
                patched.setattr(Store, name, failing(getattr(Store, name)))
            try:
                answer(drop, "processed", local_idents=[ident])
            except StoreUnavailable:
                pass
            else:
                break
        answer(drop, "failed", local_idents=[ident])
        box: list[bytes] = []
        for _ in range(2):
            acknowledge(drop.site, drop.store, lambda *given: box.append(given[2]), now=drop.now)  # noqa: B023
        assert len(box) == 1, f"write {steps}"
        assert (kept.waiting(drop.store, "edi"), kept.unfinished(drop.store, "edi")) == ([], [])
        outcomes.add(b"processed/error" in box[0])
        steps += 1
    assert steps >= 5 and outcomes == {False, True}


def test_a_request_that_waits_again_after_its_answer_changes_nothing(maildrop: Open) -> None:
    """A classification that died before its lines were written begins again."""
    drop, (ident,) = waiting(maildrop, asking(1))
    request = kept.find_request(drop.store, "edi", ident)
    assert request is not None
    answer(drop)
    kept.wait(drop.store, request)
    assert (kept.waiting(drop.store, "edi"), len(receipts(drop))) == ([], 1)


def test_a_process_that_died_before_the_answer_leaves_a_request_that_waits(maildrop: Open) -> None:
    drop, (ident,) = waiting(maildrop, asking(1))
    drop.store.put(layout.answering("edi", ident), b"")
    answers.finish(drop.site, drop.store)
    assert [request.local_ident for request in answers.waiting(drop.site, drop.store)] == [ident]
    assert answer(drop).answered == 1
    assert kept.unfinished(drop.store, "edi") == []


def test_a_mail_that_is_released_is_answered_as_the_one_mail_it_is(maildrop: Open) -> None:
    drop, (ident,) = waiting(maildrop, asking(1, files=2), acknowledge_after="stored")
    (record,) = release(drop.setup(multiple_attachments="extract").site, drop.store, [ident], now=drop.now)
    assert record.acknowledgment is not None and record.acknowledgment.decision == "send"
    assert list(answers.waiting(drop.site, drop.store)) == []
    assert len(receipts(drop)) == 1


def test_a_mail_that_was_refused_by_a_person_and_released_later_gets_no_second_receipt(
    maildrop: Open,
) -> None:
    drop, (ident,) = waiting(maildrop, asking(1, files=2), acknowledge_after="stored")
    answer(drop, "failed", "one file, please", local_idents=[ident], by_a_person=True)
    release(drop.setup(multiple_attachments="extract").site, drop.store, [ident], now=drop.now)
    (receipt,) = receipts(drop)
    assert said(receipt).verdict == "negative"
