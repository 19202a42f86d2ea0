"""Examine: what the gateway would make of a mail, without storing or sending anything.

Invariant: the same code decides here as in :mod:`~airflow_pop3_gateway.gateway.classify`; only duplicates cannot be
seen, for nothing is remembered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_pop3_gateway.acks import asking, parse_report
from airflow_pop3_gateway.config import Application
from airflow_pop3_gateway.errors import ConfigurationError, MailRefused
from airflow_pop3_gateway.gateway.applications import (
    Choice,
    Chooser,
    Nowhere,
    Octets,
    chosen,
    named,
    policy_of,
    proposed_application,
)
from airflow_pop3_gateway.mail.extract import Policy, understand
from airflow_pop3_gateway.mail.headers import Head, identity, split_subject
from airflow_pop3_gateway.records import Defect, Reason


def examine(
    octets: Octets,
    size: int,
    policy: Policy,
    choose: Chooser = proposed_application,
    *,
    applications: Mapping[str, Application] | None = None,
    originator: str = "",
    destination: str = "",
) -> dict[str, Any]:
    """Classify one mail offline.

    :param octets: gives its octets in pieces, from the start at each call; :param size: how many there are.
    :param policy: what the site wants; its Application is the proposed one.
    :param choose: names the Application, as on reception; :param originator: the site it is told of;
        :param destination: the login.
    :param applications: Applications with options of their own, by name.
    :returns: JSON-plain: ``type``, ``file_name``, ``application``, ``rule``, ``rejected``, ``xfer_ident``, ``from``,
        ``to``, ``subject``, ``xfb``, ``user_message``, ``attachments`` (``name``, ``content_type``, ``size``,
        ``sha256``), ``report``, ``auto_submitted``, ``ack_to``, ``defects``, ``leaves``, ``octets``, ``sha256``.
    """
    refused: Reason | None = None
    defects: list[Defect] = []

    def with_policy(head: Head) -> Policy:
        nonlocal policy, refused
        ident = identity(head)[0]
        name = split_subject(head.subject)[1].get("appli") or policy.application
        choice = Choice(
            originator, destination, head.from_, head.to, ident, head.subject, name, size, head, octets
        )
        try:
            name = chosen(choose, choice)
        except MailRefused as error:
            refused = Reason(error.code, str(error))
        try:
            policy = policy_of(named(name, applications or {}), policy)
        except ConfigurationError as error:
            defects.append(Defect("application-name", "", str(error)))
        return policy

    digest = hashlib.sha256()

    def digested() -> Iterator[bytes]:
        for piece in octets():
            digest.update(piece)
            yield piece

    understanding = understand(digested(), with_policy, lambda name, content_type: Nowhere())
    head = understanding.head
    subject, xfb = split_subject(head.subject) if policy.extract_file else (head.subject, {})
    report = parse_report(understanding.captured) if understanding.type == "EERP" else None
    rejected = refused or understanding.rejected
    return {
        "type": "XFER" if rejected else understanding.type,
        "file_name": "RECOVER" if rejected else understanding.file_name,
        "application": policy.application,
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
        "defects": [defect.to_json() for defect in (*defects, *understanding.defects)],
        "leaves": [leaf.to_json() for leaf in understanding.leaves],
        "octets": understanding.octets,
        "sha256": digest.hexdigest(),
    }
