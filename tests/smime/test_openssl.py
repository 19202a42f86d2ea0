"""OpenSSL reads what we protect, and we read what OpenSSL does: another implementation of the same standards."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.identities import NOW, identity, keyring
from support.programs import program

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.records import Protection
from airflow_pop3_gateway.smime import Opened, open_mail, protect

US, THEM = "us@us.example", "them@partner.example"
CONTENT = b"Content-Type: application/edi-x12\r\nContent-Transfer-Encoding: base64\r\n\r\nSVNBKjAw\r\n"
HEADER = b"From: them@partner.example\r\nTo: us@us.example\r\nMessage-ID: <1@partner.example>\r\nSubject: order\r\n"


class OpenSsl:
    """The program, with the files of both sides in a folder."""

    def __init__(self, folder: Path, key: str = "rsa") -> None:
        us, them = identity(US), identity(THEM, key=key)
        self.key = key
        self.path = program("openssl", "openssl")
        self.folder = folder
        (self.us, self.us_key), (self.them, self.them_key) = us.write(folder), them.write(folder)
        (folder / "content").write_bytes(CONTENT)
        self.content = str(folder / "content")

    def __call__(self, *arguments: str, given: bytes = b"") -> bytes:
        done = subprocess.run(
            [self.path, *arguments], input=given, capture_output=True, check=False, cwd=self.folder
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout


@pytest.fixture(params=["rsa", "ec"])
def signer(request: pytest.FixtureRequest, tmp_path: Path) -> OpenSsl:
    """Partners who sign with RSA, then with EC."""
    return OpenSsl(tmp_path, request.param)


@pytest.fixture
def openssl(tmp_path: Path) -> OpenSsl:
    return OpenSsl(tmp_path)


def opened(mail: bytes, key: str = "rsa") -> Opened:
    result = open_mail(HEADER + mail, keyring(identity(US), identity(THEM, key=key)), Limits(), NOW)
    assert result is not None
    return result


def trusted(protection: Protection) -> list[bool]:
    return [signer.trusted for signer in protection.signers]


@pytest.mark.parametrize(
    "form", [[], ["-nodetach"], ["-nodetach", "-stream"]], ids=["open", "opaque", "stream"]
)
@pytest.mark.parametrize("digest", ["sha1", "sha256", "sha384", "sha512"])
def test_what_openssl_signs_is_verified(signer: OpenSsl, form: list[str], digest: str) -> None:
    mail = signer(
        "cms",
        "-sign",
        "-md",
        digest,
        *form,
        "-in",
        signer.content,
        "-signer",
        signer.them,
        "-inkey",
        signer.them_key,
    )
    result = opened(mail, signer.key)
    assert result.protection.layers == ("signed",) and trusted(result.protection) == [True]
    assert result.protection.signers[0].digest == digest
    assert result.protection.signers[0].emails == (THEM,)
    assert result.covered == CONTENT
    assert (result.content is None) is (form == [])
    assert result.content is None or result.content.endswith(CONTENT.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize(
    "options",
    [["-keyopt", "rsa_padding_mode:pss"], ["-noattr"], ["-nocerts"], ["-keyid"]],
    ids=["pss", "without attributes", "without certificate", "by key identifier"],
)
def test_other_ways_to_sign_are_verified(openssl: OpenSsl, options: list[str]) -> None:
    mail = openssl(
        "cms", "-sign", "-in", openssl.content, "-signer", openssl.them, "-inkey", openssl.them_key, *options
    )
    assert trusted(opened(mail).protection) == [True]


@pytest.mark.parametrize(
    ("option", "cipher"),
    [
        ("-aes128", "aes-128-cbc"),
        ("-aes192", "aes-192-cbc"),
        ("-aes256", "aes-256-cbc"),
        ("-des3", "des-ede3-cbc"),
        ("-aes-128-gcm", "aes-128-gcm"),
        ("-aes-256-gcm", "aes-256-gcm"),
    ],
)
@pytest.mark.parametrize("stream", [[], ["-stream"]], ids=["whole", "stream"])
def test_what_openssl_encrypts_is_decrypted(
    openssl: OpenSsl, option: str, cipher: str, stream: list[str]
) -> None:
    mail = openssl("cms", "-encrypt", option, *stream, "-in", openssl.content, openssl.us)
    result = opened(mail)
    assert result.protection == Protection(("encrypted",), (cipher,), ())
    assert result.covered == CONTENT


@pytest.mark.parametrize("digest", ["sha1", "sha256"])
def test_keys_under_oaep_are_decrypted(openssl: OpenSsl, digest: str) -> None:
    padding = ("-keyopt", "rsa_padding_mode:oaep", "-keyopt", f"rsa_oaep_md:{digest}")
    mail = openssl("cms", "-encrypt", "-aes256", "-in", openssl.content, "-recip", openssl.us, *padding)
    assert opened(mail).covered == CONTENT


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-keyopt", "ecdh_kdf_md:sha256"],
        ["-keyid"],
        ["-keyopt", "ecdh_cofactor_mode:0", "-keyopt", "ecdh_kdf_md:sha512"],
    ],
    ids=str,
)
@pytest.mark.parametrize("cipher", ["-aes128", "-aes256", "-aes-256-gcm"])
def test_keys_that_were_agreed_on_are_found(tmp_path: Path, options: list[str], cipher: str) -> None:
    """Our certificate is EC's."""
    openssl, us = OpenSsl(tmp_path), identity(US, key="ec")
    certificate, _ = us.write(tmp_path)
    mail = openssl("cms", "-encrypt", cipher, "-in", openssl.content, "-recip", certificate, *options)
    opened = open_mail(HEADER + mail, keyring(us), Limits(), NOW)
    assert opened is not None and opened.covered == CONTENT


def test_a_mail_for_several_is_decrypted_by_each(openssl: OpenSsl) -> None:
    mail = openssl("cms", "-encrypt", "-aes256", "-keyid", "-in", openssl.content, openssl.them, openssl.us)
    assert opened(mail).covered == CONTENT


def test_signed_then_encrypted_is_one_mail_with_two_layers(openssl: OpenSsl) -> None:
    signed = openssl(
        "cms", "-sign", "-in", openssl.content, "-signer", openssl.them, "-inkey", openssl.them_key
    )
    result = opened(openssl("cms", "-encrypt", "-aes256", openssl.us, given=signed))
    assert result.protection.layers == ("encrypted", "signed") and trusted(result.protection) == [True]
    assert result.covered == CONTENT
    assert result.content is not None and result.content.startswith(HEADER.replace(b"-ID", b"-Id"))


def test_a_large_mail_that_was_streamed_costs_no_more_than_its_size(openssl: OpenSsl) -> None:
    """OpenSSL writes it in thousands of pieces."""
    content = b"Content-Type: application/octet-stream\r\n\r\n" + b"0123456789abcdef" * (1 << 19)
    (openssl.folder / "content").write_bytes(content)
    mail = openssl("cms", "-encrypt", "-aes256", "-stream", "-binary", "-in", openssl.content, openssl.us)
    assert opened(mail).covered == content


def test_openssl_verifies_what_we_sign(signer: OpenSsl) -> None:
    ring = keyring(identity(THEM, key=signer.key), identity(US), sign=True)
    partner = ring.partner(US)
    assert partner is not None
    signed = HEADER + protect(CONTENT, ring, [partner], NOW).entity
    shown = signer(
        "cms",
        "-verify",
        "-CAfile",
        signer.them,
        "-partial_chain",
        "-purpose",
        "any",
        "-no_check_time",
        given=signed,
    )
    assert shown == CONTENT


def test_openssl_decrypts_and_verifies_what_we_sign_and_encrypt(openssl: OpenSsl) -> None:
    """Its older command, which wants a certificate for mail from an authority it knows."""
    issued = identity(THEM, "authority.example", usage=ExtendedKeyUsageOID.EMAIL_PROTECTION)
    authority, _ = identity("authority.example", authority=True).write(openssl.folder)
    ring = keyring(issued, identity(US), sign=True, encrypt=True)
    partner = ring.partner(US)
    assert partner is not None
    mail = HEADER + protect(CONTENT, ring, [partner], NOW).entity
    assert b"SVNB" not in mail
    signed = openssl("smime", "-decrypt", "-recip", openssl.us, "-inkey", openssl.us_key, given=mail)
    assert openssl("smime", "-verify", "-CAfile", authority, "-no_check_time", given=signed) == CONTENT
