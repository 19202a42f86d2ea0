"""What protected a mail is taken off; what is no proof is refused, by name."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import pytest
from asn1crypto import cms
from hypothesis import given, settings
from hypothesis import strategies as st
from support.identities import NOW, identity, keyring

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import LimitExceeded, MailRefused
from airflow_pop3_gateway.gateway.applications import Nowhere
from airflow_pop3_gateway.mail.extract import Policy, understand
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.smime import is_protected, objection, open_mail
from airflow_pop3_gateway.smime.signed import sign, verify

US, THEM, OTHER = "us@us.example", "them@partner.example", "other@other.example"
HEADER = b"From: them@partner.example\r\nTo: us@us.example\r\nSubject: order\r\n"
RING = keyring(identity(US), identity(THEM))


def refused(mail: bytes, **options: Any) -> str:
    with pytest.raises(MailRefused) as caught:
        open_mail(mail, keyring(identity(US), identity(THEM), **options), Limits(), NOW)
    return caught.value.code


def opaque(kind: str, der: bytes) -> bytes:
    header = f"Content-Type: application/pkcs7-mime; smime-type={kind}; name=smime.p7m\r\n".encode()
    return header + b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(der)


def compressed(content: bytes) -> bytes:
    """RFC 3274, as agents that compress before they sign do."""
    data = cms.CompressedData(
        {
            "version": "v0",
            "compression_algorithm": {"algorithm": "zlib"},
            "encap_content_info": {"content_type": "data", "content": zlib.compress(content)},
        }
    )
    info = cms.ContentInfo({"content_type": "compressed_data", "content": data})
    return opaque("compressed-data", info.dump())


# ---------------------------------------------------------------------------------------------------- opening


def test_a_plain_mail_is_not_touched() -> None:
    assert open_mail(HEADER + b"\r\nhello\r\n", RING, Limits(), NOW) is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"Content-Type: application/pkcs7-mime; smime-type=enveloped-data", True),
        (b"Content-Type: application/x-pkcs7-mime", True),
        (b"Content-Type: application/octet-stream; name=smime.p7m", True),
        (b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b', True),
        (b'Content-Type: multipart/signed; protocol="application/pgp-signature"; boundary=b', False),
        (b"Content-Type: application/octet-stream; name=order.p7m", False),
        (b"Content-Type: text/plain", False),
    ],
)
def test_the_header_says_whether_a_mail_is_protected(header: bytes, expected: bool) -> None:
    assert is_protected(Head.from_bytes(header)) is expected


def test_a_mail_that_is_only_signed_in_the_open_stays_as_it_is(send: Any, receive: Any) -> None:
    opened = receive(send(sign=True))
    assert opened.content is None
    assert opened.protection.layers == ("signed",)
    (signer,) = opened.protection.signers
    assert (signer.trusted, signer.why, signer.emails, signer.digest) == (True, "", (THEM,), "sha256")
    assert signer.subject == f"CN={THEM}" and signer.signed_at is not None


def test_what_was_encrypted_takes_the_place_of_the_mail_and_keeps_its_header(send: Any, receive: Any) -> None:
    opened = receive(send(encrypt=True))
    head, _, body = opened.content.partition(b"\r\n\r\n")
    assert body == b"ten widgets\r\n"
    assert b"Subject: order\r\n" in head and b"pkcs7" not in head
    assert opened.protection.ciphers == ("aes-256-cbc",) and opened.protection.signers == ()


def test_fields_inside_do_not_replace_those_of_the_mail(send: Any, receive: Any) -> None:
    """Who encrypts is nobody in particular: a From inside would be anybody's."""
    mail = send(encrypt=True, content=b"Content-Type: text/plain\r\n\r\nx\r\n")
    inner = b"From: boss@us.example\r\nContent-Type: text/plain\r\n\r\nx\r\n"
    opened = receive(HEADER + compressed(inner))
    assert Head.from_bytes(opened.content.partition(b"\r\n\r\n")[0]).from_ == THEM
    assert opened.content.count(b"From:") == 1 and mail


@pytest.mark.parametrize(
    "trick",
    [
        b"no field at all\r\nPay to account 1\r\n",
        b"X: a\rPay: to account 1\r\n\tand 2\r\n",
        b"X: a\r\r\r\n pay\r\n",
    ],
)
def test_nothing_of_the_header_is_read_as_signed_content(trick: bytes) -> None:
    """The header is anybody's; readers differ about where a broken one ends."""
    content = b"Content-Type: text/plain\r\n\r\nten widgets\r\n"
    info = cms.ContentInfo.load(sign(content, keyring(identity(THEM)).own))  # type: ignore[arg-type]
    info["content"]["encap_content_info"]["content"] = content
    opened = open_mail(trick + HEADER + opaque("signed-data", info.dump(force=True)), RING, Limits(), NOW)
    assert opened is not None and opened.content is not None and opened.protection.signers[0].trusted
    shown = understand([opened.content], lambda head: Policy(), lambda name, kind: Nowhere())
    assert shown.user_message == "ten widgets"
    assert shown.head.from_ == THEM


def test_compressed_content_is_decompressed_within_its_bound(receive: Any) -> None:
    mail = HEADER + compressed(b"Content-Type: text/plain\r\n\r\n" + b"x" * 100_000)
    assert len(receive(mail).content) > 100_000
    with pytest.raises(LimitExceeded) as caught:
        receive(mail, limits=Limits(smime_bytes=50_000))
    assert caught.value.limit == "smime_bytes"


def test_damaged_compression_is_refused() -> None:
    mail = HEADER + compressed(b"x" * 100)
    cut = cms.ContentInfo.load(base64.b64decode(mail.partition(b"\r\n\r\n")[2]))
    cut["content"]["encap_content_info"]["content"] = zlib.compress(b"x" * 100)[:-6]
    assert refused(HEADER + opaque("compressed-data", cut.dump(force=True))) == "decompression-failed"


def test_layers_are_bounded() -> None:
    content = b"Content-Type: text/plain\r\n\r\nx\r\n"
    for _ in range(7):
        content = compressed(content)
    with pytest.raises(LimitExceeded) as caught:
        open_mail(HEADER + content, RING, Limits(), NOW)
    assert caught.value.limit == "smime_layers"
    assert open_mail(HEADER + content, RING, Limits(smime_layers=7), NOW) is not None


def test_a_server_that_lost_the_carriage_returns_spoils_no_signature(send: Any, receive: Any) -> None:
    opened = receive(send(sign=True).replace(b"\r\n", b"\n"))
    assert opened.protection.signers[0].trusted


# --------------------------------------------------------------------------------------------- what is no proof


def test_changed_content_is_refused(send: Any) -> None:
    assert refused(send(sign=True).replace(b"ten widgets", b"two widgets")) == "integrity-check-failed"


def test_a_signature_of_another_content_is_refused(send: Any) -> None:
    """Only its own attributes tell: the certificate is right, and so is the arithmetic."""
    mail, other = send(sign=True), send(sign=True, content=b"Content-Type: text/plain\r\n\r\nother\r\n")
    signature = other[other.index(b"Content-Type: application/pkcs7-signature") : other.rindex(b"--=_")]
    at = mail.index(b"Content-Type: application/pkcs7-signature")
    assert refused(mail[:at] + signature + mail[mail.rindex(b"--=_") :]) != ""


def test_a_certificate_that_is_not_the_signers_is_refused() -> None:
    """Somebody signs with a key of his own and says it was the partner's."""
    content = b"Content-Type: text/plain\r\n\r\nx\r\n"
    info = cms.ContentInfo.load(sign(content, keyring(identity(OTHER)).own))  # type: ignore[arg-type]
    (signer,) = info["content"]["signer_infos"]
    them = cms.IssuerAndSerialNumber(
        {
            "issuer": cms.Name.load(identity(THEM).certificate.issuer.public_bytes()),
            "serial_number": identity(THEM).certificate.serial_number,
        }
    )
    signer["sid"] = cms.SignerIdentifier("issuer_and_serial_number", them)
    mail = (
        HEADER + b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n\r\n'
        b"--b\r\n" + content + b"\r\n--b\r\nContent-Type: application/pkcs7-signature\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n"
        + base64.encodebytes(info.dump(force=True))
        + b"\r\n--b--\r\n"
    )
    assert refused(mail) == "integrity-check-failed"


def test_a_part_that_nobody_signed_is_refused(send: Any) -> None:
    """It would be shown beside what was signed."""
    mail = send(sign=True)
    at = mail.rindex(b"--=_signed")
    boundary = mail[at:].removesuffix(b"--\r\n")
    further = boundary + b"\r\nContent-Disposition: attachment; filename=x.bin\r\n\r\nx\r\n"
    assert refused(mail[:at] + further + mail[at:]) == "smime-broken"


def test_a_mail_for_somebody_else_is_refused(send: Any) -> None:
    assert refused(send(encrypt=True, to=OTHER)) == "no-key"


def test_a_site_without_a_key_cannot_decrypt(send: Any) -> None:
    with pytest.raises(MailRefused) as caught:
        open_mail(send(encrypt=True), keyring(None, identity(THEM)), Limits(), NOW)
    assert caught.value.code == "no-key"


def test_every_damage_of_an_encrypted_mail_has_the_same_words(send: Any) -> None:
    """Whoever could tell them apart could decrypt by asking often."""
    mail = send(encrypt=True)
    head, _, text = mail.partition(b"\r\n\r\n")
    told = set()
    for part in ("key", "content", "length"):
        info = cms.ContentInfo.load(base64.b64decode(text))
        (recipient,) = info["content"]["recipient_infos"]
        encrypted = info["content"]["encrypted_content_info"]
        if part == "key":
            recipient.chosen["encrypted_key"] = bytes(256)
        else:
            octets = bytearray(encrypted["encrypted_content"].native)
            if part == "content":
                octets[-17] ^= 0x80  # and the last octet says that there is more padding than a block has
            else:
                del octets[-1]
            encrypted["encrypted_content"] = bytes(octets)
        with pytest.raises(MailRefused) as caught:
            open_mail(head + b"\r\n\r\n" + base64.encodebytes(info.dump(force=True)), RING, Limits(), NOW)
        told.add((caught.value.code, str(caught.value)))
    assert len(told) == 1 and told.pop()[0] == "decryption-failed"


@pytest.mark.parametrize("digest", ["md5"])
def test_a_digest_that_proves_nothing_is_refused(digest: str) -> None:
    content = b"Content-Type: text/plain\r\n\r\nx\r\n"
    info = cms.ContentInfo.load(sign(content, RING.own))  # type: ignore[arg-type]
    (signer,) = info["content"]["signer_infos"]
    signer["digest_algorithm"]["algorithm"] = digest
    info["content"]["encap_content_info"]["content"] = content
    assert refused(HEADER + opaque("signed-data", info.dump(force=True))) == "smime-unsupported"


# ------------------------------------------------------------------------------------------------ what follows


def test_the_partner_must_have_signed_what_is_signed(send: Any) -> None:
    ring = keyring(identity(US), identity(THEM), identity(OTHER))
    opened = open_mail(send(sign=True, by=identity(OTHER)), ring, Limits(), NOW)
    assert opened is not None and opened.protection.signers[0].why == "signer-not-sender"
    reason = objection(ring, THEM, opened.protection)
    assert reason is not None and reason.code == "authentication-failed"


def test_nobody_vouches_for_a_stranger_and_nobody_objects(send: Any) -> None:
    ring = keyring(identity(US), identity(OTHER))
    opened = open_mail(send(sign=True), ring, Limits(), NOW)
    assert opened is not None and opened.protection.signers[0].why == "no-partner"
    assert objection(ring, THEM, opened.protection) is None


@pytest.mark.parametrize("needs", ["require_signed", "require_encrypted"])
def test_a_partner_who_must_protect_and_does_not_is_objected_to(needs: str, send: Any) -> None:
    ring = keyring(identity(US), identity(THEM), **{needs: True})
    reason = objection(ring, THEM, None)
    assert reason is not None and reason.code == "insufficient-message-security"
    opened = open_mail(send(sign=True, encrypt=True), ring, Limits(), NOW)
    assert opened is not None and objection(ring, THEM, opened.protection) is None


@pytest.mark.parametrize("kind", ["data", "compressed_data"])
def test_a_signature_over_one_type_of_content_says_nothing_of_another(kind: str) -> None:
    """RFC 5652 §11.1: the type is among what was signed, so that octets cannot be shown as something else."""
    content = b"Content-Type: text/plain\r\n\r\nten widgets\r\n"
    signed = cms.ContentInfo.load(sign(content, RING.own))["content"]  # type: ignore[arg-type]
    signed["encap_content_info"] = {"content_type": kind}
    if kind == "data":
        assert len(verify(signed, content, RING, THEM, NOW)) == 1
    else:
        with pytest.raises(MailRefused) as caught:
            verify(signed, content, RING, THEM, NOW)
        assert caught.value.code == "smime-broken"


# ------------------------------------------------------------------------------------------------------ garbage

DERS = [
    sign(b"x", RING.own),  # type: ignore[arg-type]
    base64.b64decode(compressed(b"Content-Type: text/plain\r\n\r\nx").partition(b"\r\n\r\n")[2]),
]


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.binary(max_size=200), st.sampled_from(DERS)), st.data())
def test_any_octets_are_opened_or_refused(der: bytes, data: st.DataObject) -> None:
    """Also real objects with some octets changed."""
    mutable = bytearray(der)
    for _ in range(data.draw(st.integers(0, 4))):
        if mutable:
            mutable[data.draw(st.integers(0, len(mutable) - 1))] = data.draw(st.integers(0, 255))
    for mail in (
        HEADER + opaque("signed-data", bytes(mutable)),
        HEADER + b'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; boundary=b\r\n\r\n'
        b"--b\r\n\r\nx\r\n--b\r\nContent-Type: application/pkcs7-signature\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.encodebytes(bytes(mutable)) + b"--b--\r\n",
    ):
        try:
            assert open_mail(mail, RING, Limits(), NOW) is not None
        except (MailRefused, LimitExceeded) as error:
            assert error.facts
