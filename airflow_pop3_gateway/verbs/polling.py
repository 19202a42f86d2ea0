"""``suspend``, ``resume``, ``status`` and ``poll``: a person decides whether a site is polled, and when.

Invariant: a running session is left alone; ``poll`` asks no suspension and no window, for a person asked by name.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from typing import Any

from airflow_pop3_gateway import gateway
from airflow_pop3_gateway.errors import RelayUnavailable
from airflow_pop3_gateway.gateway.clock import utc_now
from airflow_pop3_gateway.hooks.smtp import GatewaySmtpHook
from airflow_pop3_gateway.hooks.store import open_store
from airflow_pop3_gateway.pop3 import Pop3Client
from airflow_pop3_gateway.records import Jsonable
from airflow_pop3_gateway.verbs.site import person, place, site_of, told
from airflow_pop3_gateway.verbs.terminal import show


@told
def suspend(arguments: argparse.Namespace) -> None:
    """Suspend the polling of a site."""
    site, store = site_of(arguments.connection), open_store(arguments.base_path)
    new = gateway.suspend(site.name, store, utc_now(), by=person(), reason=arguments.reason)
    print(f"{site.name}: {'suspended' if new else 'was suspended before'}; a running session is left alone")


@told
def resume(arguments: argparse.Namespace) -> None:
    """Poll a site again."""
    site, store = site_of(arguments.connection), open_store(arguments.base_path)
    print(f"{site.name}: {'is polled again' if gateway.resume(site.name, store) else 'was not suspended'}")


def status(arguments: argparse.Namespace) -> int:
    """Say how each site stands. :returns: 0, or 1 when one could not be asked; the others are."""
    return max(told(partial(_status, name))(arguments) for name in arguments.connections)


def _status(name: str, arguments: argparse.Namespace) -> None:
    _say(arguments, "", gateway.status(site_of(name), open_store(arguments.base_path), utc_now()))


@told
def poll(arguments: argparse.Namespace) -> None:
    """Retrieve, classify and acknowledge here and now."""
    site, store, choose, applications = place(arguments)
    _say(arguments, " retrieved", gateway.retrieve(site, store, Pop3Client.connect))
    _say(arguments, " classified", gateway.classify(site, store, choose=choose, applications=applications))
    with GatewaySmtpHook(site.smtp_conn_id) as relay:
        acknowledged = gateway.acknowledge(site, store, relay.send_raw)
    _say(arguments, " acknowledged", acknowledged)
    if wait := acknowledged.postponed + acknowledged.waiting:
        raise RelayUnavailable(
            f"{wait} receipts wait until the relay takes them; receipts outbox {site.name} says why."
        )


def _say(arguments: argparse.Namespace, what: str, result: Jsonable) -> None:
    facts = result.to_json()
    texts = (f"{name} {text}" for name, value in facts.items() if name != "site" and (text := _text(value)))
    show(arguments, facts, f"{facts['site']}{what}: {', '.join(texts) or 'nothing'}")


def _text(value: Any) -> str:
    """What is no number, no word and no list or count of them is for programs."""
    if isinstance(value, Mapping):
        counts = sorted((name, count) for name, count in value.items() if isinstance(count, int))
        return " ".join(f"{count} {name}" for name, count in counts)
    return " ".join(map(str, value)) if isinstance(value, list) else str(value or "")
