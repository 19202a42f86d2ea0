"""An acknowledgment that came in, whichever kind it is.

Strategy: the kind is what the machine-readable part is, not what the report claims to be. A report that comes back with
or around another one speaks for itself: what lies within a mail that it returns is not what it says.

Invariant: nothing raises; ``None`` means there is nothing that acknowledges (a broken report, an abuse report).
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_pop3_gateway.acks import dsn, mdn
from airflow_pop3_gateway.acks.fields import ReportPart
from airflow_pop3_gateway.records import Report

_NOTIFICATIONS = (*dsn.CONTENT_TYPES, *mdn.CONTENT_TYPES)
_MAILS = ("message/rfc822", "message/global")


def parse_report(captured: Sequence[ReportPart]) -> Report | None:
    """Read the captured parts of a mail of TYPE=EERP."""
    own = _of_the_outermost(captured)
    return dsn.parse(own) or mdn.parse(own)


def _of_the_outermost(captured: Sequence[ReportPart]) -> list[ReportPart]:
    """The parts without those that lie deeper in enclosed mails than the outermost notification."""
    mails = {part.path for part in captured if part.content_type in _MAILS}

    def around(part: ReportPart) -> set[str]:
        steps = part.path.split(".")
        return {path for path in (".".join(steps[:count]) for count in range(1, len(steps))) if path in mails}

    depths = [around(part) for part in captured if part.content_type in _NOTIFICATIONS]
    outermost = min(depths, key=len, default=set())
    return [part for part in captured if around(part) <= outermost]
