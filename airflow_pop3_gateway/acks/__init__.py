"""The receipt: acknowledgments that came in are read, those we owe are built.

``report`` has what DSN and MDN share, ``dsn`` reads delivery status notifications (RFC 3464), ``mdn`` reads and
builds message disposition notifications (RFC 8098), ``asking`` says who asks for one and when none may be sent. Nothing
here sends, stores or looks at the clock.
"""

from airflow_pop3_gateway.acks.report import parse_report

__all__ = ["parse_report"]
