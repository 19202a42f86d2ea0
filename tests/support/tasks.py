"""Tasks without a metadata database; imported by tests as ``support.tasks``.

A task runs under the real task runner of the Task SDK, with a supervisor that answers from memory.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import pytest
import structlog
import structlog.testing
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.api.datamodels._generated import DagRun, TIRunContext
from airflow.sdk.exceptions import ErrorType
from airflow.sdk.execution_time import comms, task_runner


class Supervisor:
    """What a task asks its supervisor; remembers what it pushed."""

    def __init__(self, kept: dict[str, Any]) -> None:
        self.pushed: dict[str, Any] = {}
        self.kept = kept

    def send(self, msg: Any) -> Any:
        """Answer one request."""
        if isinstance(msg, comms.GetConnection):
            detail = {"conn_id": msg.conn_id}
            return comms.ErrorResponse(error=ErrorType.CONNECTION_NOT_FOUND, detail=detail)
        if isinstance(msg, comms.ValidateInletsAndOutlets):
            return comms.InactiveAssetsResult(inactive_assets=[])
        if isinstance(msg, comms.SetXCom):
            self.pushed[msg.key] = msg.value
        if isinstance(msg, comms.SetTaskStateStore):
            self.kept[msg.key] = msg.value
        if isinstance(msg, comms.GetTaskStateStore):
            if msg.key in self.kept:
                return comms.TaskStateStoreResult(value=self.kept[msg.key])
            return comms.ErrorResponse(error=ErrorType.TASK_STORE_NOT_FOUND)
        return comms.OKResponse(ok=True)


@dataclass
class Outcome:
    """How a task ended.

    :ivar state: Airflow's word; :ivar value: what it returned; :ivar log: its lines; :ivar events: what it told the
        assets it writes; :ivar kept: what lies in its state.
    """

    state: str
    value: Any
    error: BaseException | None
    log: list[str] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)


@pytest.fixture
def run_task(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Runs one operator as one try of a task that has retries left; ``after`` is how the try before ended."""

    def run(
        task: BaseOperator,
        *,
        run_id: str = "manual",
        partition_key: str | None = None,
        after: Outcome | None = None,
    ) -> Outcome:
        if not task.has_dag():
            task.dag = DAG("mail", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=timezone.utc))
        now = datetime.now(timezone.utc)
        dag_run = DagRun.model_construct(
            dag_id="mail",
            run_id=run_id,
            logical_date=now,
            data_interval_start=None,
            data_interval_end=None,
            start_date=now,
            run_after=now,
            run_type="manual",
            state="running",
            conf={},
            clear_number=0,
            consumed_asset_events=[],
            partition_key=partition_key,
            partition_date=None,
            triggering_user_name=None,
            note=None,
        )
        instance = task_runner.RuntimeTaskInstance.model_construct(
            id=uuid.uuid4(),
            task_id=task.task_id,
            dag_id="mail",
            run_id=run_id,
            try_number=1,
            map_index=-1,
            dag_version_id=uuid.uuid4(),
            hostname="localhost",
            context_carrier={},
            task=task,
            max_tries=3,
            start_date=now,
            state="running",
            is_mapped=False,
            rendered_map_index=None,
            bundle_instance=None,
            pool_slots=1,
            queue="default",
            priority_weight=1,
            log_url=None,
            sentry_integration="",
            _ti_context_from_server=TIRunContext.model_construct(
                dag_run=dag_run,
                max_tries=3,
                variables=[],
                connections=[],
                xcom_keys_to_clear=[],
                task_reschedule_count=0,
                should_retry=True,
            ),
        )
        supervisor = Supervisor(after.kept if after else {})
        monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
        with structlog.testing.capture_logs() as entries:
            state, told, error = task_runner.run(
                instance, instance.get_template_context(), structlog.get_logger("task")
            )
        lines = [str(entry["event"]) % entry.get("positional_args", ()) for entry in entries]
        return Outcome(
            str(state.value),
            supervisor.pushed.get("return_value"),
            error,
            lines,
            list(getattr(told, "outlet_events", None) or ()),
            supervisor.kept,
        )

    return run
