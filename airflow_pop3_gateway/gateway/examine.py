"""Examine: what the gateway would make of a mail, without storing or sending anything.

Invariant: the same code decides here as in :mod:`~airflow_pop3_gateway.gateway.classify`; only duplicates cannot be
seen, for nothing is remembered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec

from airflow_pop3_gateway.acks import asking, parse_report
from airflow_pop3_gateway.errors import MailRefused
from airflow_pop3_gateway.gateway.applications import Choice, Chooser, Nowhere, Octets, proposed_application
from airflow_pop3_gateway.mail.extract import Policy, understand
from airflow_pop3_gateway.mail.headers import Head, identity, split_subject
from airflow_pop3_gateway.records import Reason


def examine(
    octets: Octets, size: int, policy: Policy, choose: Chooser = proposed_application
) -> dict[str, Any]:
    """Classify one mail offline.

    :param octets: gives its octets in pieces, from the start at each call; :param size: how many there are.
    :param policy: what the site wants; its Application is the proposed one.
    :param choose: names the Application, as on reception.
    :returns: JSON-plain: ``type``, ``file_name``, ``application``, ``rule``, ``rejected``, ``xfer_ident``, ``from``,
        ``to``, ``subject``, ``xfb``, ``user_message``, ``attachments`` (``name``, ``content_type``, ``size``,
        ``sha256``), ``report``, ``auto_submitted``, ``ack_to``, ``defects``, ``leaves``, ``octets``, ``sha256``.
    """
    application = policy.application
    refused: Reason | None = None

    def chosen(head: Head) -> Policy:
        nonlocal application, refused
        application = split_subject(head.subject)[1].get("appli") or application
        ident = identity(head)[0]
        choice = Choice("", "", head.from_, head.to, ident, head.subject, application, size, head, octets)
        try:
            application = choose(choice) or application
        except MailRefused as error:
            refused = Reason(error.code, str(error))
        return msgspec.structs.replace(policy, application=application)

    digest = hashlib.sha256()

    def digested() -> Iterator[bytes]:
        for piece in octets():
            digest.update(piece)
            yield piece

    understanding = understand(digested(), chosen, lambda name, content_type: Nowhere())
    head = understanding.head
    subject, xfb = split_subject(head.subject) if policy.extract_file else (head.subject, {})
    report = parse_report(understanding.captured) if understanding.type == "EERP" else None
    rejected = refused or understanding.rejected
    return {
        "type": "XFER" if rejected else understanding.type,
        "file_name": "RECOVER" if rejected else understanding.file_name,
        "application": application,
        "rule": understanding.rule,
        "rejected": rejected.to_json() if rejected else None,
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
        "auto_submitted": head.auto_submitted,
        "ack_to": list(asking.requested(head)),
        "defects": [defect.to_json() for defect in understanding.defects],
        "leaves": [leaf.to_json() for leaf in understanding.leaves],
        "octets": understanding.octets,
        "sha256": digest.hexdigest(),
    }
