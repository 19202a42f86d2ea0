"""Acknowledge as a task: receipts that wait in the outbox go out by SMTP, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import XComArg

from airflow_pop3_gateway import gateway
from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import AcknowledgmentError, RelayUnavailable
from airflow_pop3_gateway.hooks.arguments import refuse_unless
from airflow_pop3_gateway.hooks.smtp import GatewaySmtpHook
from airflow_pop3_gateway.operators.site import SiteOperator
from airflow_pop3_gateway.records import Acknowledged
from airflow_pop3_gateway.store import Store


class AcknowledgeOperator(SiteOperator):
    """Sends every receipt of a site that waits, those that earlier runs left too.

    A relay that says "later" fails the task so that Airflow tries again; what was sent stays sent. While nothing but
    receipts waits whose next attempt is not due, it fails at once, so that no run holds up the next one. Returns counts
    (:class:`~airflow_pop3_gateway.records.Acknowledged`), with ``pop3_conn_id`` and ``base_path``.

    :param classified: output of a :class:`ClassifyOperator` (templated, mappable). Without it: ``pop3_conn_id``.
    :param smtp_conn_id: Airflow connection of type ``smtp`` (templated); default: the one the site names.
    """

    template_fields: Sequence[str] = (*SiteOperator.template_fields, "classified", "smtp_conn_id")
    template_fields_renderers = {"classified": "json"}
    reference_field = "classified"

    def __init__(
        self,
        *,
        classified: Mapping[str, Any] | XComArg | None = None,
        smtp_conn_id: str | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.classified = classified
        self.smtp_conn_id = smtp_conn_id
        refuse_unless(self, "classified", classified, Mapping, "the output of the task before")
        refuse_unless(self, "smtp_conn_id", smtp_conn_id, str, "the id of a connection of type smtp")

    def work(self, site: RemoteSite, store: Store) -> Acknowledged:
        """Sweep the outbox of the site."""
        with GatewaySmtpHook(str(self.smtp_conn_id or site.smtp_conn_id)) as relay:
            result = gateway.acknowledge(site, store, relay.send_raw)
        self.log.info(
            "%s: %d acknowledgments sent, %d refused for good, %d wait for the relay, %d for the next hour",
            site.name,
            result.sent,
            result.refused,
            result.postponed + result.waiting,
            result.limited,
        )
        if result.postponed or result.waiting:
            kind = RelayUnavailable if result.postponed else AcknowledgmentError
            raise kind(
                f"{site.name}: {result.postponed + result.waiting} acknowledgments wait in the outbox until the relay "
                "takes them; each has in last_error what it said, and in next_attempt_at when it is asked again."
            )
        return result
