"""Overdue as a task: it fails as long as a transfer waits too long for its acknowledgment."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, XComArg

from airflow_pop3_gateway.errors import AcknowledgmentOverdue
from airflow_pop3_gateway.hooks.arguments import A_BASE_PATH, refuse_unless
from airflow_pop3_gateway.hooks.links import COLOUR, TransfersLink
from airflow_pop3_gateway.hooks.outcome import told_to_airflow
from airflow_pop3_gateway.hooks.store import base_path_in_force
from airflow_pop3_gateway.hooks.track import overdue_transfers

if TYPE_CHECKING:
    from airflow.sdk import Context

NAMED = 10
"""Transfers that are named in the error; the list has all."""


class OverdueOperator(BaseOperator):
    """Looks at every transfer that waits, whoever sent it, and fails when some are overdue.

    What is done then is Airflow's: ``on_failure_callback`` takes any notifier. It fails each time until the
    acknowledgment comes or a person says ``pop3-gateway sent dismiss``. The transfers are in its XCom ``overdue``.

    :param base_path: where everything durable lies (templated); default: ``[pop3_gateway] base_path``.
    """

    template_fields: Sequence[str] = ("base_path",)
    ui_color = COLOUR
    operator_extra_links = (TransfersLink(),)

    def __init__(self, *, base_path: str | XComArg | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.base_path = base_path
        refuse_unless(self, "base_path", base_path, str, A_BASE_PATH)

    def execute(self, context: Context) -> None:
        """Look. :raises AirflowFailException: its cause is ``AcknowledgmentOverdue``."""
        found = overdue_transfers(base_path_in_force(self.base_path))
        context["ti"].xcom_push("overdue", found)
        with told_to_airflow():
            if found:
                names = ", ".join(f"{one['xfer_ident']} ({one['subject']})" for one in found[:NAMED])
                raise AcknowledgmentOverdue(
                    f"{len(found)} transfers wait too long: {names}{' …' if found[NAMED:] else ''}",
                    keys=tuple(one["key"] for one in found),
                )
