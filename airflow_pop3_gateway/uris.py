"""What our assets are called, ``pop3://<connection>`` and ``pop3-application://<application>``; imports no Airflow.

Invariant: a URI names a connection or an Application and nothing else: no host, no account, no secret; what is more
than a name is refused when the DAG is parsed. Two spellings of a name are one URI.
"""

from __future__ import annotations

from urllib.parse import SplitResult, quote, unquote

MAILBOX = "pop3"
APPLICATION = "pop3-application"
EACH = "/each"
"""The path of the asset whose events are one for each record."""
MAILBOX_ASSET = "pop3-mailbox-"
"""What the name of a mailbox's asset begins with; the id of its connection follows."""


def mailbox_uri(pop3_conn_id: str) -> str:
    """The URI of a mailbox, by the id of its connection."""
    return f"{MAILBOX}://{_quoted(pop3_conn_id)}"


def application_uri(name: str, path: str = "") -> str:
    """The URI of an Application."""
    return f"{APPLICATION}://{_quoted(name)}{path}"


def sanitize_uri(uri: SplitResult) -> SplitResult:
    """Airflow asks for each asset with one of our schemes.

    :raises ValueError: saying what the URI must be.
    """
    name, path = unquote(uri.netloc), uri.path.rstrip("/")
    wanted = f"{uri.scheme}://" + ("<connection id>" if uri.scheme == MAILBOX else "<application>")
    if not name or any(mark in uri.netloc for mark in ":@"):
        raise ValueError(f"{uri.geturl()!r} must be {wanted}; it names no host, port or account.")
    if uri.query or path not in ("", *((EACH,) if uri.scheme == APPLICATION else ())):
        raise ValueError(f"{uri.geturl()!r} must be {wanted} and nothing behind it.")
    return SplitResult(uri.scheme, _quoted(name), path, "", "")


def _quoted(name: str) -> str:
    return quote(name, safe="_.+-~")
