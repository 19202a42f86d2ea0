"""Agreement with independent labels on real mail; each difference is named with why we differ.

The collections lie beside the checkout (``../shared/corpora``) and are no part of it.
"""

from __future__ import annotations

import email
import email.header
import email.message
import email.utils
import hashlib
import json
from collections.abc import Iterator
from datetime import timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_pop3_gateway.acks import parse_report
from airflow_pop3_gateway.acks.correlate import candidates, rows_of
from airflow_pop3_gateway.mail.extract import Policy, Understanding, understand
from airflow_pop3_gateway.records import Report

CORPORA = Path(__file__).resolve().parents[3] / "shared" / "corpora"

pytestmark = pytest.mark.skipif(
    not (CORPORA / "LABELS.jsonl").exists(), reason=f"the mail collections are not at {CORPORA}"
)

BROKEN_HEADER = "stalwartlabs-mail-parser/eml_malformed_019.eml"
"""Begins with an empty-named field line; the label stops reading there, the header goes on."""
CONTENT_TYPES = {
    BROKEN_HEADER,
    "jhillyerd-enmime/parts_ctype-invalid-characters.raw.eml",  # text/plain> means text/plain
    "stalwartlabs-mail-parser/eml_malformed_017.eml",  # the semicolon before boundary= is missing
}
LOST_BY_BOTH_PARSERS = {
    "SpamScope-mail-parser/mails_mail_malformed_1.eml",  # an inner multipart uses the boundary of the outer
    "stalwartlabs-mail-parser/eml_malformed_017.eml",
}
RECIPIENTS = {
    "mikel-mail/fixtures_emails_multipart_report_emails_multipart_report_multiple_status.eml",  # missed by the label
    "sisimai-set-of-emails/bsd_lhost-bigfoot-02.eml",  # angle brackets
    "sisimai-set-of-emails/err_make-test-11.eml",  # angle brackets
    "sisimai-set-of-emails/bsd_lhost-sendmail-25.eml",  # encoded words around an internationalised address
}


RAW_OCTETS_IN_NAMES = {  # which the standard library gives up on; read as UTF-8, or as the encoded word says
    "SpamScope-mail-parser/mails_mail_test_1.eml",
    "jhillyerd-enmime/mail_mime-bad-8bit-filename.raw.eml",
    "mikel-mail/fixtures_emails_attachment_emails_attachment_nonascii_filename.eml",
    "stalwartlabs-mail-parser/eml_legacy_016.eml",
    "stalwartlabs-mail-parser/eml_legacy_023.eml",
    "stalwartlabs-mail-parser/eml_legacy_026.eml",
}
SPACE_BEFORE_COLON = {"mikel-mail/fixtures_emails_rfc2822_example13.eml"}
"""An example of RFC 5322 for what once was allowed; for the standard library its header is no header."""
TEXT_OF_TWO_OCTETS = {"stalwartlabs-mail-parser/eml_thirdparty_005.eml"}
"""UTF-16 without a transfer encoding: a line end is half a character there."""

ENDS_IN_THE_MIDDLE = {  # of a delimiter line or a header block: the line end behind the mail is the one they lack
    "jhillyerd-enmime/mail_header-only.raw.eml",
    "SpamScope-mail-parser/mails_mail_test_1.eml",
    "SpamScope-mail-parser/mails_mail_test_11.eml",
    "apache-james-project/store_src_test_resources_eml_filenameAndName.eml",
    "apache-james-project/store_src_test_resources_eml_filenameOnly.eml",
    "stalwartlabs-mail-parser/eml_malformed_013.eml",
    "stalwartlabs-mail-parser/eml_malformed_014.eml",
}

RETURNS_ANOTHER = {
    "sisimai-set-of-emails/bsd_lhost-x5-01.eml",  # a bounce around a bounce; what we sent is in the inner one
}


class Nowhere:
    """Files that nobody keeps."""

    def __init__(self, name: str, content_type: str) -> None:
        self.name = name

    def write(self, data: bytes) -> None:
        pass

    def commit(self) -> str:
        return self.name

    def discard(self) -> None:
        pass


class Pair:
    """A label and what we say."""

    def __init__(self, label: dict[str, Any]) -> None:
        self.label = label
        self.file: str = label["file"]
        self.mail = (CORPORA / self.file).read_bytes()
        self.ours = self._understand(Policy(multiple_attachments="extract"))
        self.strict = self._understand(Policy())
        self.whole_text = self._understand(Policy(user_message_limit=1 << 20)).user_message
        self.report: Report | None = parse_report(self.ours.captured)

    def _understand(self, policy: Policy) -> Understanding:
        return understand([self.mail], lambda head: policy, Nowhere)


@pytest.fixture(scope="module")
def pairs() -> list[Pair]:
    lines = (CORPORA / "LABELS.jsonl").read_text().splitlines()
    return [Pair(label) for label in map(json.loads, lines) if label["labelled"]]


def differing(pairs: list[Pair], same: Any) -> set[str]:
    return {pair.file for pair in pairs if not same(pair)}


def test_content_types_agree(pairs: list[Pair]) -> None:
    assert (
        differing(pairs, lambda pair: pair.ours.head.content_type.value == pair.label["content_type"])
        == CONTENT_TYPES
    )


def test_message_ids_agree(pairs: list[Pair]) -> None:
    different = differing(
        pairs, lambda pair: pair.ours.head.message_id == (pair.label["message_id"] or "").strip()
    )
    assert different == {BROKEN_HEADER}


def test_every_labelled_attachment_is_found_with_the_same_octets(pairs: list[Pair]) -> None:
    def found(pair: Pair) -> bool:
        digests = [leaf.sha256 for leaf in pair.ours.attachments]
        return all(attachment["sha256"] in digests for attachment in pair.label["attachments"])

    assert differing(pairs, found) == set()


def test_attachments_agree_where_two_parsers_agree(pairs: list[Pair]) -> None:
    agreed = [pair for pair in pairs if pair.label["attachments_agreed"]]

    def same(pair: Pair) -> bool:
        labelled = sorted(attachment["sha256"] for attachment in pair.label["attachments"])
        return sorted(leaf.sha256 for leaf in pair.ours.attachments) == labelled

    assert len(agreed) == 427
    assert differing(agreed, same) == LOST_BY_BOTH_PARSERS


def test_attachments_beyond_the_labels_are_unnamed_files_and_enclosed_mails(pairs: list[Pair]) -> None:
    def more(pair: Pair) -> Iterator[str]:
        labelled = [attachment["sha256"] for attachment in pair.label["attachments"]]
        for leaf in pair.ours.attachments:
            if leaf.sha256 in labelled:
                labelled.remove(leaf.sha256)
            elif leaf.content_type != "message/rfc822" and (leaf.name or leaf.disposition == "attachment"):
                yield leaf.path

    unexpected = {pair.file for pair in pairs if list(more(pair))}
    assert unexpected == LOST_BY_BOTH_PARSERS
    same_number = sum(len(pair.ours.attachments) == len(pair.label["attachments"]) for pair in pairs)
    assert same_number >= 686


def test_reports_agree_in_kind(pairs: list[Pair]) -> None:
    def same(pair: Pair) -> bool:
        labelled = pair.label["report"]
        return (pair.report.kind if pair.report else None) == (labelled["kind"] if labelled else None)

    assert differing(pairs, same) == set()
    assert all(pair.ours.type == "EERP" for pair in pairs if pair.label["report"])


def test_reports_agree_in_recipients_actions_and_states(pairs: list[Pair]) -> None:
    def same(pair: Pair) -> bool:
        if not (pair.report and pair.label["report"]):
            return True
        labelled = [
            (
                one.get("Action", "").lower(),
                one.get("Status", ""),
                one.get("Final-Recipient", "").partition(";")[2].strip(),
            )
            for one in pair.label["report"]["recipients"]
        ]
        return [(one.action, one.status, one.final_recipient) for one in pair.report.recipients] == labelled

    assert differing(pairs, same) == RECIPIENTS


def test_reports_find_the_mail_they_return(pairs: list[Pair]) -> None:
    """As if we had sent it; a second reader says what is returned."""

    def returned(pair: Pair) -> set[str]:
        whole = email.message_from_bytes(pair.mail)
        parts = [part for part in whole.walk() if part.get_content_type() == "message/rfc822"]
        idents = [str(mail["message-id"] or "") for part in parts for mail in list(part.walk())[1:2]]
        return {ident for ident in idents if len(ident) > 2 and " " not in ident}

    reports = [pair for pair in pairs if pair.report and returned(pair)]
    assert len(reports) > 50

    def found(pair: Pair) -> bool:
        assert pair.report is not None
        named = candidates(pair.report, pair.ours.head, pair.ours.captured)
        return returned(pair) <= {one.ident for one in named}

    assert differing(reports, found) == RETURNS_ANOTHER


def test_reports_find_their_recipients(pairs: list[Pair]) -> None:
    named = 0
    for pair in pairs:
        if pair.report is None:
            continue
        finals = {one.final_recipient for one in pair.report.recipients if "@" in one.final_recipient}
        for final in finals:
            rows = rows_of(pair.report, pair.ours.head, sorted({*finals, "other@elsewhere.example"}))
            assert final in {row.recipient for row in rows}, pair.file
            named += 1
    assert named > 150


def test_the_table_of_the_gateway_holds_on_real_mail(pairs: list[Pair]) -> None:
    for pair in pairs:
        ours, kind = pair.strict, pair.strict.head.content_type.value
        attached = [leaf for leaf in ours.leaves if leaf.why == "attachment"]
        if kind == "multipart/report":
            assert ours.type == "EERP", pair.file
        elif ours.type == "EERP":
            assert ours.rule == "multipart-notification", pair.file
        elif kind.startswith("multipart/") and ours.rejected is None and len(attached) == 1:
            assert (ours.type, ours.file_name) == ("XFER", ours.files[0].name), pair.file
        elif (kind.startswith("text/") and not attached) or (
            kind == "multipart/alternative" and not attached and ours.rejected is None
        ):
            assert (ours.type, ours.file_name) == ("MSG", "MAIL"), pair.file
        elif not kind.startswith(("multipart/", "text/")):
            assert (ours.type, ours.file_name) == ("XFER", "RECOVER"), pair.file


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_a_mail_is_the_same_with_any_line_ends(pairs: list[Pair], line_end: bytes) -> None:
    def told(ours: Understanding) -> tuple[object, ...]:
        leaves = [(leaf.path, leaf.content_type, leaf.name, leaf.why) for leaf in ours.leaves]
        head = ours.head
        fields = (head.subject, head.from_, head.to, head.date, head.message_id)
        return ours.type, ours.rule, ours.user_message, leaves, fields, parse_report(ours.captured)

    def same(pair: Pair) -> bool:
        mail = line_end.join(pair.mail.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"))
        return told(understand([mail], lambda head: Policy(), Nowhere)) == told(pair.strict)

    assert differing(pairs, same) <= TEXT_OF_TWO_OCTETS


def test_a_mail_within_a_mail_is_that_mail_octet_by_octet(pairs: list[Pair]) -> None:
    def same(pair: Pair) -> bool:
        end = b"\r\n" if b"\r\n" in pair.mail else b"\n"
        lines = (b"Content-Type: multipart/mixed; boundary=around", b"", b"--around")
        mail = end.join((*lines, b"Content-Type: message/rfc822", b"", pair.mail, b"--around--", b""))
        ours = understand([mail], lambda head: Policy(), Nowhere)
        enclosed = next(leaf for leaf in ours.leaves if leaf.content_type == "message/rfc822")
        return enclosed.sha256 == hashlib.sha256(pair.mail).hexdigest()

    assert differing(pairs, same) == ENDS_IN_THE_MIDDLE


# -- what the labels leave out, against the standard library ------------------------------------------------------


def names(message: email.message.Message) -> Iterator[str]:
    """File names at any depth, decoded."""
    for part in message.walk():
        if name := part.get_filename():
            try:
                yield str(email.header.make_header(email.header.decode_header(name)))
            except (LookupError, UnicodeError):
                yield str(name)


def test_file_names_are_those_of_the_standard_library(pairs: list[Pair]) -> None:
    def same(pair: Pair) -> bool:
        theirs = names(email.message_from_bytes(pair.mail))
        ours = (leaf.name for leaf in pair.ours.leaves if leaf.name)
        return sorted(" ".join(name.split()) for name in theirs) == sorted(
            " ".join(name.split()) for name in ours
        )

    assert differing(pairs, same) == LOST_BY_BOTH_PARSERS | RAW_OCTETS_IN_NAMES


def test_dates_are_those_of_the_standard_library(pairs: list[Pair]) -> None:
    def same(pair: Pair) -> bool:
        try:
            date = email.utils.parsedate_to_datetime(str(email.message_from_bytes(pair.mail)["date"]))
        except (TypeError, ValueError):
            return pair.ours.head.date is None
        utc = date.astimezone(timezone.utc) if date.tzinfo else date
        return pair.ours.head.date == utc.strftime("%Y-%m-%dT%H:%M:%SZ")

    assert differing(pairs, same) == set()


def test_texts_are_those_of_the_standard_library(pairs: list[Pair]) -> None:
    compared = 0

    def same(pair: Pair) -> bool:
        nonlocal compared
        message = email.message_from_bytes(pair.mail)
        octets, ours = message.get_payload(decode=True), pair.whole_text
        if message.get_content_maintype() != "text" or not isinstance(octets, bytes) or ours is None:
            return True
        try:
            text = octets.decode(message.get_content_charset() or "utf-8")
        except (LookupError, UnicodeError):
            return True
        compared += 1
        return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n") == ours

    assert differing(pairs, same) == SPACE_BEFORE_COLON
    assert compared >= 200


def test_no_octet_of_a_leaf_is_invented(pairs: list[Pair]) -> None:
    for pair in pairs:
        outermost = [leaf for leaf in pair.ours.leaves if leaf.why != "within-enclosed-mail"]
        assert sum(leaf.octets for leaf in outermost) <= pair.ours.octets == len(pair.mail), pair.file
