"""Classify as a task: stored mails become transfer records and files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import XComArg

from airflow_pop3_gateway import gateway
from airflow_pop3_gateway.assets import APPLICATIONS, application
from airflow_pop3_gateway.config import Application, RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway.applications import ApplicationRule, Chooser, Rules, proposed_application
from airflow_pop3_gateway.hooks.arguments import refuse_unless
from airflow_pop3_gateway.hooks.attempts import got
from airflow_pop3_gateway.hooks.progress import octets_text
from airflow_pop3_gateway.operators.site import SiteOperator
from airflow_pop3_gateway.records import Classified
from airflow_pop3_gateway.store import Store, layout
from airflow_pop3_gateway.store.ledger import waiting_batches

if TYPE_CHECKING:
    from airflow.sdk import Context


class ClassifyOperator(SiteOperator):
    """Decides for each stored mail what it is, extracts its files and writes one record for it.

    Run it again after any failure: nothing is extracted twice. Returns counts by TYPE and Application and where the
    lines lie (:class:`~airflow_pop3_gateway.records.Classified`), with ``pop3_conn_id`` and ``base_path``; go on from
    there with :func:`airflow_pop3_gateway.hooks.store.transfers_of`. Each Application that got something has an event
    on its asset (:func:`airflow_pop3_gateway.assets.application`): counts, and where the lines lie.

    :param retrieved: output of a :class:`RetrieveOperator` (templated, mappable); its site, base path and batches are
        used. Without it: ``pop3_conn_id``, and every batch of the site that waits.
    :param applications: Applications that have options of their own.
    :param choose: names the Application of a mail: rows (:class:`~airflow_pop3_gateway.operators.ApplicationRule`,
        or dictionaries with its fields) of which the first that fits decides, or a callable that takes a
        :class:`~airflow_pop3_gateway.operators.Choice` and returns a name, ``None`` for the proposed one, or raises
        :class:`~airflow_pop3_gateway.errors.MailRefused`.
    """

    template_fields: Sequence[str] = (*SiteOperator.template_fields, "retrieved")
    template_fields_renderers = {"retrieved": "json"}
    reference_field = "retrieved"

    def __init__(
        self,
        *,
        retrieved: Mapping[str, Any] | XComArg | None = None,
        applications: Iterable[Application] = (),
        choose: Chooser | Sequence[ApplicationRule | Mapping[str, Any]] = proposed_application,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.outlets.append(APPLICATIONS)
        self.retrieved = retrieved
        self.applications = tuple(applications)
        refuse_unless(self, "retrieved", retrieved, Mapping, "the output of the task before")
        try:
            self.choose: Chooser = choose if callable(choose) else Rules.of(choose)
        except ConfigurationError as error:
            raise ConfigurationError(f"Task {self.task_id!r}: choose: {error}", field="choose") from None
        if not all(isinstance(application, Application) for application in self.applications):
            raise ConfigurationError(
                f"Task {self.task_id!r}: applications must be Application(…) values.", field="applications"
            )

    def execute(self, context: Context) -> dict[str, Any]:
        """Classify, and tell the assets of the Applications that got something."""
        reference = super().execute(context)
        ring = context["outlet_events"][APPLICATIONS].add
        common = {name: reference[name] for name in ("site", "base_path", "batches", "transfers")}
        for name, counts in reference["by_application"].items():
            ring(application(name), extra={**common, **counts})
        return reference

    def datasets(self, reference: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """From the spool into the folders of the Applications."""
        spooled = [layout.spool(reference["site"], batch) for batch in reference["batches"]]
        stored = [layout.files(name) for name, got in reference["by_application"].items() if got["files"]]
        return spooled, [*stored, *reference["transfers"]]

    def work(self, site: RemoteSite, store: Store) -> Classified:
        """Classify the batches of the reference, or all that wait."""
        reference = self.reference()
        batches = None if reference is None else reference.get("batches")
        if batches is None:
            batches = got(f"{site.name} {self.place()[1]}", waiting_batches(store, site.name))
        result = gateway.classify(
            site,
            store,
            batches,
            choose=self.choose,
            applications={application.name: application for application in self.applications},
            on_progress=self.progress(f"{site.name}: classifying"),
        )
        self.log.info(
            "%s: %d messages (%s), %s, %d files in %.1f s; %d recovered, %d duplicates, %d canceled, "
            "%d acknowledgments wait",
            site.name,
            result.messages,
            ", ".join(f"{count} {kind}" for kind, count in sorted(result.types.items())) or "none",
            octets_text(result.octets),
            result.files,
            result.seconds,
            result.recovered,
            result.duplicates,
            result.canceled,
            result.receipts,
        )
        return result
