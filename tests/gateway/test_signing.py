"""Signed receipts: given where they are asked for and can be; what is required and cannot be given is said (RFC 3335)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable

import msgspec
import pytest
from support.identities import NOW, identity, keyring, smime
from support.maildrop import ASKS_FOR_A_RECEIPT, Maildrop

from airflow_pop3_gateway.acks import parse_report
from airflow_pop3_gateway.config import Limits, LocalSite
from airflow_pop3_gateway.gateway import classify
from airflow_pop3_gateway.gateway.answers import answer
from airflow_pop3_gateway.gateway.applications import Nowhere
from airflow_pop3_gateway.gateway.signing import proof_of
from airflow_pop3_gateway.mail.extract import Policy, Understanding, understand
from airflow_pop3_gateway.records import Receipt, Report, TransferRecord
from airflow_pop3_gateway.records.sent import SentRecipient, SentTransfer
from airflow_pop3_gateway.smime import Opened, open_mail, protect
from airflow_pop3_gateway.smime.mic import compare, mic_of
from airflow_pop3_gateway.store import layout, outbox

Open = Callable[..., Maildrop]

US, PARTNER = "edi@us.example", "p@partner.example"
CONTENT = b"Content-Type: application/edi-x12\r\n\r\nISA*00\r\n"
SIGNED = b"signed-receipt-protocol=optional, pkcs7-signature; signed-receipt-micalg=optional, sha-256"


def asking(options: bytes = SIGNED, **protection: bool) -> tuple[bytes, str]:
    """A mail that asks, and the digest its sender keeps."""
    ring = keyring(identity(PARTNER), identity(US), **protection)
    made = protect(
        b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n" + CONTENT + b"\r\n--i--\r\n",
        ring,
        ring.partners,
        NOW,
    )
    head = ASKS_FOR_A_RECEIPT + b"Disposition-Notification-Options: " + options + b"\r\n"
    head += b"From: p@partner.example\r\nTo: edi@us.example\r\nMessage-ID: <1@partner.example>\r\nSubject: order\r\n"
    return head + b"MIME-Version: 1.0\r\n" + made.entity, made.mic


def answered(drop: Maildrop) -> bytes:
    drop.poll()
    classify(drop.site, drop.store)
    return only_receipt(drop)


def only_receipt(drop: Maildrop) -> bytes:
    (receipt,) = [outbox.read(drop.store, key) for key in outbox.pending(drop.store, "edi")]
    assert isinstance(receipt, Receipt)
    return base64.b64decode(receipt.message)


def opened(receipt: bytes) -> Opened | None:
    """As the partner who asked opens it."""
    return open_mail(receipt, keyring(identity(PARTNER), identity(US)), Limits(), NOW)


def report_of(receipt: bytes) -> Report:
    understood: Understanding = understand([receipt], lambda head: Policy(), lambda name, kind: Nowhere())
    assert understood.type == "EERP"
    report = parse_report(understood.captured)
    assert report is not None
    return report


@pytest.mark.parametrize(
    "protection", [{"sign": True}, {"encrypt": True}, {"sign": True, "encrypt": True}, {}], ids=str
)
def test_the_receipt_is_signed_and_repeats_the_digest_of_the_sender(
    maildrop: Open, protection: dict[str, bool]
) -> None:
    mail, mic = asking(**protection)
    receipt = answered(maildrop(mail, smime=smime(identity(US), identity(PARTNER))))
    verified = opened(receipt)
    assert verified is not None and verified.protection.layers == ("signed",)
    assert verified.protection.signers[0].trusted
    report = report_of(receipt)
    assert report.verdict == "positive" and report.original_message_id == "<1@partner.example>"
    assert compare(report.fields["received-content-mic"], mic) == "match"


@pytest.mark.parametrize(
    ("wanted", "spelled"),
    [(b"sha1", "sha1"), (b"md5, sha512", "sha512"), (b"SHA-384,sha1", "SHA-384"), (b"md5", "sha-256")],
)
def test_the_digest_is_the_first_that_is_known(maildrop: Open, wanted: bytes, spelled: str) -> None:
    mail, _ = asking(SIGNED.replace(b"sha-256", wanted), sign=True)
    receipt = answered(maildrop(mail, smime=smime(identity(US), identity(PARTNER))))
    assert report_of(receipt).fields["received-content-mic"].endswith(f", {spelled}")


@pytest.mark.parametrize(
    "options",
    [SIGNED, SIGNED.replace(b"pkcs7-signature", b"pgp-signature"), b"signed-receipt-micalg=optional,md5"],
)
def test_what_is_optional_and_cannot_be_costs_nobody_a_receipt(maildrop: Open, options: bytes) -> None:
    own = identity(US) if options != SIGNED else None
    receipt = answered(maildrop(asking(options)[0], smime=smime(own, identity(PARTNER))))
    assert opened(receipt) is None
    assert report_of(receipt).verdict == "positive"


@pytest.mark.parametrize(
    ("options", "own", "failure"),
    [
        (b"signed-receipt-protocol=required, pkcs7-signature", False, "unsupported format"),
        (b"signed-receipt-protocol=required, pgp-signature", True, "unsupported format"),
        (
            SIGNED.replace(b"micalg=optional, sha-256", b"micalg=required, md5"),
            True,
            "unsupported MIC-algorithms",
        ),
    ],
)
def test_what_is_required_and_cannot_be_is_said(
    maildrop: Open, options: bytes, own: bool, failure: str
) -> None:
    keys = smime(identity(US) if own else None, identity(PARTNER))
    report = report_of(answered(maildrop(asking(options)[0], smime=keys)))
    assert report.disposition == "automatic-action/MDN-sent-automatically; failed/failure"
    assert report.fields["failure"] == failure and report.verdict == "negative"


def test_a_site_without_s_mime_says_so_where_a_signature_is_required(maildrop: Open) -> None:
    mail, _ = asking(b"signed-receipt-protocol=required, pkcs7-signature")
    assert report_of(answered(maildrop(mail))).fields["failure"] == "unsupported format"


def test_an_answer_of_a_person_is_signed_too(maildrop: Open) -> None:
    """The request that waits has the digest; the raw mail may be gone."""
    mail, mic = asking(sign=True)
    keys = smime(identity(US), identity(PARTNER))
    drop = maildrop(mail, acknowledgment_option="ack_by_user", smime=keys)
    drop.poll()
    classify(drop.site, drop.store)
    drop.store.delete_tree("spool/edi")
    answer(drop.site, drop.store, "processed", by="a person", by_a_person=True, now=drop.now)
    receipt = only_receipt(drop)
    assert opened(receipt) is not None
    assert compare(report_of(receipt).fields["received-content-mic"], mic) == "match"


# ------------------------------------------------------------------------------------------------- that came in

OTHER = "other@other.example"
SENT = SentTransfer(
    schema="",
    key="k",
    local_ident="1",
    xfer_ident="<1@partner.example>",
    message_id="<1@partner.example>",
    type="XFER",
    smtp_conn_id="relay",
    from_=PARTNER,
    recipients=(SentRecipient(US),),
    subject="order",
    created_at="",
)


def came_in(
    maildrop: Open, change: Callable[[bytes], bytes] = bytes, *, unsigned: bool = False
) -> tuple[Maildrop, TransferRecord, str]:
    """The receipt of ``edi@us.example`` arrives at who asked; ``change`` happens on the way."""
    mail, mic = asking(sign=True)
    keys = smime(None if unsigned else identity(US), identity(PARTNER))
    receipt = change(answered(maildrop(mail, smime=keys)))
    drop = maildrop(receipt, smime=smime(identity(PARTNER), identity(US), identity(OTHER)))
    drop.setup(name="partner", local_site=LocalSite(mail_address=PARTNER))
    drop.poll()
    (key,) = classify(drop.site, drop.store).transfers
    line = json.loads(drop.store.read(key))
    return drop, TransferRecord.from_json(json.loads(drop.store.read(layout.record(line["key"])))), mic


def test_a_receipt_proves_what_its_signer_received(maildrop: Open) -> None:
    drop, record, mic = came_in(maildrop)
    assert proof_of(drop.site, msgspec.structs.replace(SENT, mic=mic), record) == "match"
    assert proof_of(drop.site, msgspec.structs.replace(SENT, mic=mic_of(b"another")), record) == "mismatch"


def test_of_whom_no_signed_receipt_was_asked_nothing_has_to_be_proven(maildrop: Open) -> None:
    drop, record, _ = came_in(maildrop)
    assert proof_of(drop.site, SENT, record) is None


def test_only_who_got_the_mail_can_prove_it(maildrop: Open) -> None:
    """Another partner has a key too."""
    drop, record, mic = came_in(maildrop)
    transfer = msgspec.structs.replace(SENT, mic=mic, recipients=(SentRecipient(OTHER),))
    assert proof_of(drop.site, transfer, record) == "unproven"


def test_a_receipt_without_signature_proves_nothing(maildrop: Open) -> None:
    drop, record, mic = came_in(maildrop, unsigned=True)
    assert record.type == "EERP" and record.protection is None
    assert proof_of(drop.site, msgspec.structs.replace(SENT, mic=mic), record) == "unproven"
    assert proof_of(drop.site, msgspec.structs.replace(SENT, mic=mic_of(b"another")), record) == "mismatch"


def test_a_receipt_that_was_changed_is_no_report_any_more(maildrop: Open) -> None:
    _, record, _ = came_in(maildrop, lambda receipt: receipt.replace(b"; processed", b"; deleted"))
    assert record.rejected is not None and record.rejected.reason.code == "integrity-check-failed"
    assert record.type == "XFER" and record.report is None
