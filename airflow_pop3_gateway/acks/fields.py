"""The field groups that reports are made of (RFC 3464 §2.1, RFC 8098 §3.1): like header blocks, with typed values.

Invariant: any octets make groups; nothing raises; order is kept; what is beyond a bound is left out.
"""

from __future__ import annotations

import binascii
import contextlib
import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from airflow_pop3_gateway.errors import LimitExceeded
from airflow_pop3_gateway.mail.classify import RETURNED_HEADERS
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.mail.words import text_of, without_comments

_BETWEEN_GROUPS = re.compile(rb"\r?\n(?:[ \t]*\r?\n)+|\r(?:[ \t]*\r)+")
_TYPE = re.compile(r"([A-Za-z0-9/-]+) ?; ?")
_ANGLE = re.compile(r"[^<>]*<([^<>]+)>")
_UNITEXT = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")
MOST_GROUPS = 10_000
"""Recipients of one report that are read (RFC 5321 §4.5.3.1.8 asks servers for 100)."""
_RETURNED = (*RETURNED_HEADERS, "message/rfc822", "message/global")


class ReportPart(Protocol):
    """A machine-readable part of a report, decoded, or the header block of the returned mail."""

    @property
    def content_type(self) -> str:
        """Lower case, without parameters."""

    @property
    def data(self) -> bytes:
        """Its octets."""

    @property
    def path(self) -> str:
        """Its place in the mail, ``2.1``; the header block of a returned mail has the place of that mail."""


def groups_of(data: bytes) -> list[Head]:
    """The groups of fields, which empty lines part.

    Some gateways write the group of a recipient in base64, and say so in the group before it.
    """
    found: list[Head] = []
    for block in _BETWEEN_GROUPS.split(data, MOST_GROUPS)[:MOST_GROUPS]:
        if found and b":" not in block and found[-1].text("content-transfer-encoding").lower() == "base64":
            with contextlib.suppress(binascii.Error):
                found += groups_of(binascii.a2b_base64(block))
            continue
        try:
            group = Head.from_bytes(block)
        except LimitExceeded:
            continue
        if group.fields:
            found.append(group)
    return found[:MOST_GROUPS]


def words_of(group: Head, name: str) -> str:
    """A field's value without its type: ``smtp; 550 no`` is ``550 no``; what looks like a comment stays."""
    text = group.text(name)
    kind = _TYPE.match(text)
    return text[kind.end() :].strip() if kind else text


def address_of(group: Head, name: str) -> str:
    """The same of an address: ``rfc822; a@b (A. B.)`` is ``a@b``; escapes of RFC 6533 §3 undone."""
    text = without_comments(group.text(name))
    kind = _TYPE.match(text)
    value = text[kind.end() :].strip() if kind else text
    angle = _ANGLE.fullmatch(value)
    value = angle[1] if angle else value.strip("<>")
    return _UNITEXT.sub(_character, value) if kind and kind[1].lower() == "utf-8" else value


def _character(match: re.Match[str]) -> str:
    number = int(match[1], 16)
    return chr(number) if number < 0xD800 or 0xDFFF < number <= 0x10FFFF else match[0]


def returned_heads(parts: Iterable[ReportPart]) -> Iterator[Head]:
    """The header blocks of the mail that the report returns, in whatever form."""
    for part in parts:
        if part.content_type in _RETURNED:
            with contextlib.suppress(LimitExceeded):
                yield Head.from_bytes(part.data.lstrip(b"\r\n"))


def returned_message_id(parts: Iterable[ReportPart]) -> str:
    """The Message-ID of the mail that the report returns, ``""`` when it returns none."""
    return next((head.message_id for head in returned_heads(parts) if head.message_id), "")


def all_fields(group: Head) -> dict[str, str]:
    """Every field of a group as text, the first of each name."""
    return {name.decode("latin-1"): text_of(value) for name, value in reversed(group.fields)}
