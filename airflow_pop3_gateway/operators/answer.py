"""Answer as a task: mails whose receipt waits for the outcome of processing get it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import XComArg

from airflow_pop3_gateway import gateway
from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway.answers import OUTCOMES
from airflow_pop3_gateway.hooks.answers import by_whom, place_of
from airflow_pop3_gateway.hooks.arguments import refuse_unless
from airflow_pop3_gateway.hooks.store import base_path_in_force
from airflow_pop3_gateway.operators.site import SiteOperator
from airflow_pop3_gateway.records import Outcome
from airflow_pop3_gateway.records.asked import Answered
from airflow_pop3_gateway.store import Store

if TYPE_CHECKING:
    from airflow.sdk import Context

_FAILED = {"failed", "upstream_failed"}


class AnswerOperator(SiteOperator):
    """Says what became of mails; their receipts wait in the outbox then, for an :class:`AcknowledgeOperator`.

    For connections with ``acknowledge_after=processed``. The first answer to a mail stays; another one is reported
    (``contradicted``) and not sent. Mails that asked for no receipt are passed over, and those a person must decide
    (``held``). Returns :class:`~airflow_pop3_gateway.records.asked.Answered` with ``pop3_conn_id`` and ``base_path``.

    :param classified: output of a :class:`ClassifyOperator` (templated, mappable): the mails of its batches.
    :param transfer: one mail, as :func:`~airflow_pop3_gateway.hooks.store.transfers_of` gives it (templated, mappable).
        With neither: every mail of ``pop3_conn_id`` that waits.
    :param application: only mails of this Application (templated).
    :param outcome: what the receipts say (templated): ``processed``, ``warning``, ``displayed``, ``dispatched``,
        ``failed``, ``deleted``, or ``none`` for no receipt.
    :param processed_by: instead of an outcome: tasks of this run; ``failed`` when one of them failed, ``processed``
        when all succeeded, no answer otherwise. Give this task ``trigger_rule="all_done"``. In a mapped task, of a
        mapped task the one with the same index counts.
    :param text: for the sender to read (templated); with ``processed_by`` only when it failed.
    """

    template_fields: Sequence[str] = (
        *SiteOperator.template_fields,
        "classified",
        "transfer",
        "application",
        "outcome",
        "text",
    )
    template_fields_renderers = {"classified": "json", "transfer": "json"}
    reference_field = "classified"

    def __init__(
        self,
        *,
        classified: Mapping[str, Any] | XComArg | None = None,
        transfer: Mapping[str, Any] | XComArg | None = None,
        application: str | XComArg | None = None,
        outcome: str | XComArg | None = None,
        processed_by: Iterable[str] = (),
        text: str | XComArg = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.classified = classified
        self.transfer = transfer
        self.application = application
        self.outcome = outcome
        self.processed_by = [processed_by] if isinstance(processed_by, str) else list(processed_by)
        self.text = text
        self._by = ""
        refuse_unless(self, "classified", classified, Mapping, "the output of the task before")
        refuse_unless(self, "transfer", transfer, Mapping, "one line of transfers_of")
        refuse_unless(self, "application", application, str, "a name")
        refuse_unless(self, "outcome", outcome, str, f"one of {', '.join(OUTCOMES)}")
        refuse_unless(self, "text", text, str, "text")
        if classified is not None and transfer is not None:
            raise ConfigurationError(
                f"Task {self.task_id!r}: give classified or transfer, not both.", field="transfer"
            )
        if (outcome is None) == (not self.processed_by):
            raise ConfigurationError(
                f"Task {self.task_id!r}: give an outcome, or the tasks whose states say it (processed_by).",
                field="outcome",
            )

    def execute(self, context: Context) -> dict[str, Any]:
        """Find out the outcome and answer."""
        self._by = by_whom(context)
        if self.outcome is None:
            self.outcome = outcome_of(states_of(context, self.processed_by))
        return super().execute(context)

    def place(self) -> tuple[str, str]:
        """Of the transfer, where there is one."""
        if self.transfer is None:
            return super().place()
        conn_id, _, place = place_of(self.transfer)
        return conn_id, base_path_in_force(self.base_path or place)

    def work(self, site: RemoteSite, store: Store) -> Answered:
        """Answer the mails that are meant."""
        if not self.outcome:
            self.log.info("%s: the tasks neither failed nor all succeeded: nothing is answered", site.name)
            return Answered(site.name, "none")
        outcome = cast("Outcome", str(self.outcome))
        text = "" if self.processed_by and outcome == "processed" else str(self.text)
        reference = self.reference()
        result = gateway.answer(
            site,
            store,
            outcome,
            text,
            local_idents=None if self.transfer is None else [place_of(self.transfer)[1]],
            batches=None if reference is None else reference.get("batches"),
            application=None if self.application is None else str(self.application),
            by=self._by,
        )
        self.log.info(
            "%s: %s: %d answered, %d had the same answer, %d another one that stays, %d need a person",
            site.name,
            outcome,
            result.answered,
            result.again,
            len(result.contradicted),
            len(result.held),
        )
        return result


def states_of(context: Any, task_ids: Sequence[str]) -> list[str | None]:
    """The states of tasks in this run; of a mapped task the one with our index, where we have one."""
    instance = context["ti"]
    found = instance.get_task_states(
        dag_id=instance.dag_id, task_ids=list(task_ids), run_ids=[instance.run_id]
    )
    states: Mapping[str, str | None] = found.get(instance.run_id, {})
    ours: list[str | None] = []
    for task_id in task_ids:
        mapped = f"{task_id}_{instance.map_index}"
        if task_id in states or mapped in states:
            ours.append(states.get(task_id, states.get(mapped)))
        else:
            beginning = f"{task_id}_"
            ours += [
                state
                for name, state in states.items()
                if name.startswith(beginning) and name.removeprefix(beginning).isdigit()
            ]
    return ours


def outcome_of(states: Sequence[str | None]) -> str:
    """``failed`` when one failed, ``processed`` when all succeeded, ``""`` when that is not known."""
    if _FAILED & set(states):
        return "failed"
    return "processed" if states and set(states) == {"success"} else ""
