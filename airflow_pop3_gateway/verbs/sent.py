"""``sent list``, ``sent show`` and ``sent dismiss``: which transfers wait for an acknowledgment, what came of one.

Invariant: a list and a look change nothing but marks of transfers that no longer wait; what was dismissed still takes
whatever comes.
"""

from __future__ import annotations

import argparse
import json

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway.retrieve import utc_now
from airflow_pop3_gateway.gateway.track import Tracked, dismiss, tracked, waiting
from airflow_pop3_gateway.hooks.store import open_store
from airflow_pop3_gateway.store import Store, sent
from airflow_pop3_gateway.verbs.site import told
from airflow_pop3_gateway.verbs.terminal import printable


def run(arguments: argparse.Namespace) -> int:
    """List, show or dismiss. :returns: 0, or 1 when something could not be done."""
    return told({"list": _list, "show": _show, "dismiss": _dismiss}[arguments.action], arguments)


def _list(arguments: argparse.Namespace) -> None:
    if arguments.keys:
        raise ConfigurationError("list takes no key; show does.", field="keys")
    for found in waiting(open_store(arguments.base_path), utc_now(), only_overdue=arguments.overdue):
        print(json.dumps(found.to_json()) if arguments.json else _line(found))


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
    return printable("  ".join(words))


def _keys(arguments: argparse.Namespace) -> list[str]:
    keys = [str(key) for key in arguments.keys]
    if not keys or not all(key.isalnum() for key in keys):
        raise ConfigurationError(f"{arguments.action} needs keys, as the list gives them.", field="keys")
    return keys


def _show(arguments: argparse.Namespace) -> None:
    store = open_store(arguments.base_path)
    for key in _keys(arguments):
        found = tracked(store, key, utc_now())
        if arguments.json:
            events = [event.to_json() for event in sent.events(store, key)]
            print(json.dumps({**found.to_json(), "events": events}))
        else:
            _tell(store, found)


def _tell(store: Store, found: Tracked) -> None:
    print(_line(found))
    status = found.status
    for one in (*status.recipients, *([status.unassigned] if status.unassigned else [])):
        said = [
            f"{kind} {word}"
            for kind, word in (("smtp", one.smtp), ("dsn", one.dsn), ("mdn", one.mdn))
            if word
        ]
        contradicted = ["contradicted"] if one.contradicted else []
        words = [f"  {one.address or '(nobody we sent to)'}: {one.verdict}", *said, *contradicted]
        print(printable("  ".join([*words, *([one.detail] if one.detail else [])])))
    for event in sent.events(store, found.key):
        how = [f"by {event.matched_by}"] if event.matched_by else []
        proof = [f"proof {event.proof}"] if event.proof else []
        print(
            printable("  ".join([f"  {event.at}", event.name, event.kind, *how, *proof, event.note]).rstrip())
        )


def _dismiss(arguments: argparse.Namespace) -> None:
    dismiss(open_store(arguments.base_path), _keys(arguments))
