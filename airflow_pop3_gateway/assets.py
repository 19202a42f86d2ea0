"""The assets: a mailbox that rings when mail has come, and an Application that got files.

::

    schedule=[mailbox("orders")]                                 a run when there is mail to fetch
    schedule=[application("INVOICES")]                           a run when something for INVOICES was stored
    schedule=PartitionedAssetTimetable(assets=each("INVOICES"))  a run for each of its records

Strategy: an asset is made by calling a function here, wherever it is needed: as schedule, inlet or outlet. All calls
make the same asset, with the same watcher, so that no DAG file takes away what another one brought.

Invariant: nothing depends on an event. A mailbox's asset is never an outlet of our tasks: a run would start itself.
"""

from __future__ import annotations

from airflow.sdk import Asset, AssetAlias, AssetWatcher

from airflow_pop3_gateway.config import Application
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.triggers import Pop3MailboxTrigger
from airflow_pop3_gateway.uris import EACH, MAILBOX_ASSET, application_uri, mailbox_uri

APPLICATIONS = AssetAlias("pop3-applications")
"""Through it a :class:`~airflow_pop3_gateway.operators.ClassifyOperator` tells the Applications that got something."""


def mailbox(pop3_conn_id: str, *, base_path: str | None = None) -> Asset:
    """A mailbox, watched while an active DAG is scheduled on it.

    An event says how many mails the ledger does not know; the DAG fetches them, whatever rang. How often is looked is
    the connection's ``poll_interval``.

    :param pop3_conn_id: Airflow connection of type ``pop3``.
    :param base_path: where its ledger lies, the same wherever this mailbox is named; default:
        ``[pop3_gateway] base_path``.
    :raises ConfigurationError: when the id is no text, or empty.
    """
    if not isinstance(pop3_conn_id, str) or not pop3_conn_id.strip():
        raise ConfigurationError(
            f"mailbox({pop3_conn_id!r}): give the id of a connection of type pop3.", field="pop3_conn_id"
        )
    name = f"{MAILBOX_ASSET}{pop3_conn_id}"
    watcher = AssetWatcher(name=name, trigger=Pop3MailboxTrigger(pop3_conn_id, base_path))
    return Asset(name=name, uri=mailbox_uri(pop3_conn_id), watchers=[watcher])


def application(name: str) -> Asset:
    """An Application; an event says that a run stored something for it: counts, and where the lines lie.

    :raises ConfigurationError: when this is no name of an Application.
    """
    Application(name)
    return Asset(name=f"pop3-application-{name}", uri=application_uri(name))


def each(name: str) -> Asset:
    """The records of an Application one by one, for ``PartitionedAssetTimetable``; each event's partition is a record.

    :raises ConfigurationError: when this is no name of an Application.
    """
    Application(name)
    return Asset(name=f"pop3-application-{name}-each", uri=application_uri(name, EACH))
