"""The sample mails are what their names say, judged by the standard library and by the gateway's own reading."""

from __future__ import annotations

import email
import hashlib
import re
from email.parser import BytesHeaderParser

import pytest

from airflow_pop3_gateway.acks.asking import deny_reason, requested
from airflow_pop3_gateway.mail.extract import Policy, Understanding, understand
from airflow_pop3_gateway.testing import letters

LETTERS = letters.one_of_every_kind()

# builder: (TYPE, FILE_NAME, rule); RECOVER is what the Gateway's table says of all it does not know
KINDS = {
    "file_attached": ("XFER", "INVOIC.edi", "multipart-one-file"),
    "file_with_long_message": ("XFER", "INVOIC-2.edi", "multipart-one-file"),
    "message": ("MSG", "MAIL", "text"),
    "alternative": ("MSG", "MAIL", "multipart-alternative"),
    "receipt": ("EERP", "MAIL", "multipart-report"),
    "bounce": ("EERP", "MAIL", "multipart-report"),
    "unknown_format": ("XFER", "RECOVER", "unknown-format"),
    "several_files": ("XFER", "RECOVER", "multipart-too-many-files"),
    "duplicate": ("XFER", "INVOIC.edi", "multipart-one-file"),
    "no_message_id": ("MSG", "MAIL", "text"),
    "subject_parameters": ("XFER", "INVOIC.edi", "multipart-one-file"),
    "asks_for_receipt": ("XFER", "ORDERS.edi", "multipart-one-file"),
    "list_mail_asks": ("MSG", "MAIL", "text"),
    "auto_reply": ("MSG", "MAIL", "text"),
    "signed": ("XFER", "INVOIC.edi", "multipart-one-file"),
    "inline_images": ("MSG", "MAIL", "multipart-without-file"),
    "text_as_attachment": ("XFER", "values.txt", "multipart-one-file"),
    "without_attachment": ("MSG", "MAIL", "multipart-without-file"),
    "name_in_rfc2231": ("XFER", "Zürich Rechnung.edi", "multipart-one-file"),
    "name_in_rfc2047": ("XFER", "Zürich Rechnung.edi", "multipart-one-file"),
    "unknown_charset": ("MSG", "MAIL", "text"),
    "nested": ("XFER", "RECOVER", "limit"),
}


class Forgotten:
    """A file nobody reads."""

    def write(self, data: bytes) -> None: ...

    def commit(self) -> str:
        return "nowhere"

    def discard(self) -> None: ...


def understood(mail: bytes) -> Understanding:
    return understand([mail], lambda head: Policy(), lambda name, content_type: Forgotten())


@pytest.mark.parametrize("name", LETTERS)
def test_every_line_ends_in_crlf(name: str) -> None:
    assert LETTERS[name].endswith(b"\r\n")
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", LETTERS[name])


@pytest.mark.parametrize("name", sorted(LETTERS.keys() - {"nested"}))
def test_the_standard_library_finds_no_defect(name: str) -> None:
    for part in email.message_from_bytes(LETTERS[name]).walk():
        assert part.defects == []


@pytest.mark.parametrize("name", KINDS)
def test_is_classified_as_its_name_says(name: str) -> None:
    result = understood(LETTERS[name])

    assert (result.type, result.file_name, result.rule) == KINDS[name]


def test_a_mail_in_a_mail_and_a_file_without_a_name_are_one_file_each() -> None:
    for name in ("forwarded", "nameless_attachment", "path_as_name"):
        result = understood(LETTERS[name])

        assert (result.type, result.rule) == ("XFER", "multipart-one-file")
        assert result.file_name not in ("RECOVER", "")
        assert "/" not in result.file_name


def test_letters_never_change() -> None:
    """A second call, and a call in another release, gives the same octets: users compare digests."""
    assert letters.one_of_every_kind() == LETTERS
    everything = hashlib.sha256(b"".join(LETTERS.values())).hexdigest()

    assert everything == "847f626cb2ce840be1e34049e2d7d3797b1059ca515a511310470b370ddf0cfa"


def test_only_the_duplicate_shares_its_message_id() -> None:
    identities = [BytesHeaderParser().parsebytes(mail)["Message-ID"] for mail in LETTERS.values()]
    shared = {identity for identity in identities if identities.count(identity) > 1}

    assert shared == {"<file-attached-1@supplier.example>"}
    assert identities.count(None) == 1


def test_of_the_mails_that_ask_only_one_may_have_a_receipt() -> None:
    heads = {name: understood(mail).head for name, mail in LETTERS.items()}
    asking = {name: deny_reason(head) for name, head in heads.items() if requested(head)}

    assert asking == {
        "asks_for_receipt": None,
        "list_mail_asks": "list-mail",
        "auto_reply": "auto-submitted",
    }


def test_the_long_message_is_longer_than_a_user_message_may_be() -> None:
    part = email.message_from_bytes(LETTERS["file_with_long_message"]).get_payload(0)

    assert len(part.get_payload(decode=True)) > 254  # type: ignore[union-attr,arg-type]


def test_numbers_make_mails_of_their_own() -> None:
    first, second = letters.file_attached(1), letters.file_attached(2)

    assert email.message_from_bytes(first)["Message-ID"] != email.message_from_bytes(second)["Message-ID"]
    assert first.partition(b"\r\n\r\n")[2] == second.partition(b"\r\n\r\n")[2]


def test_the_heavy_ones_weigh_what_they_say() -> None:
    assert 31_000 < len(letters.nested()) < 33_000
    assert max(map(len, letters.long_line().splitlines())) == 10_000_000

    attached = email.message_from_bytes(letters.large_file(100_000)).get_payload(1)
    assert len(attached.get_payload(decode=True)) == 100_000  # type: ignore[union-attr,arg-type]
