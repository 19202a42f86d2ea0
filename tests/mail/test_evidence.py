"""A signature that was sent can be verified from what was kept."""

from __future__ import annotations

import subprocess
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.programs import program

from airflow_pop3_gateway.mail.extract import Policy

ENTITY = (
    b'Content-Type: multipart/mixed; boundary="in"\r\n\r\n'
    b"--in\r\nContent-Type: text/plain\r\n\r\nThe order, with trailing blanks  \r\n"
    b'--in\r\nContent-Type: application/x-order; name="order.bin"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    b"AAECAwQ=\r\n\r\n--in--\r\nan epilogue\r\n"
)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``key.pem`` and a certificate ``cert.pem`` that signs itself."""
    folder = tmp_path_factory.mktemp("signer")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "partner")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder


def openssl(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [program("openssl", "openssl"), *words], cwd=folder, capture_output=True, check=False
    )


def signed(signer: Path, entity: bytes) -> bytes:
    """What ``openssl cms -sign`` makes of an entity, as it comes out of POP3."""
    (signer / "entity.eml").write_bytes(entity)
    done = openssl(
        signer,
        *"cms -sign -binary -in entity.eml -signer cert.pem -inkey key.pem -md sha256 -crlfeol".split(),
    )
    assert done.returncode == 0, done.stderr
    return b"From: a@example.org\r\nMessage-ID: <1@example.org>\r\n" + done.stdout


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_detached_signature_verifies_from_the_files_that_were_kept(
    desk, signer: Path, tmp_path: Path, size: int
) -> None:
    """However the mail was cut; and the attachment is a transfer as if nobody had signed."""
    mail = signed(signer, ENTITY)
    understanding = desk.understand(mail[at : at + size] for at in range(0, len(mail), size))
    assert (understanding.type, understanding.file_name) == ("XFER", "order.bin")
    assert [file.name for file in understanding.files] == ["order.bin"]
    content, signature = understanding.evidence
    assert (content.name, signature.name) == ("signed-content.eml", "smime.p7s")
    for file in understanding.evidence:
        (tmp_path / file.name).write_bytes(desk.files[file.name])
        assert file.size == len(desk.files[file.name])
    verify = "cms -verify -binary -inform DER -in smime.p7s -content signed-content.eml -out".split()
    trust = ["-CAfile", str(signer / "cert.pem"), "-purpose", "any"]
    done = openssl(tmp_path, *verify, "verified", *trust)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "verified").read_bytes() == ENTITY

    (tmp_path / "signed-content.eml").write_bytes(ENTITY.replace(b"order", b"Order", 1))
    assert openssl(tmp_path, *verify, "verified", *trust).returncode != 0


@pytest.mark.parametrize("size", [1000, 1 << 30])
def test_of_two_signatures_around_each_other_the_outer_one_is_kept(
    desk, signer: Path, tmp_path: Path, size: int
) -> None:
    once = signed(signer, ENTITY.replace(b"AAECAwQ=\r\n", b"AAECAwQF\r\n" * 2_000))
    inner = once[once.index(b"Content-Type") :]
    mail = signed(signer, inner)
    understanding = desk.understand(mail[at : at + size] for at in range(0, len(mail), size))
    for file, name in zip(understanding.evidence, ("content", "signature"), strict=True):
        (tmp_path / name).write_bytes(desk.files[file.name])
    assert (tmp_path / "content").read_bytes() == inner
    verify = (
        "cms -verify -binary -inform DER -in signature -content content -out verified -purpose any".split()
    )
    done = openssl(tmp_path, *verify, "-CAfile", str(signer / "cert.pem"))
    assert done.returncode == 0, done.stderr


def pgp(content: bytes, kind: str = "application/pgp-signature") -> bytes:
    return (
        b'Content-Type: multipart/signed; boundary="s"; protocol="application/pgp-signature"\r\n\r\n'
        b"preamble\r\n--s\r\n"
        + content
        + b"\r\n--s\r\nContent-Type: "
        + kind.encode()
        + b"\r\n\r\nSIG\r\n--s--\r\n"
    )


def test_the_content_is_what_stands_between_the_delimiters(desk) -> None:
    content = b"Content-Type: text/plain\r\n\r\nHello \r\n\r\n"
    understanding = desk.understand(pgp(content))
    assert (understanding.type, understanding.user_message) == ("MSG", "Hello ")
    assert desk.files == {"signed-content.eml": content, "signature.asc": b"SIG"}
    [leaf] = [leaf for leaf in understanding.leaves if leaf.why == "signature"]
    assert (leaf.outcome, leaf.file) == ("ignored", "key/signature.asc")


def test_a_signed_mail_with_an_enclosed_mail_keeps_both_exactly(desk) -> None:
    enclosed = (
        b"From: b@example.org\r\nContent-Type: multipart/signed; boundary=t\r\n\r\n--t\r\n\r\nx\r\n--t--\r\n"
    )
    content = b"Content-Type: message/rfc822\r\n\r\n" + enclosed
    understanding = desk.understand(pgp(content))
    assert [file.name for file in understanding.files] == ["part-1.eml"]
    assert desk.files["part-1.eml"] == enclosed
    assert desk.files["signed-content.eml"] == content


def test_a_signed_part_within_another_multipart_is_proven_as_well(desk) -> None:
    """Mailing lists add a footer around it."""
    content = b"Content-Type: text/plain\r\n\r\nHello"
    mail = (
        b"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n"
        + pgp(content)
        + b"\r\n--o\r\n\r\nfooter\r\n--o--\r\n"
    )
    desk.understand(mail)
    assert desk.files["signed-content.eml"] == content


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream"])
def test_without_a_signature_there_is_no_evidence(desk, kind: str) -> None:
    understanding = desk.understand(pgp(b"Content-Type: text/plain\r\n\r\nHello", kind))
    assert understanding.evidence == ()
    assert "signed-content.eml" not in desk.files


def test_a_forwarded_signed_mail_is_that_mail_and_no_evidence_of_this_one(desk) -> None:
    inner = pgp(b"\r\nHello")
    mail = (
        b"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: message/rfc822\r\n\r\n"
        + inner
        + b"\r\n--o--\r\n"
    )
    understanding = desk.understand(mail)
    assert understanding.evidence == () and desk.files == {"part-1.eml": inner}


def test_of_a_mail_that_is_not_taken_no_evidence_is_published(desk) -> None:
    content = (
        b"Content-Type: multipart/mixed; boundary=i\r\n\r\n"
        b"--i\r\nContent-Type: image/png\r\n\r\n1\r\n--i\r\nContent-Type: image/png\r\n\r\n2\r\n--i--"
    )
    understanding = desk.understand(pgp(content))
    assert understanding.rejected is not None and desk.files == {} and understanding.evidence == ()
    desk.chosen.clear()
    understanding = desk.understand(pgp(content), Policy(multiple_attachments="extract"))
    assert [file.name for file in understanding.evidence] == ["signed-content.eml", "signature.asc"]
