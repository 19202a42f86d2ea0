"""Each mail of a batch becomes one record, with its files, whatever is in it."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from support.maildrop import ASKS_FOR_A_RECEIPT, Maildrop, attachment, letter, multipart, text

from airflow_pop3_gateway.config import Application
from airflow_pop3_gateway.errors import MailRefused, StoreCorrupt
from airflow_pop3_gateway.gateway import classify
from airflow_pop3_gateway.gateway.applications import Choice
from airflow_pop3_gateway.records import RECORD_SCHEMA, Reason, TransferRecord, as_json
from airflow_pop3_gateway.store import layout, outbox
from airflow_pop3_gateway.store.transfers import TransferLines

Open = Callable[..., Maildrop]


def classified(drop: Maildrop, **options: Any) -> list[TransferRecord]:
    """Poll, classify, and give the records in the order of the lines."""
    drop.poll()
    result = classify(drop.site, drop.store, **options)
    keys = [json.loads(line)["key"] for key in result.transfers for line in drop.store.read(key).splitlines()]
    return [TransferRecord.from_json(json.loads(drop.store.read(layout.record(key)))) for key in keys]


# ------------------------------------------------------------------------------------- the Gateway's table


def test_a_single_attached_file_is_a_transfer_named_like_the_file(maildrop: Open) -> None:
    mail = multipart(
        1, text(b"see attached"), attachment(b"order.edi", b"UNA:+.? '"), headers=b"Subject: order\r\n"
    )
    drop = maildrop(mail)
    (record,) = classified(drop)
    assert (record.type, record.file_name, record.state) == ("XFER", "order.edi", "ENDED")
    assert record.user_message == "see attached"
    assert (record.protocol, record.originator, record.destination) == ("POP3", "edi", "edi")
    assert (record.from_, record.to, record.subject) == ("p@partner.example", ("edi@us.example",), "order")
    assert (record.xfer_ident, record.application) == ("<1@partner.example>", "MAIL")
    assert record.schema == RECORD_SCHEMA and record.created_at == record.created_at
    (file,) = record.files
    assert drop.store.read(file.path) == b"UNA:+.? '"
    assert file.path.startswith("files/MAIL/2026/11/23/")


def test_a_text_is_a_message_named_like_the_application(maildrop: Open) -> None:
    (record,) = classified(maildrop(letter(1, b"hello\r\n"), application="ORDERS"))
    assert (record.type, record.file_name, record.files) == ("MSG", "ORDERS", ())
    assert (record.user_message or "").strip() == "hello"


def test_what_was_signed_and_the_signature_are_kept_beside_the_file(maildrop: Open) -> None:
    """They are no files of the transfer; a duplicate keeps none of its own, for it is kept whole."""
    content = b"Content-Type: application/x-order; name=o.bin\r\n\r\norder"
    mail = (
        b"From: p@partner.example\r\nMessage-ID: <1@partner.example>\r\n"
        b"Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n" + content + b"\r\n"
        b"--s\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n\r\nproof\r\n--s--\r\n"
    )
    drop = maildrop(mail, b"X-Second: y\r\n" + mail)
    first, second = classified(drop)
    assert [file.name for file in first.files] == ["o.bin"]
    kept = {file.name: drop.store.read(file.path) for file in first.evidence}
    assert kept == {"signed-content.eml": content, "smime.p7s": b"proof"}
    assert second.rejected is not None and second.evidence == ()
    folder = second.files[0].path.rpartition("/")[0]
    assert drop.store.names(folder) == ["DUPLICATE.eml"]


def test_a_uuencoded_file_in_a_message_comes_out_beside_it(maildrop: Open) -> None:
    drop = maildrop(letter(1, b"begin 644 x.txt\r\n#86)C\r\n`\r\nend\r\n"))
    (record,) = classified(drop)
    assert (record.type, record.files) == ("MSG", ())
    (file,) = record.unpacked
    assert (file.name, drop.store.read(file.path)) == ("x.txt", b"abc")


def test_the_answer_of_an_automat_is_a_message_that_says_so(maildrop: Open) -> None:
    """A vacation notice acknowledges nothing."""
    notice = letter(1).replace(b"\r\n\r\n", b"\r\nAuto-Submitted: auto-replied\r\n\r\n", 1)
    first, second = classified(maildrop(notice, letter(2)))
    assert (first.type, first.auto_submitted) == ("MSG", True)
    assert (second.type, second.auto_submitted) == ("MSG", False)


def test_what_is_in_a_zip_comes_out_where_the_application_says_so(maildrop: Open) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("folder/order.csv", b"a;b")
    mail = multipart(1, attachment(b"orders.zip", out.getvalue()))
    drop = maildrop(mail, mail.replace(b"<1@", b"<2@"), unzip=True)
    applications = {"KEPT": Application("KEPT", unzip=False)}
    first, second = classified(
        drop,
        choose=lambda choice: "KEPT" if "<2@" in choice.xfer_ident else None,
        applications=applications,
    )
    assert (first.type, first.file_name) == (second.type, second.file_name) == ("XFER", "orders.zip")
    assert drop.store.read(first.files[0].path) == out.getvalue()
    (member,) = first.unpacked
    assert (member.name, member.original_name) == ("order.csv", "folder/order.csv")
    assert drop.store.read(member.path) == b"a;b"
    assert second.unpacked == ()


def test_a_long_text_goes_to_a_file(maildrop: Open) -> None:
    drop = maildrop(letter(1, b"long \r\n" * 100))
    (record,) = classified(drop)
    assert record.type == "MSG"
    assert record.user_message_file is not None and drop.store.exists(record.user_message_file)


def test_anything_else_is_recovered_whole_and_undecoded(maildrop: Open) -> None:
    mail = letter(1).replace(b"\r\n\r\n", b"\r\nContent-Type: application/pdf\r\n\r\n", 1)
    drop = maildrop(mail)
    (record,) = classified(drop)
    assert (record.type, record.file_name, record.file_type) == ("XFER", "RECOVER", "DATA")
    assert record.xfer_ident == f"<1@partner.example>.{record.local_ident}"
    assert record.rejected is not None
    assert (record.rejected.state, record.rejected.xfer_ident) == ("CANCELED", "<1@partner.example>")
    (file,) = record.files
    assert drop.store.read(file.path) == mail


def test_extract_file_no_keeps_the_whole_mail(maildrop: Open) -> None:
    mail = multipart(1, attachment(b"a.txt", b"a"))
    drop = maildrop(mail, extract_file=False)
    (record,) = classified(drop)
    assert (record.type, record.state, record.rule) == ("XFER", "ENDED", "whole-mail")
    assert drop.store.read(record.files[0].path) == mail


@pytest.mark.parametrize("word", ["EDI" * 300, "漢" * 100, r"a\b:c*?"])
def test_whatever_application_a_subject_names_the_whole_mail_is_kept(maildrop: Open, word: str) -> None:
    drop = maildrop(
        letter(1).replace(b"Subject: 1", f"Subject: //XFB APPLI={word}".encode()), extract_file=False
    )
    (record,) = classified(drop)
    assert (record.state, record.rule) == ("ENDED", "whole-mail")
    assert drop.store.exists(record.files[0].path)
    assert not set(record.files[0].name) & set("\\:*?")


def test_several_attachments_are_recovered_or_extracted_as_the_application_says(maildrop: Open) -> None:
    mail = multipart(1, attachment(b"a.txt", b"a"), attachment(b"a.txt", b"b"))
    drop = maildrop(mail)
    (record,) = classified(drop)
    assert (record.file_name, record.rejected and record.rejected.reason.code) == (
        "RECOVER",
        "multiple-attachments",
    )
    drop.mailbox.deliver(mail.replace(b"<1@", b"<2@"))
    several = Application("MAIL", multiple_attachments="extract")
    (record,) = classified(drop, applications={"MAIL": several})
    assert record.state == "ENDED" and record.rejected is None
    assert [drop.store.read(file.path) for file in record.files] == [b"a", b"b"]


# ---------------------------------------------------------------------------------------------- duplicates


def test_a_mail_with_a_known_message_id_is_a_duplicate_with_a_reason(maildrop: Open) -> None:
    drop = maildrop(letter(1), letter(1), letter(1, b"other\r\n"))
    first, same, other = classified(drop)
    assert first.state == "ENDED" and first.rejected is None
    for record, code in ((same, "duplicate-octets"), (other, "duplicate-message-id")):
        assert (record.type, record.file_name, record.file_type) == ("XFER", "DUPLICATE", "DATA")
        assert record.rejected is not None
        assert (record.rejected.reason.code, record.rejected.duplicate_of) == (code, first.key)
        assert record.xfer_ident == f"<1@partner.example>.{record.local_ident}"
    assert drop.store.read(other.files[0].path) == letter(1, b"other\r\n")


def test_without_a_message_id_the_header_tells(maildrop: Open) -> None:
    mail = b"From: p@partner.example\r\nDate: Mon, 23 Nov 2026 08:00:00 +0000\r\nSubject: s\r\n\r\nbody\r\n"
    first, second, third = classified(maildrop(mail, mail, mail.replace(b": s", b": t")))
    assert first.xfer_ident_source == "header-hash"
    assert second.rejected is not None and second.rejected.duplicate_of == first.key
    assert third.rejected is None


def test_a_duplicates_files_are_taken_back(maildrop: Open) -> None:
    mail = multipart(1, attachment(b"a.txt", b"a"))
    drop = maildrop(mail, mail)
    records = classified(drop)
    assert sorted(drop.store.walk("files")) == sorted(
        file.path for record in records for file in record.files
    )


@pytest.mark.parametrize("rules", [{}, {"error_mail_disposal": "delete"}, {"extract_file": False}])
def test_a_run_that_died_after_a_record_keeps_its_files_whatever_the_rules_are_now(
    maildrop: Open, monkeypatch: pytest.MonkeyPatch, rules: dict[str, Any]
) -> None:
    """The record was published and stays, so its files stay; what the rules of now would have made of the mail goes."""
    drop = maildrop(
        multipart(1, attachment(b"a.edi", b"A"), attachment(b"b.edi", b"B")), multiple_attachments="extract"
    )

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TransferLines, "add", killed)
        classified(drop)
    drop.setup(multiple_attachments="recover", **rules)
    (record,) = classified(drop)
    assert [drop.store.read(file.path) for file in record.files] == [b"A", b"B"]
    assert sorted(file.path for file in record.files) == list(drop.store.walk("files"))


def test_an_attachment_that_is_called_as_the_whole_mail_does_not_take_its_place(maildrop: Open) -> None:
    mail = multipart(1, attachment(b"RECOVER.eml", b"A"), attachment(b"b.edi", b"B"))
    drop = maildrop(mail)
    (record,) = classified(drop)
    (file,) = record.files
    assert drop.store.read(file.path) == mail
    assert list(drop.store.walk("files")) == [file.path]


@pytest.mark.parametrize("disposal", ["delete", "leave"])
def test_delete_and_leave_cancel_the_transfer_and_store_no_file(maildrop: Open, disposal: str) -> None:
    drop = maildrop(letter(1), letter(1), error_mail_disposal=disposal)
    _, duplicate = classified(drop)
    assert (duplicate.state, duplicate.disposal, duplicate.files) == ("CANCELED", disposal, ())


def test_leave_leaves_the_rejected_mail_on_the_server_and_deletes_the_good_one(maildrop: Open) -> None:
    drop = maildrop(letter(1), letter(1, b"again\r\n"), error_mail_disposal="leave")
    classified(drop)
    assert len(drop.left) == 2, "nothing is deleted before its outcome is known"
    assert drop.poll().deleted == 1
    assert drop.left == [letter(1, b"again\r\n")]
    assert drop.poll().messages == 0, "and the one that was left is not met again"


def test_the_same_mail_at_two_sites_is_two_transfers(maildrop: Open) -> None:
    drop = maildrop(letter(1))
    classified(drop)
    drop.mailbox.deliver(letter(1))
    (record,) = classified(drop.setup(name="other"))
    assert record.rejected is None


# -------------------------------------------------------------------------------------------- applications


def test_the_subject_names_application_origin_and_destination_and_is_stripped(maildrop: Open) -> None:
    subject = b"Subject: invoice //XFB appli=INV; ORG=them; DEST=us\r\n"
    drop = maildrop(multipart(1, attachment(b"a.txt", b"a"), headers=subject))
    (record,) = classified(drop)
    assert (record.subject.strip(), record.application) == ("invoice", "INV")
    assert record.xfb == {"appli": "INV", "org": "them", "dest": "us"}
    assert record.files[0].path.startswith("files/INV/")


def test_an_exit_chooses_the_application(maildrop: Open) -> None:
    seen: list[Choice] = []

    def by_sender(choice: Choice) -> str | None:
        seen.append(choice)
        return "PARTNER" if choice.from_.endswith("@partner.example") else None

    (record,) = classified(maildrop(letter(1)), choose=by_sender)
    assert record.application == "PARTNER"
    assert (seen[0].originator, seen[0].destination, seen[0].xfer_ident) == (
        "edi",
        "edi",
        "<1@partner.example>",
    )


def test_an_exit_may_reject_a_mail(maildrop: Open) -> None:
    def nobody(choice: Choice) -> str | None:
        raise MailRefused("not for us", code="application-rejected")

    (record,) = classified(maildrop(letter(1)), choose=nobody)
    assert record.rejected is not None and record.rejected.reason.code == "application-rejected"


def test_a_defect_of_an_exit_costs_one_mail_its_place_not_the_batch(maildrop: Open) -> None:
    def broken(choice: Choice) -> str | None:
        if choice.subject == "1":
            raise ZeroDivisionError("oops")
        return None

    bad, good = classified(maildrop(letter(1), letter(2)), choose=broken)
    assert bad.rejected is not None and bad.rejected.reason == Reason(
        "choose-failed", "what chooses Applications failed: ZeroDivisionError: oops"
    )
    assert good.state == "ENDED" and good.rejected is None


@pytest.mark.parametrize("name", ["../up", "a/b", "..", "\u202eevil"])
def test_a_strangers_application_name_never_becomes_a_path(maildrop: Open, name: str) -> None:
    subject = f"Subject: //XFB appli={name}\r\n".encode()
    drop = maildrop(multipart(1, attachment(b"a.txt", b"a"), headers=subject))
    (record,) = classified(drop)
    assert record.application == "MAIL"
    assert "application-name" in {defect.code for defect in record.defects}
    assert record.files[0].path.startswith("files/MAIL/")


# ------------------------------------------------------------------------------------------------ receipts


def test_a_mail_that_asks_for_a_receipt_puts_one_into_the_outbox(maildrop: Open) -> None:
    drop = maildrop(multipart(1, attachment(b"a", b"a"), headers=ASKS_FOR_A_RECEIPT))
    (record,) = classified(drop)
    assert record.acknowledgment is not None and record.acknowledgment.decision == "send"
    (key,) = record.acknowledgment.receipts
    receipt = outbox.read(drop.store, key)
    assert (receipt.state, receipt.recipient, receipt.mail_from) == ("PENDING", "p@partner.example", "")


@pytest.mark.parametrize(
    ("options", "headers", "decision", "why"),
    [
        ({"acknowledgment_option": "not_to_ack"}, b"", "deny", "not_to_ack"),
        ({"acknowledgment_option": "ack_by_user"}, b"", "wait", "ack_by_user"),
        ({}, b"List-Id: <l.example>\r\n", "deny", "list-mail"),
        ({}, b"Auto-Submitted: auto-generated\r\n", "deny", "auto-submitted"),
    ],
)
def test_nobody_is_answered_who_should_not_be(
    maildrop: Open, options: dict[str, Any], headers: bytes, decision: str, why: str
) -> None:
    drop = maildrop(multipart(1, attachment(b"a", b"a"), headers=ASKS_FOR_A_RECEIPT + headers), **options)
    (record,) = classified(drop)
    assert record.acknowledgment is not None
    assert (record.acknowledgment.decision, record.acknowledgment.why) == (decision, why)
    assert outbox.pending(drop.store, "edi") == []


def test_what_was_not_taken_is_not_acknowledged_by_a_machine(maildrop: Open) -> None:
    two = (attachment(b"a", b"a"), attachment(b"b", b"b"))
    drop = maildrop(
        multipart(1, *two, headers=ASKS_FOR_A_RECEIPT), multipart(1, *two, headers=ASKS_FOR_A_RECEIPT)
    )
    recovered, duplicate = classified(drop)
    assert recovered.acknowledgment is not None and recovered.acknowledgment.decision == "wait"
    assert duplicate.acknowledgment is not None and duplicate.acknowledgment.decision == "deny"
    assert outbox.pending(drop.store, "edi") == []


# ---------------------------------------------------------------------------------------------- the batch


def test_the_lines_of_a_batch_are_in_the_order_of_its_mails(maildrop: Open) -> None:
    records = classified(maildrop(*map(letter, range(40))))
    assert [record.xfer_ident for record in records] == [f"<{n}@partner.example>" for n in range(40)]


def test_a_line_that_is_none_of_ours_is_a_store_that_is_corrupt(maildrop: Open) -> None:
    drop = maildrop(letter(1))
    batch = drop.poll().batch
    lines = TransferLines(drop.store, drop.site.name, str(batch))
    lines.add(as_json({"key": "k0", "type": "PARCEL"}))
    lines.commit()
    with pytest.raises(StoreCorrupt, match="the line of record k0 cannot be read"):
        classify(drop.site, drop.store, [str(batch)])


def test_a_classified_batch_is_counted_not_done_again(maildrop: Open) -> None:
    drop = maildrop(letter(1), letter(1), multipart(2, attachment(b"a", b"abc")))
    batch = drop.poll().batch
    assert batch is not None
    first, second = classify(drop.site, drop.store, [batch]), classify(drop.site, drop.store, [batch])
    assert (first.messages, first.duplicates, first.recovered, first.types) == (
        3,
        1,
        1,
        {"MSG": 1, "XFER": 2},
    )
    assert second.to_json() | {"seconds": 0} == first.to_json() | {"seconds": 0}
    assert classify(drop.site, drop.store).batches == (), "and no longer waits"


def test_a_batch_nobody_committed_is_refused(maildrop: Open) -> None:
    drop = maildrop()
    with pytest.raises(StoreCorrupt, match="has no manifest"):
        classify(drop.site, drop.store, ["20261123T080910123Z-00000001"])


def test_octets_that_rotted_in_the_spool_stop_the_batch_before_a_record(maildrop: Open) -> None:
    drop = maildrop(letter(1))
    batch = drop.poll().batch
    assert batch is not None
    segment = f"{layout.spool('edi', batch)}/{layout.segment_name(0)}"
    drop.store.replace(segment, drop.store.read(segment).replace(b"body", b"bogy"))
    with pytest.raises(StoreCorrupt, match="not those that were retrieved"):
        classify(drop.site, drop.store)
    assert list(drop.store.walk("records")) == []


def test_every_record_reads_back_as_it_was_written(maildrop: Open) -> None:
    for record in classified(
        maildrop(letter(1), letter(1), multipart(2, text(b"t"), attachment(b"a", b"a")))
    ):
        assert TransferRecord.from_json(record.to_json()) == record


def test_what_an_application_got_is_counted_by_itself(maildrop: Open) -> None:
    """Canceled mails are nobody's gain."""
    file = multipart(1, attachment(b"a.edi", b"UNA"))
    drop = maildrop(file, file, letter(2), error_mail_disposal="delete")
    drop.poll()
    result = classify(
        drop.site, drop.store, choose=lambda choice: "EDI" if "<1@" in choice.xfer_ident else None
    )
    assert result.applications == {"EDI": 2, "MAIL": 1}
    assert result.by_application == {
        "EDI": {"messages": 1, "files": 1, "octets": 3, "types": {"XFER": 1}},
        "MAIL": {"messages": 1, "files": 0, "octets": 0, "types": {"MSG": 1}},
    }
