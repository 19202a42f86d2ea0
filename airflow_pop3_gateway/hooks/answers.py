"""Answers to requests for receipts, for a task of one's own.

Strategy: a transfer, as :func:`~airflow_pop3_gateway.hooks.store.transfers_of` gives it, names its site and its place,
so that nothing else is needed.

Invariant: an answer says by which task it was given; what only a person may answer stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.sdk import get_current_context

from airflow_pop3_gateway import gateway
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.hooks.outcome import told_to_airflow
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.hooks.store import base_path_in_force, open_store
from airflow_pop3_gateway.records import Outcome


def answer_transfer(
    transfer: Mapping[str, Any], outcome: Outcome, text: str = "", *, base_path: str | None = None
) -> dict[str, Any]:
    """Say what became of a mail; the receipt waits in the outbox then. Harmless for a mail that asked for none.

    The first answer stays: call it when the outcome is certain, not in a task that is tried again.

    :param transfer: as :func:`~airflow_pop3_gateway.hooks.store.transfers_of` gives it.
    :param outcome: ``processed``, ``warning``, ``displayed``, ``dispatched``, ``failed``, ``deleted`` or ``none``.
    :param text: for the sender to read.
    :param base_path: where the record lies; default: as the transfer says, else ``[pop3_gateway] base_path``.
    :returns: :class:`~airflow_pop3_gateway.records.asked.Answered` as JSON.
    :raises AirflowFailException: for an outcome that is none, or a transfer that is none.
    """
    with told_to_airflow():
        conn_id, local_ident, place = place_of(transfer)
        result = gateway.answer(
            Pop3Hook(conn_id).site,
            open_store(base_path_in_force(base_path or place)),
            outcome,
            text,
            local_idents=[local_ident],
            by=by_whom(get_current_context()),
        )
    return result.to_json()


def place_of(transfer: Any) -> tuple[str, str, str | None]:
    """The connection, the local ident and the base path of a transfer.

    :raises ConfigurationError: when it is no transfer.
    """
    if not isinstance(transfer, Mapping) or not {"originator", "local_ident"} <= transfer.keys():
        raise ConfigurationError(
            f"transfer is not what transfers_of gives: {transfer!r:.200}", field="transfer"
        )
    return str(transfer["originator"]), str(transfer["local_ident"]), transfer.get("base_path")


def by_whom(context: Any) -> str:
    """The task that answers."""
    instance = context["ti"]
    return f"{instance.dag_id}/{instance.run_id}/{instance.task_id}"
