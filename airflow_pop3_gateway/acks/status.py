"""The status of a transfer we sent: a fold over what happened to it.

Strategy: of each recipient the strongest word counts: nothing is weaker than a negative DSN, which is weaker than a
positive MDN, which is weaker than a negative MDN. A positive DSN is noted and proves nothing (Gateway). Of SMTP the
last attempt counts, and a report overrules it: who reports has got the mail.

Invariant: pure. The order in which events come does not matter, nor how often one comes; a further report never takes
back what a report said of a recipient.

The first line that fits gives the state:

=========================================================  ================
of the recipients                                          state
=========================================================  ================
each has a positive MDN                                    ``ACKED``
each was refused by the relay                              ``CANCELED``
one has a negative MDN                                     ``NACKED_USER``
one has a negative DSN, or was refused                     ``NACKED_XFB``
one was not given to a relay yet                           ``PROCESSING``
nothing was asked, or each is delivered and no MDN asked   ``ENDED``
else                                                       ``ENDED_TO_ACK``
=========================================================  ================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from airflow_pop3_gateway.records import Jsonable
from airflow_pop3_gateway.records.sent import EventRow, SentEvent, SentState, SentTransfer, Verdict

DELIVERED = ("delivered", "relayed", "expanded")
"""Actions of a DSN after which no other one comes (RFC 3464 §2.3.3); of the last two nobody knows what followed."""


class RecipientStatus(Jsonable, frozen=True):
    """What is known of one recipient.

    :ivar address: ``""`` for reports that name nobody we sent to.
    :ivar smtp: what the last attempt brought, ``""`` before the first; :ivar dsn, mdn: the strongest action that was
        reported, ``""`` for none.
    :ivar verdict: the strongest word; :ivar by: who said it: ``smtp``, ``dsn`` or ``mdn``.
    :ivar contradicted: one report says yes and another no.
    :ivar detail: words that came with the verdict.
    """

    address: str
    smtp: str = ""
    dsn: str = ""
    mdn: str = ""
    verdict: Verdict = "undefined"
    by: str = ""
    contradicted: bool = False
    detail: str = ""


class SentStatus(Jsonable, frozen=True):
    """What is known of a transfer. :ivar positive, negative, undefined: how many recipients have this verdict.

    :ivar unassigned: what reports say that name nobody we sent to, ``None`` where there are none.
    """

    state: SentState
    positive: int
    negative: int
    undefined: int
    recipients: tuple[RecipientStatus, ...]
    unassigned: RecipientStatus | None = None

    @property
    def waits(self) -> bool:
        """Whether an acknowledgment may still change what has to be done."""
        return self.state in ("PROCESSING", "ENDED_TO_ACK")


def status_of(transfer: SentTransfer, events: Iterable[SentEvent]) -> SentStatus:
    """Fold everything that happened to a transfer, in any order."""
    said: dict[str, list[tuple[SentEvent, EventRow]]] = {}
    for event in events:
        for row in event.rows:
            said.setdefault(row.recipient, []).append((event, row))
    addresses = [recipient.address for recipient in transfer.recipients]
    recipients = tuple(_recipient(address, said.pop(address, [])) for address in addresses)
    strangers = [one for words in said.values() for one in words]
    unassigned = _recipient("", strangers) if strangers else None
    verdicts = [recipient.verdict for recipient in recipients]
    return SentStatus(
        _state(transfer, recipients, unassigned),
        positive=verdicts.count("positive"),
        negative=verdicts.count("negative"),
        undefined=verdicts.count("undefined"),
        recipients=recipients,
        unassigned=unassigned,
    )


def _recipient(address: str, words: Sequence[tuple[SentEvent, EventRow]]) -> RecipientStatus:
    smtp = _strongest([(event.name, row) for event, row in words if event.kind == "smtp"])
    dsn = _strongest([(_weight(row, DELIVERED), row) for event, row in words if event.kind == "dsn"])
    mdn = _strongest([(_weight(row), row) for event, row in words if event.kind == "mdn"])
    reports = {row.verdict for event, row in words if event.kind != "smtp"}
    by, decisive = "", None
    if mdn is not None and mdn.verdict != "undefined":
        by, decisive = "mdn", mdn
    elif dsn is not None and dsn.verdict == "negative":
        by, decisive = "dsn", dsn
    elif smtp is not None and smtp.action == "refused" and dsn is None and mdn is None:
        by, decisive = "smtp", smtp
    return RecipientStatus(
        address,
        smtp.action if smtp else "",
        dsn.action if dsn else "",
        mdn.action if mdn else "",
        decisive.verdict if decisive else "undefined",
        by,
        contradicted={"positive", "negative"} <= reports,
        detail=decisive.detail if decisive else "",
    )


def _weight(row: EventRow, final: Sequence[str] = ()) -> str:
    """Negative is stronger than positive, for then a person must look; what is final stronger than what is not."""
    verdict = {"undefined": "0", "positive": "1", "negative": "2"}[row.verdict]
    return verdict + ("1" if row.action in final else "0")


def _strongest(rows: Sequence[tuple[str, EventRow]]) -> EventRow | None:
    """The row of the greatest weight; of equal ones always the same, in whatever order they come."""
    return (
        max(rows, key=lambda one: (one[0], one[1].action, one[1].status, one[1].detail))[1] if rows else None
    )


def _state(
    transfer: SentTransfer, recipients: Sequence[RecipientStatus], unassigned: RecipientStatus | None
) -> SentState:
    everybody = [*recipients, *([unassigned] if unassigned else [])]
    if all(recipient.verdict == "positive" for recipient in recipients):
        return "ACKED"
    if all(recipient.by == "smtp" for recipient in recipients):
        return "CANCELED"
    negative = {recipient.by for recipient in everybody if recipient.verdict == "negative"}
    if negative:
        return "NACKED_USER" if "mdn" in negative else "NACKED_XFB"
    if any(_is_on_its_way(recipient) for recipient in recipients):
        return "PROCESSING"
    delivered = all(recipient.dsn in DELIVERED for recipient in recipients)
    if not transfer.requested or (delivered and "mdn" not in transfer.requested):
        return "ENDED"
    return "ENDED_TO_ACK"


def _is_on_its_way(recipient: RecipientStatus) -> bool:
    return recipient.smtp in ("", "postponed") and not (recipient.dsn or recipient.mdn)
