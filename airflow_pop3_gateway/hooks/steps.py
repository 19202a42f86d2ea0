"""The three steps as one function, for a task of one's own.

Invariant: what the operators promise holds here too; what is returned is as small as what they return.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from airflow_pop3_gateway import gateway
from airflow_pop3_gateway.config import Application
from airflow_pop3_gateway.gateway.applications import ApplicationRule, Chooser, Rules, proposed_application
from airflow_pop3_gateway.hooks.attempts import got
from airflow_pop3_gateway.hooks.outcome import told_to_airflow
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.hooks.smtp import GatewaySmtpHook
from airflow_pop3_gateway.hooks.store import base_path_in_force, open_store
from airflow_pop3_gateway.pop3 import Pop3Client


def poll_site(
    pop3_conn_id: str = Pop3Hook.default_conn_name,
    *,
    base_path: str | None = None,
    choose: Chooser | Sequence[ApplicationRule | Mapping[str, Any]] = proposed_application,
    applications: Iterable[Application] = (),
) -> dict[str, dict[str, Any]]:
    """Retrieve, classify and acknowledge; go on with ``transfers_of(poll_site("orders")["classified"])``.

    The arguments are those of the operators. A task that is tried again, or cleared, gets again what it got before.

    :returns: ``retrieved``, ``classified`` and ``acknowledged``, each as its operator returns it.
    :raises AirflowFailException: for an error that another attempt cannot mend.
    :raises GatewayError: for one that may pass; the next attempt goes on where this one stopped.
    """
    with told_to_airflow():
        site, place = Pop3Hook(pop3_conn_id).site, base_path_in_force(base_path)
        store = open_store(place)
        chooser = choose if callable(choose) else Rules.of(choose)
        named = {application.name: application for application in applications}
        retrieved = gateway.poll(site, store, Pop3Client.connect)
        batches = got(f"{site.name} {place}", retrieved.batches)
        classified = gateway.classify(site, store, batches, choose=chooser, applications=named)
        with GatewaySmtpHook(site.smtp_conn_id) as relay:
            acknowledged = gateway.acknowledge(site, store, relay.send_raw)
    common = {"pop3_conn_id": pop3_conn_id, "base_path": place}
    return {
        "retrieved": {**retrieved.to_json(), **common},
        "classified": {**classified.to_json(), **common},
        "acknowledged": {**acknowledged.to_json(), **common},
    }
