"""An acknowledgment that came in, whichever kind it is.

Strategy: the kind is what the machine-readable part is, not what the report claims to be.

Invariant: nothing raises; ``None`` means there is nothing that acknowledges (a broken report, an abuse report).
"""

from __future__ import annotations

from collections.abc import Sequence

from airflow_pop3_gateway.acks import dsn, mdn
from airflow_pop3_gateway.acks.fields import ReportPart
from airflow_pop3_gateway.records import Report


def parse_report(captured: Sequence[ReportPart]) -> Report | None:
    """Read the captured parts of a mail of TYPE=EERP."""
    return dsn.parse(captured) or mdn.parse(captured)
