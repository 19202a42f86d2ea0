"""Mails of a mail server's own tests (Apache James), signed and encrypted by other agents."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.identities import NOW, identity, keyring

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import MailRefused
from airflow_pop3_gateway.smime import Opened, open_mail

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "corpora" / "apache-james-project"


def opened(name: str) -> Opened | None:
    if not FOLDER.exists():
        pytest.skip("no collections of mail at ../shared/corpora")
    (path,) = FOLDER.glob(f"*{name}.eml")
    return open_mail(path.read_bytes(), keyring(identity("us@us.example")), Limits(), NOW)


@pytest.mark.parametrize(
    "name",
    [
        "set_mail_with_signature",
        "mail-with-signature-and-multi-certs",
        "signature_and_content_type_xpkcs7mime",
    ],
)
def test_signatures_of_other_agents_fit(name: str) -> None:
    found = opened(name)
    assert found is not None and found.protection.layers == ("signed",)
    assert [signer.why for signer in found.protection.signers] == ["no-partner"]


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("mail_with_bad_signature", "integrity-check-failed"),
        ("mail_with_no_signature", "smime-broken"),
        ("eml_crypted", "no-key"),
        ("crypted_with_attachment", "no-key"),
    ],
)
def test_what_is_called_bad_there_is_refused_here(name: str, code: str) -> None:
    with pytest.raises(MailRefused) as caught:
        opened(name)
    assert caught.value.code == code
