"""A protected mail is opened on reception and understood as what was inside; what is no proof is not taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from support.identities import NOW, Identity, identity, keyring, smime
from support.maildrop import ASKS_FOR_A_RECEIPT, Maildrop, letter

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.gateway import classify, protection, replay
from airflow_pop3_gateway.partners import Partner, Smime
from airflow_pop3_gateway.records import TransferRecord
from airflow_pop3_gateway.smime import protect
from airflow_pop3_gateway.store import layout

Open = Callable[..., Maildrop]

US, PARTNER, OTHER = "edi@us.example", "p@partner.example", "other@other.example"
CONTENT = (
    b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\nContent-Type: text/plain\r\n\r\nten widgets\r\n"
    b"--i\r\nContent-Type: application/edi-x12; name=order.x12\r\n\r\nISA*00\r\n--i--\r\n"
)


def mail(
    number: int = 1,
    by: Identity | None = None,
    to: str = US,
    headers: bytes = b"",
    content: bytes = CONTENT,
    **options: bool,
) -> bytes:
    """What a partner sends; by default nothing is done to it."""
    head = b"Message-ID: <%d@partner.example>\r\nFrom: p@partner.example\r\nSubject: order\r\n" % number
    ring = keyring(by or identity(PARTNER), identity(to), **options)
    entity = protect(content, ring, ring.partners, NOW - timedelta(days=2)).entity
    return head + headers + b"MIME-Version: 1.0\r\n" + entity


def site(*partners: Identity, **options: bool) -> dict[str, Smime]:
    return {"smime": smime(identity(US), *(partners or (identity(PARTNER),)), **options)}


def classified(drop: Maildrop) -> list[TransferRecord]:
    drop.poll()
    result = classify(drop.site, drop.store)
    keys = [json.loads(line)["key"] for key in result.transfers for line in drop.store.read(key).splitlines()]
    return [TransferRecord.from_json(json.loads(drop.store.read(layout.record(key)))) for key in keys]


def reason(record: TransferRecord) -> str:
    assert record.rejected is not None and record.file_name == "RECOVER"
    return record.rejected.reason.code


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        ({"sign": True}, ("signed",)),
        ({"encrypt": True}, ("encrypted",)),
        ({"sign": True, "encrypt": True}, ("encrypted", "signed")),
    ],
    ids=str,
)
def test_what_is_inside_is_the_transfer(
    maildrop: Open, options: dict[str, bool], layers: tuple[str, ...]
) -> None:
    drop = maildrop(mail(**options), **site())
    (record,) = classified(drop)
    assert (record.type, record.file_name, record.rejected) == ("XFER", "order.x12", None)
    assert record.user_message == "ten widgets" and record.subject == "order"
    assert record.xfer_ident == "<1@partner.example>"
    assert drop.store.read(record.files[0].path) == b"ISA*00"
    assert record.protection is not None and record.protection.layers == layers
    assert record.protection.ciphers == (("aes-256-cbc",) if "encrypted" in layers else ())


def test_who_signed_is_on_the_record_and_the_proof_is_kept(maildrop: Open) -> None:
    drop = maildrop(mail(sign=True, encrypt=True), **site())
    (record,) = classified(drop)
    assert record.protection is not None
    (signer,) = record.protection.signers
    assert (signer.subject, signer.emails, signer.trusted) == (f"CN={PARTNER}", (PARTNER,), True)
    kept = {file.name: drop.store.read(file.path) for file in record.evidence}
    assert kept["signed-content.eml"] == CONTENT and "smime.p7s" in kept
    (line,) = [
        json.loads(line) for line in drop.store.read(layout.transfers("edi", record.raw.batch)).splitlines()
    ]
    assert line["protection"]["signers"][0]["sha256"] == signer.sha256


def test_without_configuration_everything_stays_as_it_was(maildrop: Open) -> None:
    drop = maildrop(mail(1, sign=True), mail(2, encrypt=True))
    signed, encrypted = classified(drop)
    assert (signed.type, signed.file_name, signed.protection) == ("XFER", "order.x12", None)
    assert [file.name for file in signed.evidence] == ["signed-content.eml", "smime.p7s"]
    assert reason(encrypted) == "encrypted"


def test_a_plain_mail_of_a_stranger_is_taken(maildrop: Open) -> None:
    (record,) = classified(maildrop(letter(1), **site(identity(OTHER), require_signed=True)))
    assert (record.type, record.rejected, record.protection) == ("MSG", None, None)


def test_a_signed_mail_of_a_stranger_is_taken_and_says_that_nobody_vouches(maildrop: Open) -> None:
    (record,) = classified(maildrop(mail(sign=True), **site(identity(OTHER))))
    assert record.rejected is None and record.protection is not None
    assert [signer.trusted for signer in record.protection.signers] == [False]
    assert [(defect.code, defect.detail) for defect in record.defects] == [("signer-untrusted", "no-partner")]


@pytest.mark.parametrize(
    ("arrived", "options", "code"),
    [
        (mail(sign=True).replace(b"ten widgets", b"two widgets"), {}, "integrity-check-failed"),
        (mail(encrypt=True, to=OTHER), {}, "no-key"),
        (mail(sign=True, by=identity(OTHER)), {}, "authentication-failed"),
        (mail(sign=True, by=identity(PARTNER, ends=-1)), {}, "authentication-failed"),
        (mail(), {"require_signed": True}, "insufficient-message-security"),
        (mail(sign=True), {"require_encrypted": True}, "insufficient-message-security"),
        (mail(encrypt=True)[:-400] + b"\r\n", {}, "smime-broken"),
    ],
    ids=["changed", "for another", "signed by another", "expired", "not signed", "not encrypted", "cut"],
)
def test_what_is_no_proof_is_not_taken_and_stops_nobody(
    maildrop: Open, arrived: bytes, options: dict[str, bool], code: str
) -> None:
    drop = maildrop(arrived, mail(2, sign=True, encrypt=True), **site(**options))
    refused, good = classified(drop)
    assert reason(refused) == code
    assert drop.store.read(refused.files[0].path) == arrived
    assert good.rejected is None and good.files[0].name == "order.x12"


def test_a_defect_of_ours_stops_nobody(maildrop: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(protection, "open_mail", fail)
    bad, good = classified(maildrop(mail(1, sign=True), letter(2), **site()))
    assert reason(bad) == "internal-error" and good.rejected is None


def test_an_expired_certificate_that_is_written_down_is_not_believed(maildrop: Open) -> None:
    expired = identity(PARTNER, ends=-1)
    (record,) = classified(maildrop(mail(sign=True, by=expired), **site(expired)))
    assert reason(record) == "authentication-failed"
    assert record.protection is not None and record.protection.signers[0].why == "expired"


def test_a_protected_mail_that_does_not_fit_into_memory_is_kept_whole(maildrop: Open) -> None:
    """A plain one of this size is taken as ever."""
    bound = {"limits": Limits(smime_bytes=1000)}
    plain, protected = classified(maildrop(letter(1, b"x" * 2000), mail(2, sign=True), **site(), **bound))
    assert plain.rejected is None and reason(protected) == "smime_bytes"


def test_large_protected_mails_come_one_at_a_time(maildrop: Open) -> None:
    content = b"Content-Type: application/octet-stream; name=a.bin\r\n\r\n" + b"0123456789abcdef\r\n" * 80_000
    content = b"Content-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n" + content + b"\r\n--i--\r\n"
    records = classified(maildrop(*(mail(n, content=content, sign=True) for n in (1, 2)), **site()))
    assert [record.rejected for record in records] == [None, None]


def test_the_whole_mail_stays_the_whole_mail(maildrop: Open) -> None:
    """``extract_file`` off: the exact octets, still protected, and who signed."""
    arrived = mail(sign=True, encrypt=True)
    drop = maildrop(arrived, extract_file=False, **site())
    (record,) = classified(drop)
    assert drop.store.read(record.files[0].path) == arrived
    assert record.protection is not None and record.protection.signers[0].trusted


def test_a_partner_that_is_added_later_takes_what_was_rejected(maildrop: Open) -> None:
    drop = maildrop(mail(sign=True, encrypt=True), smime=Smime(partners=(Partner(OTHER),)))
    (record,) = classified(drop)
    assert reason(record) == "no-key"
    drop.setup(**site())
    assert replay(drop.site, drop.store).differences == 1


def test_the_digest_of_a_receipt_is_on_the_record_when_one_was_asked_for(maildrop: Open) -> None:
    asks = ASKS_FOR_A_RECEIPT + (
        b"Disposition-Notification-Options: signed-receipt-protocol=optional, pkcs7-signature;"
        b" signed-receipt-micalg=optional, sha-512, sha-256\r\n"
    )
    drop = maildrop(mail(1, headers=asks, sign=True), mail(2, sign=True), mail(3, headers=asks), **site())
    asked, unasked, plain = classified(drop)
    assert asked.mic is not None and asked.mic.endswith(", sha-512")
    assert unasked.mic is None
    assert plain.mic is not None and plain.mic != asked.mic
