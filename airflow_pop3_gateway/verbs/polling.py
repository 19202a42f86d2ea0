"""``suspend``, ``resume``, ``status`` and ``poll``: a person decides whether a site is polled, and when.

Invariant: a running session is left alone; ``poll`` asks no suspension and no window, for a person asked by name.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from airflow_pop3_gateway import gateway
from airflow_pop3_gateway.gateway.retrieve import utc_now
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


@told
def status(arguments: argparse.Namespace) -> None:
    """Say how sites stand."""
    for name in arguments.connections:
        standing = gateway.status(site_of(name), open_store(arguments.base_path), utc_now())
        _say(arguments, standing)


@told
def poll(arguments: argparse.Namespace) -> None:
    """Retrieve, classify and acknowledge here and now."""
    site, store, choose = place(arguments)
    _say(arguments, gateway.retrieve(site, store, Pop3Client.connect))
    _say(arguments, gateway.classify(site, store, choose=choose))
    with GatewaySmtpHook(site.smtp_conn_id) as relay:
        _say(arguments, gateway.acknowledge(site, store, relay.send_raw))


def _say(arguments: argparse.Namespace, result: Jsonable) -> None:
    facts = result.to_json()
    told_facts = ", ".join(f"{name} {_text(value)}" for name, value in facts.items() if value)
    show(arguments, facts, f"{type(result).__name__.lower()}: {told_facts}")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{count} {name}" for name, count in sorted(value.items()))
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
