"""The S/MIME options of a connection: files are read, and what cannot work is said at once, by option."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support.identities import identity

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.hooks.smime import LARGEST_FILE, smime_from
from airflow_pop3_gateway.partners import Partner

US, THEM = identity("us@us.example"), identity("them@partner.example")


@pytest.fixture
def ours(tmp_path: Path) -> dict[str, str]:
    certificate, key = US.write(tmp_path)
    return {"smime_certificate": certificate, "smime_key": key}


@pytest.fixture
def theirs(tmp_path: Path) -> str:
    return THEM.write(tmp_path)[0]


def test_without_options_there_is_no_s_mime() -> None:
    assert smime_from({"retention": "keep"}) is None


def test_every_option_is_taken_out_and_read(ours: dict[str, str], theirs: str) -> None:
    switches = {field.name: True for field in dataclasses.fields(Partner) if field.type == "bool"}
    partners = {THEM.address: {"certificate": theirs, **switches}, "*@partner.example": {}}
    options: dict[str, Any] = {**ours, "smime_partners": partners, "retention": "keep"}
    smime = smime_from(options)
    assert options == {"retention": "keep"}
    assert smime is not None and (smime.certificate, smime.key) == (US.pem, US.key_pem())
    assert smime.partners == (Partner(THEM.address, THEM.pem, **switches), Partner("*@partner.example"))


def test_certificate_and_key_may_be_one_file(tmp_path: Path) -> None:
    path = tmp_path / "both.pem"
    path.write_bytes(US.key_pem("secret") + US.pem)
    assert smime_from({"smime_certificate": str(path), "smime_passphrase": "secret"}) is not None


def test_partners_need_no_key_of_ours(theirs: str) -> None:
    """To verify what they sign."""
    entry = {"certificate": theirs, "require_signed": True}
    assert smime_from({"smime_partners": {THEM.address: entry}}) is not None


@pytest.mark.parametrize(
    ("options", "field", "words"),
    [
        ({"smime_certificate": "/nowhere.pem"}, "smime_certificate", "/nowhere.pem"),
        ({"smime_key": "/nowhere.key"}, "smime_key", "/nowhere.key"),
        ({"smime_partners": {"partner": {}}}, "smime_partners", "no address"),
        ({"smime_partners": {"p@partner.example": "p.pem"}}, "smime_partners", "JSON object"),
        ({"smime_partners": {"p@partner.example": {"sing": True}}}, "smime_partners", "'sing'"),
        ({"smime_partners": {"p@partner.example": {"sign": "yes"}}}, "smime_partners", "true or false"),
        ({"smime_partners": {"p@partner.example": {"certificate": True}}}, "smime_partners", "a path"),
        ({"smime_partners": {"p@partner.example": {"encrypt": True}}}, "smime_partners", "encrypt needs"),
        ({"smime_partners": {"p@partner.example": {"certificate": "/x\0"}}}, "smime_partners", "be read"),
    ],
)
def test_what_cannot_work_is_said(options: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        smime_from(dict(options))
    assert caught.value.facts["field"] == field
    assert words in str(caught.value)


def test_a_file_that_is_too_large_is_no_certificate(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(b"\0" * (LARGEST_FILE + 1))
    with pytest.raises(ConfigurationError, match="too large"):
        smime_from({"smime_certificate": str(path)})
