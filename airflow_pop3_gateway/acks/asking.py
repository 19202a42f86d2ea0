"""Who asks for an MDN, with which options, and when none may go (RFC 8098 §2).

Strategy: the request stands in the header alone. A reason against an answer is a code; those of doubt can be
overridden, by a person or by whoever trusts the addresses that ask.

Invariant: nothing raises; an MDN is never asked for by what could be a loop (:func:`deny_reason`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.mail.words import addresses_of

REPORTS = (
    "multipart/report",
    "message/disposition-notification",
    "message/global-disposition-notification",
)

NEEDS_A_PERSON = frozenset({"no-return-path", "return-path-differs", "several-addresses"})
"""Reasons of :func:`deny_reason` that consent overrides (RFC 8098 §2.1); the others mean never."""

KNOWN_OPTIONS = frozenset({"signed-receipt-protocol", "signed-receipt-micalg"})
"""Attributes of Disposition-Notification-Options that our answers take into account."""

_LONGEST_ADDRESS = 320
"""Characters: 64 before the @ and 255 behind it (RFC 5321 §4.5.3.1)."""
_PARAMETER = re.compile(r'(?:[^";]|"(?:[^"\\]|\\.)*"?)+')
_WORD = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*"?)+')


@dataclass(frozen=True)
class Option:
    """One parameter of Disposition-Notification-Options (RFC 8098 §2.2).

    :ivar attribute: lower case; :ivar required: its importance: no receipt without understanding it;
        :ivar values: in the order the sender prefers them, quotes removed.
    """

    attribute: str
    required: bool
    values: tuple[str, ...] = ()


def requested(head: Head) -> tuple[str, ...]:
    """The addresses that ask for an MDN (RFC 8098 §2.1; Gateway: *ack_to*), each once, in order."""
    found = head.addresses("disposition-notification-to")
    return tuple({address.lower(): address for address in reversed(found)}.values())[::-1]


def options(head: Head) -> tuple[Option, ...]:
    """The parameters of Disposition-Notification-Options, in order; what has no attribute is left out."""
    found = []
    for parameter in _PARAMETER.findall(head.text("disposition-notification-options")):
        attribute, _, rest = parameter.partition("=")
        importance, *values = [word.strip() for word in _WORD.findall(rest)] or [""]
        if attribute.strip():
            found.append(
                Option(
                    attribute.strip().lower(),
                    importance.lower() == "required",
                    tuple(_unquoted(value) for value in values if value),
                )
            )
    return tuple(found)


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value.strip('"')) if value.startswith('"') else value


def unknown_options(head: Head) -> tuple[str, ...]:
    """Attributes that are required and that we do not know: the answer can only be ``failed`` (RFC 8098 §2.2)."""
    return tuple(
        option.attribute
        for option in options(head)
        if option.required and option.attribute not in KNOWN_OPTIONS
    )


def nobody(address: str) -> bool:
    """Trusts no address."""
    return False


def deny_reason(
    head: Head, own_addresses: Sequence[str] = (), trusted: Callable[[str], bool] = nobody
) -> str | None:
    """Why no MDN may be sent automatically for this mail, or ``None`` (RFC 8098 §2.1, RFC 3834).

    Where the server kept no Return-Path, the author's address stands for it: a maildrop that was filled by hand or
    by a local program has none, and an MDN to the author cannot be made to hit a third party.

    :param own_addresses: ours; a receipt to ourselves is the beginning of a loop.
    :param trusted: says of a notification address that receipts may go there whatever the return path says: consent
        that was given beforehand.
    :returns: a code of ``docs/reference/reasons.md``; those in :data:`NEEDS_A_PERSON` a person may override.
    """
    ack_to = [address.lower() for address in requested(head)]
    if head.content_type.value in REPORTS:
        return "is-a-report"
    if head.auto_submitted:
        return "auto-submitted"
    if head.is_list:
        return "list-mail"
    if not ack_to or any("@" not in address or len(address) > _LONGEST_ADDRESS for address in ack_to):
        return "no-address"
    if any(own.lower() in ack_to for own in own_addresses):
        return "own-address"
    return_path = head.get("return-path")
    if return_path is not None and not addresses_of(return_path):
        return "null-return-path"
    if all(map(trusted, ack_to)):
        return None
    if len(ack_to) > 1:
        return "several-addresses"
    if return_path is None:
        return None if head.from_.lower() == ack_to[0] else "no-return-path"
    return None if addresses_of(return_path)[0].lower() == ack_to[0] else "return-path-differs"
