"""Message disposition notifications (RFC 8098): read those that come in, build those we owe.

Strategy: reading forgives the dirt real agents send; building is strict and deterministic: times and identifiers are
arguments, the same arguments give the same octets.

Invariant: reading never raises; what is built has CRLF and lines below 998 octets whatever the original mail contained,
and is 7-bit ASCII unless an address of those who asked is not (RFC 6533).
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from email.header import Header
from email.utils import format_datetime
from typing import Literal

from airflow_pop3_gateway.acks.fields import (
    ReportPart,
    address_of,
    all_fields,
    groups_of,
    returned_message_id,
)
from airflow_pop3_gateway.mail.headers import Head, message_id_of
from airflow_pop3_gateway.mail.words import printable, without_comments
from airflow_pop3_gateway.records import Outcome, Report, ReportedRecipient

CONTENT_TYPES = ("message/disposition-notification", "message/global-disposition-notification")

_DISPOSITION = re.compile(r"(?:[^;]*;)?\s*([a-z]+)(?=[\s/;,(]|\Z)\s*(?:/(.*))?", re.DOTALL)
_POSITIVE = ("displayed", "processed", "dispatched")
_NEGATIVE = ("failed", "deleted")
_RETURNED_OCTETS = 1 << 16
_LONGEST = 500  # octets of one value of the original that we repeat in a line of ours
_LONGEST_ADDRESS = 320  # octets (RFC 5321 §4.5.3.1); escaped, they become three times as many
_DISPOSITIONS: Mapping[Outcome, tuple[str, str, str]] = {
    "processed": ("processed", "", "was received and processed"),
    "warning": ("processed", "warning", "was received and processed, with a warning"),
    "displayed": (
        "displayed",
        "",
        "was displayed to a person; this is no guarantee that it was read or understood",
    ),
    "dispatched": ("dispatched", "", "was received and passed on"),
    "failed": ("processed", "error", "was received, but could not be processed"),
    "deleted": ("deleted", "", "was deleted without being processed"),
    "unsupported": ("failed", "failure", "was received, but asks for a receipt that cannot be given"),
}
"""Outcome → disposition type, modifier, and the words for people. ``failed`` as a type is kept for receipts that cannot
be made (RFC 8098 §2.2, RFC 3335 §5.3.1); a mail that could not be processed is ``processed/error``."""


# -- reading ----------------------------------------------------------------------------------------------------


def parse(parts: Sequence[ReportPart]) -> Report | None:
    """Read an MDN. :returns: ``None`` when no part has a disposition notification with at least one field."""
    groups = [group for part in parts if part.content_type in CONTENT_TYPES for group in groups_of(part.data)]
    if not groups:
        return None
    # Some agents put empty lines between the fields, which makes one group of each.
    fields = Head([item for group in groups for item in group.fields])
    disposition = fields.text("disposition")
    match = _DISPOSITION.match(without_comments(disposition).lower())
    kind, modifiers = (match[1], match[2] or "") if match else ("", "")
    recipient = ReportedRecipient(
        final_recipient=address_of(fields, "final-recipient"),
        original_recipient=address_of(fields, "original-recipient"),
        action=kind,
    )
    return Report(
        kind="mdn",
        verdict=_verdict(kind, modifiers),
        original_message_id=message_id_of(fields.get("original-message-id") or b"")
        or returned_message_id(parts),
        envelope_id=fields.text("original-envelope-id"),
        reporting=fields.text("reporting-ua"),
        disposition=disposition,
        recipients=(recipient,),
        fields=all_fields(fields),
    )


def _verdict(kind: str, modifiers: str) -> Literal["positive", "negative", "undefined"]:
    if kind in _NEGATIVE or "error" in modifiers or "failure" in modifiers:
        return "negative"
    return "positive" if kind in _POSITIVE else "undefined"


# -- building ---------------------------------------------------------------------------------------------------


def unsigned(report: bytes) -> bytes:
    """Leaves the report as it is."""
    return report


def build(
    original: Head,
    *,
    from_: str,
    to: Sequence[str],
    final_recipient: str,
    message_id: str,
    date: datetime,
    reporting_ua: str,
    outcome: Outcome = "processed",
    explanation: str = "",
    by_a_person: bool = False,
    fields: Sequence[tuple[str, str]] = (),
    sign: Callable[[bytes], bytes] = unsigned,
) -> bytes:
    """A complete MDN.

    :param original: header of the mail that asked.
    :param to: the notification addresses; :param final_recipient: the address the mail was received for.
    :param message_id: of the MDN, ``<…>``; :param date: of the MDN, with a time zone.
    :param reporting_ua: ``host; product`` (RFC 8098 §3.2.1).
    :param explanation: for the part for people, and the Error, Warning or Failure field where the outcome has one.
    :param by_a_person: the disposition mode: a person decided (``ack_by_user``), or the gateway by itself.
    :param fields: further fields of the notification, as Received-Content-MIC (RFC 3335 §5).
    :param sign: given the multipart/report as a MIME entity with CRLF, returns the entity that is sent in its place.
    :returns: the message with CRLF, to be sent with a null reverse-path; 8-bit only where an address of ``to`` is
        (RFC 6533).
    """
    entity = sign(
        _report(
            original,
            to,
            final_recipient,
            f"=_mdn_{hashlib.sha256(message_id.encode()).hexdigest()[:32]}",
            reporting_ua,
            outcome,
            explanation,
            by_a_person,
            fields,
        )
    )
    original_id = _original_id(original)
    lines = [
        f"From: {_ascii(_address(from_)) if ''.join(to).isascii() else _address(from_)}",
        "To: " + ",\r\n ".join(map(_address, to)),
        _folded("Subject", f"Receipt: {original.subject}" if original.subject else "Receipt"),
        f"Date: {format_datetime(date)}",
        f"Message-ID: {_ascii(message_id)}",
        *([f"In-Reply-To: {original_id}", f"References: {original_id}"] if original_id else []),
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        "",
    ]
    return "\r\n".join(lines).encode() + entity


def _report(
    original: Head,
    to: Sequence[str],
    final_recipient: str,
    boundary: str,
    reporting_ua: str,
    outcome: Outcome,
    explanation: str,
    by_a_person: bool,
    further: Sequence[tuple[str, str]],
) -> bytes:
    """The multipart/report as a MIME entity; 7-bit unless an address cannot be written so."""
    mode = "manual-action/MDN-sent-manually" if by_a_person else "automatic-action/MDN-sent-automatically"
    disposition, modifier, words = _DISPOSITIONS[outcome]
    international = not "".join(to).isascii()
    eight_bit = ["Content-Transfer-Encoding: 8bit"] if international else []
    original_id = _original_id(original)
    text = [f"Your message to {_address(final_recipient)} {words}.", ""]
    text += [f"Subject: {original.subject[:_LONGEST]}", f"Date: {original.text('date')}"]
    text += [f"Message-ID: {original_id}"] if original_id else []
    text += ["", *map(printable, explanation.splitlines())] if explanation else []
    lines = [
        "Content-Type: multipart/report; report-type=disposition-notification;",
        f' boundary="{boundary}"',
        *eight_bit,
        "",
        f"--{boundary}",
        *_text_part(text),
        f"--{boundary}",
        f"Content-Type: {CONTENT_TYPES[international]}",
        *eight_bit,
        "",
        f"Reporting-UA: {_ascii(reporting_ua)}",
        *_original_recipient(original, international),
        f"Final-Recipient: {_typed(final_recipient, international)}",
        *([f"Original-Message-ID: {original_id}"] if original_id else []),
        f"Disposition: {mode}; {disposition}{'/' + modifier if modifier else ''}",
        *([_folded(modifier.capitalize(), explanation)] if modifier and explanation else []),
        *(_folded(name, value) for name, value in further),
        "",
        f"--{boundary}",
        f"Content-Type: {'message/global-headers' if international else 'text/rfc822-headers'}",
        *eight_bit,
        "",
        *_returned(original, international),
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode("utf-8" if international else "ascii")


def _original_id(original: Head) -> str:
    """The Message-ID we answer, ``""`` where it cannot stand in a line of ours."""
    ident = original.message_id
    return ident if ident.isascii() and len(ident) <= _LONGEST else ""


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode() if text.isprintable() else "?"


def _address(address: str) -> str:
    """An address as it may stand in a header."""
    bare = "".join(address.split()).encode("utf-8", "replace")[:_LONGEST_ADDRESS].decode("utf-8", "ignore")
    return bare if bare.isprintable() else _ascii(bare)


def _typed(address: str, international: bool) -> str:
    """An address with its type; escaped where UTF-8 may not stand (RFC 6533 §3)."""
    bare = _address(address)
    if bare.isascii():
        return f"rfc822; {bare}"
    if not international:
        bare = re.sub(r"[^!-*,-<>-\[\]-~]", lambda found: f"\\x{{{ord(found[0]):X}}}", bare)
    return f"utf-8; {bare}"


def _folded(name: str, text: str) -> str:
    """An unstructured field, encoded where it is not ASCII (RFC 2047) and folded."""
    clean = " ".join(printable(text).split())[:_LONGEST]
    charset = "us-ascii" if clean.isascii() else "utf-8"
    return f"{name}: " + Header(clean, charset, header_name=name, maxlinelen=76).encode(linesep="\r\n")


def _text_part(lines: Sequence[str]) -> list[str]:
    """The part for people: as it is where it is short ASCII lines, else quoted-printable."""
    if all(line.isascii() and len(line) < 998 for line in lines):
        return ["Content-Type: text/plain; charset=us-ascii", "", *lines]
    quoted = binascii.b2a_qp("\r\n".join(lines).encode("utf-8", "replace"), istext=True).decode("ascii")
    header = ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", ""]
    return [*header, *quoted.split("\r\n")]


def _original_recipient(original: Head, international: bool) -> list[str]:
    given = original.text("original-recipient")
    if not given or len(given.encode("utf-8", "replace")) > _LONGEST:
        return []
    return [f"Original-Recipient: {given if international and given.isprintable() else _ascii(given)}"]


def _returned(original: Head, international: bool) -> list[str]:
    """The original header block; lines that no SMTP server takes are left out."""
    lines: list[str] = []
    octets = 0
    for name, value in original.fields:
        raw = name.title() + b": " + value.rstrip()
        if international:
            field = raw.decode("utf-8", "replace")
        else:
            field = raw.decode("latin-1").encode("ascii", "replace").decode()
        folded = [line.replace("\r", " ") for line in re.split(r"\r?\n", field) if line.strip()]
        octets += len(raw)
        if octets > _RETURNED_OCTETS:
            break
        if all(len(line.encode()) < 998 and "\0" not in line for line in folded):
            lines += folded
    return lines or ["X-Original-Header: none"]
