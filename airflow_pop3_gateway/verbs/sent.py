"""``sent list``, ``sent show`` and ``sent dismiss``: which transfers wait for an acknowledgment, what came of one.

Invariant: a list and a look change nothing but marks of transfers that no longer wait; what was dismissed still takes
whatever comes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from airflow_pop3_gateway.acks.status import SentStatus
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway.clock import utc_now
from airflow_pop3_gateway.gateway.track import Tracked, dismiss, tracked, waiting
from airflow_pop3_gateway.hooks.store import open_store
from airflow_pop3_gateway.records.sent import SentEvent
from airflow_pop3_gateway.store import Store, sent
from airflow_pop3_gateway.verbs.site import told
from airflow_pop3_gateway.verbs.terminal import show


@told
def run(arguments: argparse.Namespace) -> None:
    """List, show or dismiss."""
    {"list": _list, "show": _show, "dismiss": _dismiss}[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> None:
    if arguments.keys:
        raise ConfigurationError("list takes no key; show does.", field="keys")
    for found in waiting(open_store(arguments.base_path), utc_now(), only_overdue=arguments.overdue):
        show(arguments, found.to_json(), _line(found))


def _line(found: Tracked) -> str:
    status = found.status
    words = (
        found.key,
        "OVERDUE" if found.overdue else status.state,
        f"+{status.positive} -{status.negative} ?{status.undefined}",
        found.ack_deadline or "no deadline",
        found.xfer_ident,
        found.subject,
    )
    return "  ".join(words)


def _keys(store: Store, arguments: argparse.Namespace) -> list[str]:
    """The keys that were given. :raises ConfigurationError: when there is none, or no transfer under one."""
    keys = [str(key) for key in arguments.keys]
    if not keys or not all(key.isalnum() for key in keys):
        raise ConfigurationError(f"{arguments.action} needs keys, as the list gives them.", field="keys")
    for key in keys:
        if sent.find_key(store, key) is None:
            raise ConfigurationError(f"{key} is no transfer that was sent; list what waits.", field="keys")
    return keys


def _show(arguments: argparse.Namespace) -> None:
    store = open_store(arguments.base_path)
    for key in _keys(store, arguments):
        found = tracked(store, key, utc_now())
        events = list(sent.events(store, key))
        facts = {**found.to_json(), "events": [event.to_json() for event in events]}
        show(arguments, facts, "\n".join([_line(found), *_history(found.status, events)]))


def _history(status: SentStatus, events: Sequence[SentEvent]) -> Iterator[str]:
    """A line for each recipient, then one for each event."""
    for one in (*status.recipients, *([status.unassigned] if status.unassigned else [])):
        said = [
            f"{kind} {word}"
            for kind, word in (("smtp", one.smtp), ("dsn", one.dsn), ("mdn", one.mdn))
            if word
        ]
        contradicted = ["contradicted"] if one.contradicted else []
        words = [f"  {one.address or '(nobody we sent to)'}: {one.verdict}", *said, *contradicted]
        yield "  ".join([*words, *([one.detail] if one.detail else [])])
    for event in events:
        how = [f"by {event.matched_by}"] if event.matched_by else []
        proof = [f"proof {event.proof}"] if event.proof else []
        yield "  ".join([f"  {event.at}", event.name, event.kind, *how, *proof, event.note]).rstrip()


def _dismiss(arguments: argparse.Namespace) -> None:
    store = open_store(arguments.base_path)
    dismiss(store, _keys(store, arguments))
