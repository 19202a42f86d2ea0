"""``receipts list``, ``answer``, ``outbox``: who waits for an acknowledgment, a person's answer, what did not go out.

Invariant: a list changes nothing; an answer is a person's and is sent at once, with whatever else waits in the outbox;
an answer that comes too late is said and not sent.
"""

from __future__ import annotations

import argparse
from typing import Any, cast

from airflow_pop3_gateway import gateway
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway.answers import waiting, waits
from airflow_pop3_gateway.hooks.smtp import GatewaySmtpHook
from airflow_pop3_gateway.hooks.store import open_store
from airflow_pop3_gateway.records import Jsonable, Outcome
from airflow_pop3_gateway.store import answers, outbox
from airflow_pop3_gateway.verbs.site import person, refuse_idents_unless, site_of, told
from airflow_pop3_gateway.verbs.terminal import show


@told
def run(arguments: argparse.Namespace) -> None:
    """List, answer, or show the outbox."""
    refuse_idents_unless(arguments, "answer")
    {"list": _list, "answer": _answer, "outbox": _outbox}[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> None:
    site, store = site_of(arguments.connection), open_store(arguments.base_path)
    for request in waiting(site, store):
        short = (request.local_ident, request.why, ",".join(request.ack_to), request.from_, request.subject)
        show(arguments, _without(request, "head"), "  ".join(short))


def _outbox(arguments: argparse.Namespace) -> None:
    site, store = site_of(arguments.connection), open_store(arguments.base_path)
    for key in (*outbox.pending(store, site.name), *outbox.refused(store, site.name)):
        receipt = outbox.read(store, key)
        due = f"next attempt {receipt.next_attempt_at}" if receipt.next_attempt_at else ""
        short = (receipt.state, receipt.recipient, receipt.message_id, due, receipt.last_error)
        show(arguments, _without(receipt, "message"), "  ".join(filter(None, short)))


def _without(record: Jsonable, octets: str) -> dict[str, Any]:
    """What is written down, but for the octets of a mail."""
    return {name: value for name, value in record.to_json().items() if name != octets}


def _answer(arguments: argparse.Namespace) -> None:
    site, store = site_of(arguments.connection), open_store(arguments.base_path)
    outcome = "failed" if arguments.negative else arguments.outcome
    for local_ident in arguments.local_idents:
        if not waits(site, store, local_ident) and answers.find_answer(store, local_ident) is None:
            raise ConfigurationError(
                f"{local_ident} waits for no answer at {site.name}; list what does.", field="local_ident"
            )
    result = gateway.answer(
        site,
        store,
        cast("Outcome", outcome),
        arguments.text,
        local_idents=arguments.local_idents,
        by=person(),
        by_a_person=True,
    )
    with GatewaySmtpHook(site.smtp_conn_id) as relay:
        sent = gateway.acknowledge(site, store, relay.send_raw)
    show(
        arguments,
        {**result.to_json(), "acknowledged": sent.to_json()},
        f"{site.name}: {result.answered} answered {outcome}, {result.again} had this answer; {sent.sent} receipts "
        f"sent, {sent.refused} refused, {sent.postponed + sent.waiting + sent.limited} wait",
    )
    if result.contradicted:
        raise ConfigurationError(
            f"Answered otherwise before, which stays: {', '.join(result.contradicted)}", field="outcome"
        )
