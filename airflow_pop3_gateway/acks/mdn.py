"""Message disposition notifications (RFC 8098): read those that come in, build those we owe, say when none may go.

Strategy: reading forgives the dirt real agents send; building is strict and deterministic: times and identifiers are
arguments, the same arguments give the same octets.

Invariant: reading never raises; what is built is 7-bit ASCII with CRLF and lines below 998 octets, whatever the
original mail contained; an MDN is never asked for by what could be a loop (:func:`deny_reason`).
"""

from __future__ import annotations

import binascii
import hashlib
import re
from collections.abc import Sequence
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
    value_of,
)
from airflow_pop3_gateway.mail.headers import Head, message_id_of
from airflow_pop3_gateway.mail.words import addresses_of, printable
from airflow_pop3_gateway.records import Report, ReportedRecipient

CONTENT_TYPES = ("message/disposition-notification", "message/global-disposition-notification")
DispositionType = Literal["displayed", "dispatched", "processed", "deleted", "denied", "failed"]

NEEDS_A_PERSON = frozenset({"no-return-path", "return-path-differs", "several-addresses", "unknown-options"})
"""Reasons of :func:`deny_reason` that a person's consent overrides (RFC 8098 §2.1); the others mean never."""

_DISPOSITION = re.compile(r"(?:.*;)?\s*([a-z]+)\s*(?:/(.*))?\Z", re.DOTALL)
_POSITIVE = ("displayed", "processed", "dispatched")
_NEGATIVE = ("failed", "deleted")
_RETURNED_OCTETS = 1 << 16
_LONGEST = 500  # characters of one value of the original that we repeat in a line of ours
_WORDS = {
    ("processed", ""): "was received and processed",
    ("processed", "warning"): "was received and processed, with a warning",
    ("processed", "error"): "was received, but could not be processed",
    ("displayed", ""): "was displayed to a person; this is no guarantee that it was read or understood",
    ("failed", ""): "was received, but could not be processed",
    ("deleted", ""): "was deleted without being processed",
}


# -- reading ----------------------------------------------------------------------------------------------------


def parse(parts: Sequence[ReportPart]) -> Report | None:
    """Read an MDN. :returns: ``None`` when no part has a disposition notification with at least one field."""
    groups = [group for part in parts if part.content_type in CONTENT_TYPES for group in groups_of(part.data)]
    if not groups:
        return None
    # Some agents put empty lines between the fields, which makes one group of each.
    fields = Head([item for group in groups for item in group.fields])
    disposition = value_of(fields, "disposition")
    match = _DISPOSITION.match(disposition.lower())
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
        envelope_id=value_of(fields, "original-envelope-id"),
        reporting=value_of(fields, "reporting-ua"),
        disposition=disposition,
        recipients=(recipient,),
        fields=all_fields(fields),
    )


def _verdict(kind: str, modifiers: str) -> Literal["positive", "negative", "undefined"]:
    if kind in _NEGATIVE or "error" in modifiers or "failure" in modifiers:
        return "negative"
    return "positive" if kind in _POSITIVE else "undefined"


# -- who asks, and who gets none --------------------------------------------------------------------------------


def requested(head: Head) -> tuple[str, ...]:
    """The addresses that ask for an MDN (RFC 8098 §2.1; Gateway: *ack_to*), each once, in order."""
    found = head.addresses("disposition-notification-to")
    return tuple({address.lower(): address for address in reversed(found)}.values())[::-1]


def deny_reason(head: Head, own_addresses: Sequence[str] = ()) -> str | None:
    """Why no MDN may be sent automatically for this mail, or ``None`` (RFC 8098 §2.1, RFC 3834).

    Where the server kept no Return-Path, the author's address stands for it: a maildrop that was filled by hand or
    by a local program has none, and an MDN to the author cannot be made to hit a third party.

    :param own_addresses: ours; a receipt to ourselves is the beginning of a loop.
    :returns: a code of ``docs/reference/reasons.md``; those in :data:`NEEDS_A_PERSON` a person may override.
    """
    ack_to = [address.lower() for address in requested(head)]
    if head.content_type.value in ("multipart/report", *CONTENT_TYPES):
        return "is-a-report"
    if head.auto_submitted:
        return "auto-submitted"
    if head.is_list:
        return "list-mail"
    if not ack_to or any("@" not in address for address in ack_to):
        return "no-address"
    if any(own.lower() in ack_to for own in own_addresses):
        return "own-address"
    return_path = head.get("return-path")
    if return_path is not None and not addresses_of(return_path):
        return "null-return-path"
    if len(ack_to) > 1:
        return "several-addresses"
    options = head.text("disposition-notification-options").lower()
    if re.search(r"=\s*required", options):
        return "unknown-options"
    if return_path is None:
        return None if head.from_.lower() == ack_to[0] else "no-return-path"
    return None if addresses_of(return_path)[0].lower() == ack_to[0] else "return-path-differs"


# -- building ---------------------------------------------------------------------------------------------------


def build(
    original: Head,
    *,
    from_: str,
    to: str,
    final_recipient: str,
    message_id: str,
    date: datetime,
    reporting_ua: str,
    disposition: DispositionType = "processed",
    modifier: Literal["", "error", "warning"] = "",
    explanation: str = "",
    by_a_person: bool = False,
) -> bytes:
    """A complete MDN for one notification address.

    :param original: header of the mail that asked.
    :param to: the notification address; :param final_recipient: the address the mail was received for.
    :param message_id: of the MDN, ``<…>``; :param date: of the MDN, with a time zone.
    :param reporting_ua: ``host; product`` (RFC 8098 §3.2.1).
    :param modifier: with ``explanation`` as the text of an Error or Warning field.
    :param by_a_person: the disposition mode: a person decided (``ack_by_user``), or the gateway by itself.
    :returns: the message with CRLF, to be sent with a null reverse-path.
    """
    mode = "manual-action/MDN-sent-manually" if by_a_person else "automatic-action/MDN-sent-automatically"
    boundary = f"=_mdn_{hashlib.sha256(message_id.encode()).hexdigest()[:32]}"
    original_id = original.message_id
    if not original_id.isascii() or len(original_id) > _LONGEST:
        original_id = ""  # what cannot stand in a line of ours cannot be answered by name
    words = _WORDS.get((disposition, modifier), f"has the disposition: {disposition}")
    text = [f"Your message to {_address(final_recipient)} {words}.", ""]
    text += [f"Subject: {original.subject[:_LONGEST]}", f"Date: {original.text('date')}"]
    text += [f"Message-ID: {original_id}"] if original_id else []
    text += ["", *map(printable, explanation.splitlines())] if explanation else []
    lines = [
        f"From: {_address(from_)}",
        f"To: {_address(to)}",
        _folded("Subject", f"Receipt: {original.subject}" if original.subject else "Receipt"),
        f"Date: {format_datetime(date)}",
        f"Message-ID: {message_id}",
        *([f"In-Reply-To: {original_id}", f"References: {original_id}"] if original_id else []),
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=disposition-notification;",
        f' boundary="{boundary}"',
        "",
        f"--{boundary}",
        *_text_part(text),
        f"--{boundary}",
        "Content-Type: message/disposition-notification",
        "",
        f"Reporting-UA: {_ascii(reporting_ua)}",
        *_original_recipient(original),
        f"Final-Recipient: rfc822; {_address(final_recipient)}",
        *([f"Original-Message-ID: {original_id}"] if original_id else []),
        f"Disposition: {mode}; {disposition}{'/' + modifier if modifier else ''}",
        *([_folded(modifier.capitalize(), explanation)] if modifier and explanation else []),
        "",
        f"--{boundary}",
        "Content-Type: text/rfc822-headers",
        "",
        *_returned(original),
        f"--{boundary}--",
        "",
    ]
    return "\r\n".join(lines).encode("ascii")


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode() if text.isprintable() else "?"


def _address(address: str) -> str:
    """An address as it may stand in a header; one that needs SMTPUTF8 keeps its shape, unreadable but harmless."""
    return _ascii("".join(address.split()))


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


def _original_recipient(original: Head) -> list[str]:
    given = original.text("original-recipient")
    return [f"Original-Recipient: {_ascii(given)}"] if given and len(given) <= _LONGEST else []


def _returned(original: Head) -> list[str]:
    """The original header block, made 7-bit; lines that no SMTP server takes are left out."""
    lines: list[str] = []
    octets = 0
    for name, value in original.fields:
        field = (name.title() + b": " + value.rstrip()).decode("latin-1").encode("ascii", "replace").decode()
        folded = [line.replace("\r", " ") for line in re.split(r"\r?\n", field) if line.strip()]
        octets += len(field)
        if octets > _RETURNED_OCTETS:
            break
        if all(len(line) < 998 and "\0" not in line for line in folded):
            lines += folded
    return lines or ["X-Original-Header: none"]
