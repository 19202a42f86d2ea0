"""Which mail of ours a report is about, and which of its recipients.

Strategy: everything in a report that may name the mail is a candidate, the strongest first; whoever keeps the transfers
asks for one after the other. What people wrote in the text is no candidate: any text may quote any mail.

Invariant: pure, nothing raises, few candidates whatever the report contains. A recipient is one of those the transfer
names, or nobody; a report that fits two of them is nobody's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from airflow_pop3_gateway.acks import dsn
from airflow_pop3_gateway.acks.fields import ReportPart, returned_heads
from airflow_pop3_gateway.mail.headers import Head, message_id_of
from airflow_pop3_gateway.records import Report, ReportedRecipient
from airflow_pop3_gateway.records.sent import EventRow

MOST_CANDIDATES = 8
"""Each one costs requests to the store."""
_LONGEST_DETAIL = 500
_ORIGINAL = "original-message-id"
_PARENT = "x-ms-exchange-parent-message-id"
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_IDENT = re.compile(r"<[^<>]{1,996}>")


@dataclass(frozen=True)
class Candidate:
    """What may name a mail of ours.

    :ivar ident: an ENVID or a Message-ID, with its angle brackets; :ivar matched_by: where it stands: ``envid``,
        ``original-message-id``, ``returned-header``, ``in-reply-to`` or ``references``.
    """

    ident: str
    matched_by: str


def candidates(report: Report, head: Head, captured: Sequence[ReportPart]) -> list[Candidate]:
    """What may name the mail, the strongest first; each ident once.

    :param head: of the mail that brought the report; :param captured: its parts for machines.
    """
    found: dict[str, Candidate] = {}
    for candidate in _candidates(report, head, list(returned_heads(captured))):
        if len(candidate.ident) > 2:
            found.setdefault(candidate.ident, candidate)
    return list(found.values())[:MOST_CANDIDATES]


def _candidates(report: Report, head: Head, returned: Sequence[Head]) -> Iterator[Candidate]:
    for ident in _spellings(report.envelope_id):
        yield Candidate(_in_brackets(ident), "envid")
    # Agents and relays that change a Message-ID keep the old one under X-Original-…, X-Google-Original-… .
    for name, value in report.fields.items():
        if name.endswith(_ORIGINAL):
            yield Candidate(_ident_of(value), "original-message-id")
    for one in returned:
        yield Candidate(one.message_id, "returned-header")
        for key, raw in one.fields:
            if key.endswith(_ORIGINAL.encode()):
                yield Candidate(message_id_of(raw), "returned-header")
    yield Candidate(report.original_message_id, "original-message-id")
    for name in (_ORIGINAL, f"x-{_ORIGINAL}", _PARENT):
        yield Candidate(_ident_of(head.text(name)), "original-message-id")
    # In-Reply-To and References of what is returned name what our mail answered, which is another mail.
    yield Candidate(_ident_of(head.text("in-reply-to")), "in-reply-to")
    for ident in reversed(_IDENT.findall("".join(head.text("references").split()))):
        yield Candidate(ident, "references")


def _ident_of(value: str) -> str:
    return message_id_of(value.encode("utf-8", "surrogateescape"))


def _in_brackets(ident: str) -> str:
    return f"<{ident.strip('<>')}>"


def _spellings(text: str) -> tuple[str, ...]:
    """As it stands, and with xtext undone (RFC 3461 §4), which some servers leave to the reader."""
    bare = "".join(text.split())
    undone = _XTEXT.sub(lambda match: chr(int(match[1], 16)), bare)
    return (bare,) if undone == bare else (bare, undone)


def rows_of(report: Report, head: Head, recipients: Sequence[str]) -> tuple[EventRow, ...]:
    """What a report says of each recipient, by the names the transfer has for them.

    :param head: of the mail that brought it; :param recipients: of the transfer.
    """
    sender = head.from_ if report.kind == "mdn" else ""
    return tuple(
        EventRow(
            recipient_of(reported, recipients, sender),
            dsn.verdict([reported]) if report.kind == "dsn" else report.verdict,
            reported.action,
            reported.status,
            (report.disposition or reported.diagnostic_code)[:_LONGEST_DETAIL],
        )
        for reported in report.recipients or (ReportedRecipient(),)
    )


def recipient_of(reported: ReportedRecipient, recipients: Sequence[str], sender: str = "") -> str:
    """The recipient of ours that a report names, ``""`` when it names nobody we sent to.

    A mail that went to one was for nobody else, wherever it was forwarded to. Otherwise the original recipient decides
    (ORCPT, RFC 3461 §4.2), then the final one, then who sends the report. An address is itself in any spelling of its
    domain; its local part in other letters only where it fits one recipient.

    :param sender: From of an MDN, ``""`` for a DSN, which comes from a mail system.
    """
    if len(recipients) == 1:
        return recipients[0]
    for address in filter(None, (reported.original_recipient, reported.final_recipient, sender)):
        for spelling in _spellings(address):
            for same in (_exactly, _whatever_case):
                if found := _the_one(spelling, recipients, same):
                    return found
    return ""


def _the_one(address: str, recipients: Iterable[str], same: Callable[[str], str]) -> str:
    wanted = same(address)
    found = [recipient for recipient in recipients if same(recipient) == wanted]
    return found[0] if len(found) == 1 else ""


def _exactly(address: str) -> str:
    local_part, at, domain = address.rpartition("@")
    return local_part + at + _domain(domain)


def _whatever_case(address: str) -> str:
    return _exactly(address).casefold()


def _domain(domain: str) -> str:
    """In the letters of DNS (RFC 5890), for relays translate."""
    try:
        return domain.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return domain.lower()
