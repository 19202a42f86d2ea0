"""Hand on as a task: one DAG run for each record of an Application, none forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, XComArg
from airflow.sdk.exceptions import AirflowSkipException

from airflow_pop3_gateway.assets import each
from airflow_pop3_gateway.config import at_least
from airflow_pop3_gateway.gateway.handover import hand_on
from airflow_pop3_gateway.hooks.arguments import A_BASE_PATH, refuse_unless
from airflow_pop3_gateway.hooks.links import COLOUR, TransfersLink
from airflow_pop3_gateway.hooks.outcome import told_to_airflow
from airflow_pop3_gateway.hooks.store import base_path_in_force, open_store

if TYPE_CHECKING:
    from airflow.sdk import Context


class HandOnOperator(BaseOperator):
    """Starts a run for each record of an Application that waits to be processed, whoever stored it and whenever.

    The runs are those of DAGs that are scheduled on ``PartitionedAssetTimetable(assets=each(application))``; each takes
    its record with :func:`airflow_pop3_gateway.hooks.handover.handed_on`, which also marks it as done. A record whose
    run never came is handed on again, so no lost event loses a file. Returns
    :class:`~airflow_pop3_gateway.records.HandedOn` with ``base_path``; skipped when nothing waits.

    :param application: the Application.
    :param consumer: who processes, where several do it independently; default: the Application (templated).
    :param base_path: where everything durable lies (templated); default: ``[pop3_gateway] base_path``.
    :param days: how far back to look.
    :param again_after: seconds until a record that was handed on and not processed is handed on again.
    :param most: about so many records in one run of this task; the rest is the next run's.
    """

    template_fields: Sequence[str] = ("consumer", "base_path")
    ui_color = COLOUR
    operator_extra_links = (TransfersLink(),)

    def __init__(
        self,
        *,
        application: str,
        consumer: str | XComArg = "",
        base_path: str | XComArg | None = None,
        days: float = 7,
        again_after: float = 3600,
        most: int = 1000,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.application = application
        self.consumer = consumer
        self.base_path = base_path
        self.days = days
        self.again_after = again_after
        self.most = most
        refuse_unless(self, "consumer", consumer, str, "a name")
        refuse_unless(self, "base_path", base_path, str, A_BASE_PATH)
        at_least("days", days, 0)
        at_least("again_after", again_after, 0)
        at_least("most", most, 1)
        self.outlets.append(each(application))

    def execute(self, context: Context) -> dict[str, Any]:
        """Look for records that wait, and emit one partition for each.

        :raises AirflowSkipException: when none waits.
        """
        base_path = base_path_in_force(self.base_path)
        run = context["dag_run"]
        with told_to_airflow():
            found = hand_on(
                open_store(base_path),
                self.application,
                f"{run.dag_id}/{run.run_id}",
                consumer=str(self.consumer),
                days=self.days,
                again_after=self.again_after,
                most=self.most,
            )
        self.log.info(
            "%s: %d records handed on, %d were before and are not processed yet%s",
            found.consumer,
            len(found.keys),
            found.waiting,
            "; more wait for the next run" if found.more else "",
        )
        if not found.keys:
            raise AirflowSkipException(f"No record of {self.application} waits to be handed on.")
        event = context["outlet_events"][each(self.application)]
        event.extra = {"base_path": base_path, "consumer": found.consumer, "messages": len(found.keys)}
        event.add_partitions(list(found.keys))
        return {**found.to_json(), "base_path": base_path}
