"""Retrieve as a task: one session empties a maildrop into the spool."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_pop3_gateway import gateway
from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.hooks.progress import octets_text
from airflow_pop3_gateway.operators.site import SiteOperator
from airflow_pop3_gateway.pop3 import Pop3Client
from airflow_pop3_gateway.records import Retrieved
from airflow_pop3_gateway.store import Store, layout
from airflow_pop3_gateway.uris import mailbox_uri


class RetrieveOperator(SiteOperator):
    """Stores every new mail of a site durably, then deletes it from the server as the connection's ``retention`` says.

    Run it again after any failure: what was stored is not fetched twice. A site that is suspended or outside its
    polling windows is left alone; what it brought before still goes on. Returns counts and the names of the batches
    that wait to be classified (:class:`~airflow_pop3_gateway.records.Retrieved`), with ``pop3_conn_id`` and
    ``base_path``.
    """

    def work(self, site: RemoteSite, store: Store) -> Retrieved:
        """One session with the site's server."""
        progress = self.progress(f"{site.name}: retrieving")
        result = gateway.poll(site, store, Pop3Client.connect, on_progress=progress)
        if result.held:
            self.log.warning("%s: no session, the site is %s", site.name, result.held)
            return result
        self.log.info(
            "%s: %d messages, %s stored in %.1f s; %d deleted on the server, %d kept, %d known before",
            site.name,
            result.messages,
            octets_text(result.octets),
            result.seconds,
            result.deleted,
            result.kept,
            result.known,
        )
        if result.refused or result.too_large:
            self.log.warning(
                "%s: %d messages could not be had, %d are larger than max_message_bytes; they stay on the server",
                site.name,
                result.refused,
                result.too_large,
            )
        if result.interrupted:
            self.log.warning(
                "%s: the session ended early, the next one goes on: %s", site.name, result.interrupted
            )
        return result

    def datasets(self, reference: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """From the mailbox into the spool."""
        batch = reference["batch"]
        return [mailbox_uri(reference["site"])], [layout.spool(reference["site"], batch)] if batch else []
