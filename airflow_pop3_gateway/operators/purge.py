"""Purge as a task: raw mails that are classified and old leave the spool."""

from __future__ import annotations

from typing import Any

from airflow_pop3_gateway import gateway
from airflow_pop3_gateway.config import RemoteSite, at_least
from airflow_pop3_gateway.operators.site import SiteOperator
from airflow_pop3_gateway.records import Purged
from airflow_pop3_gateway.store import Store


class PurgeOperator(SiteOperator):
    """Removes raw mails from the spool once they are classified and old; records and files stay.

    Returns counts (:class:`~airflow_pop3_gateway.records.Purged`), with ``pop3_conn_id`` and ``base_path``.

    :param days: age in days since the session that brought them; until then a mail can be classified again.
    """

    def __init__(self, *, days: float = 30, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.days = days
        at_least("days", days, 0)

    def work(self, site: RemoteSite, store: Store) -> Purged:
        """Clear the spool of the site."""
        result = gateway.purge(site, store, days=self.days)
        self.log.info(
            "%s: %d batches removed, %d old ones stay because they are not classified",
            site.name,
            result.batches,
            result.unfinished,
        )
        return result
