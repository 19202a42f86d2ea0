"""Examine: what the gateway would make of a mail, without storing or sending anything.

Invariant: the same code decides here as in :mod:`~airflow_pop3_gateway.gateway.classify`; only duplicates cannot be
seen, for nothing is remembered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

from airflow_pop3_gateway.acks import mdn, parse_report
from airflow_pop3_gateway.mail.extract import Policy, understand
from airflow_pop3_gateway.mail.headers import Head, identity, split_subject


class _Nowhere:
    """A file that nobody keeps."""

    def write(self, data: bytes) -> None:
        """Forget."""

    def commit(self) -> str:
        """Nothing was stored."""
        return ""

    def discard(self) -> None:
        """Nothing was stored."""


def examine(chunks: Iterable[bytes], policy: Policy) -> dict[str, Any]:
    """Classify one mail offline.

    :param chunks: its octets in pieces of any size.
    :returns: JSON-plain: ``type``, ``file_name``, ``rule``, ``rejected``, ``xfer_ident``, ``from``, ``to``,
        ``subject``, ``xfb``, ``user_message``, ``attachments`` (``name``, ``content_type``, ``size``, ``sha256``),
        ``report``, ``ack_to``, ``defects``, ``leaves``, ``octets``, ``sha256``.
    """

    def choose(head: Head) -> Policy:
        return policy

    digest = hashlib.sha256()

    def digested() -> Iterator[bytes]:
        for chunk in chunks:
            digest.update(chunk)
            yield chunk

    understanding = understand(digested(), choose, lambda name, content_type: _Nowhere())
    head = understanding.head
    subject, xfb = split_subject(head.subject) if policy.extract_file else (head.subject, {})
    report = parse_report(understanding.captured) if understanding.type == "EERP" else None
    return {
        "type": understanding.type,
        "file_name": understanding.file_name,
        "rule": understanding.rule,
        "rejected": understanding.rejected.to_json() if understanding.rejected else None,
        "xfer_ident": identity(head)[0],
        "from": head.from_,
        "to": list(head.to),
        "subject": subject,
        "xfb": xfb,
        "user_message": understanding.user_message,
        "attachments": [
            {"name": leaf.name, "content_type": leaf.content_type, "size": leaf.size, "sha256": leaf.sha256}
            for leaf in understanding.attachments
        ],
        "report": report.to_json() if report else None,
        "ack_to": list(mdn.requested(head)),
        "defects": [defect.to_json() for defect in understanding.defects],
        "leaves": [leaf.to_json() for leaf in understanding.leaves],
        "octets": understanding.octets,
        "sha256": digest.hexdigest(),
    }
