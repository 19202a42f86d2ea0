"""Waits for the acknowledgment of a transfer as a task: deferred to the triggerer, or on the worker.

Invariant: nothing is asked but the store, one that fails only postpones the next look. A negative acknowledgment and
one that is overdue fail the task at once, each by an error of its own; another attempt would not change either.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue, XComArg
from airflow.sdk.exceptions import AirflowFailException

from airflow_pop3_gateway.errors import StoreUnavailable
from airflow_pop3_gateway.gateway.clock import utc_now
from airflow_pop3_gateway.gateway.track import Tracked, closed, tracked
from airflow_pop3_gateway.hooks.arguments import A_BASE_PATH, refuse_unless
from airflow_pop3_gateway.hooks.links import COLOUR, TransfersLink
from airflow_pop3_gateway.hooks.outcome import softly, told_to_airflow
from airflow_pop3_gateway.hooks.store import open_store
from airflow_pop3_gateway.hooks.track import place_of, reference
from airflow_pop3_gateway.triggers import AcknowledgmentTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class AcknowledgmentSensor(BaseSensorOperator):
    """Succeeds when a transfer is acknowledged: every recipient has sent a positive receipt.

    Another DAG must poll the mailbox the receipts come back to. The task fails with ``NotAcknowledged`` when somebody
    said no, and with ``AcknowledgmentOverdue`` when the deadline of the transfer (``ack_within``) has passed. Returns
    :class:`~airflow_pop3_gateway.gateway.track.Tracked` with ``base_path``. Every argument of Airflow's sensors holds.

    :param sent: output of a ``SendTransferOperator``, or the key of a transfer (templated).
    :param base_path: where it lies (templated); default: as ``sent`` says, else ``[pop3_gateway] base_path``.
    :param deferrable: wait in the triggerer instead of on a worker.
    """

    template_fields: Sequence[str] = ("sent", "base_path")
    ui_color = COLOUR
    operator_extra_links = (TransfersLink(),)

    def __init__(
        self,
        *,
        sent: Mapping[str, Any] | str | XComArg,
        base_path: str | XComArg | None = None,
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sent = sent
        self.base_path = base_path
        self.deferrable = deferrable
        refuse_unless(self, "sent", sent, (str, Mapping), "the output of the task that sent it, or a key")
        refuse_unless(self, "base_path", base_path, str, A_BASE_PATH)

    def execute(self, context: Context) -> Any:
        """Look; while it waits, defer, or poke again as Airflow's sensors do."""
        if not self.deferrable:
            return super().execute(context)
        with softly(self):
            found = self._looked()
        if found is None:
            key, place = self._place()
            self.defer(
                trigger=AcknowledgmentTrigger(key=key, base_path=place, poke_interval=self.poke_interval),
                method_name=self.execute_complete.__name__,
                timeout=min(timedelta(seconds=self.timeout), self.execution_timeout or timedelta.max),
            )
        return found

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any] | None:
        """The triggerer saw how it ended."""
        with softly(self):
            if "error" in event:
                raise AirflowFailException(f"{event['error']}: {event['message']}")
            return self._judged(Tracked.from_json(event["tracked"]))

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once. :raises AirflowFailException: when it ended badly, or there is no such transfer."""
        found = self._looked()
        return False if found is None else PokeReturnValue(True, found)

    def _looked(self) -> dict[str, Any] | None:
        """One look; a store that fails only postpones the next one."""
        with told_to_airflow():
            key, place = self._place()
            try:
                found = tracked(open_store(place), key, utc_now())
            except StoreUnavailable as error:
                self.log.warning("%s: %s", key, error)
                return None
        return self._judged(found)

    def _place(self) -> tuple[str, str]:
        return place_of(self.sent, self.base_path)

    def _judged(self, found: Tracked) -> dict[str, Any] | None:
        """What the task returns, ``None`` while the transfer waits."""
        with told_to_airflow():
            return reference(found, self._place()[1]) if closed(found) else None
