"""A record that was handed on, in the DAG run that processes it.

Invariant: the owner of a record is the DAG run: a task that is tried again goes on, a second run for the same record
skips.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowSkipException

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway.handover import processing
from airflow_pop3_gateway.hooks.outcome import told_to_airflow
from airflow_pop3_gateway.hooks.store import base_path_in_force, open_store, with_urls


@contextlib.contextmanager
def handed_on(*, base_path: str | None = None, consumer: str = "") -> Iterator[dict[str, Any]]:
    """The record of this run, for a task of a DAG that is scheduled on ``each(…)``.

    The record is this run's while the block is open, and done when the block ends without an error.

    :param base_path: where the record lies; default: as the event says, else ``[pop3_gateway] base_path``.
    :param consumer: who processes it; default: as the event says, else the record's Application.
    :returns: the transfer record as :func:`~airflow_pop3_gateway.hooks.store.transfers_of` gives it, each file with its
        ``url``.
    :raises AirflowSkipException: another run has it, or is done with it.
    """
    context = get_current_context()
    run = context["dag_run"]
    key = run.partition_key
    with told_to_airflow():
        if not key:
            raise ConfigurationError(
                "this run has no partition key; schedule its DAG on PartitionedAssetTimetable(assets=each(…)).",
                field="partition_key",
            )
        said = _said(context)
        place = base_path_in_force(base_path or said.get("base_path"))
        store = open_store(place)
        with processing(
            store, key, f"{run.dag_id}/{run.run_id}", consumer=consumer or said.get("consumer", "")
        ) as record:
            if record is None:
                raise AirflowSkipException(f"Another run has record {key}, or is done with it.")
            yield with_urls(record.summary(), place)


def _said(context: Any) -> dict[str, Any]:
    """What the last event that started this run carries."""
    events = [event for asset in context["triggering_asset_events"].values() for event in asset]
    return dict(events[-1].extra) if events else {}
