"""What the operators have in common: they work on one site and one base path, and hand on a reference.

Strategy: a reference is the result of a use case as JSON with ``pop3_conn_id`` and ``base_path`` added, so that a task
that gets one needs nothing else; the same keys name the operators' arguments.

Invariant: nothing is read or connected before ``execute``; wrong arguments are refused when the DAG is parsed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, XComArg

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.hooks.arguments import A_BASE_PATH, A_MAILBOX, refuse_unless
from airflow_pop3_gateway.hooks.lineage import operator_lineage
from airflow_pop3_gateway.hooks.links import COLOUR, TransfersLink
from airflow_pop3_gateway.hooks.outcome import told_to_airflow
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.hooks.progress import ProgressLog
from airflow_pop3_gateway.hooks.store import base_path_in_force, open_store
from airflow_pop3_gateway.records import Jsonable
from airflow_pop3_gateway.store import Store

if TYPE_CHECKING:
    from airflow.sdk import Context


class SiteOperator(BaseOperator):
    """Works on one site. Subclasses say what in :meth:`work`.

    :param pop3_conn_id: Airflow connection of type ``pop3`` (templated).
    :param base_path: where everything durable lies (templated); default: ``[pop3_gateway] base_path``.
    """

    template_fields: Sequence[str] = ("pop3_conn_id", "base_path")
    ui_color = COLOUR
    operator_extra_links = (TransfersLink(),)
    reference_field: ClassVar[str | None] = None
    """The argument that takes the reference of the task before, where there is one."""

    def __init__(
        self,
        *,
        pop3_conn_id: str | XComArg | None = None,
        base_path: str | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pop3_conn_id = pop3_conn_id
        self.base_path = base_path
        self._state: Any = None
        self._reference: Mapping[str, Any] | None = None
        refuse_unless(self, "pop3_conn_id", pop3_conn_id, str, A_MAILBOX)
        refuse_unless(self, "base_path", base_path, str, A_BASE_PATH)

    def execute(self, context: Context) -> dict[str, Any]:
        """Run :meth:`work`; an error that another attempt cannot mend fails the task at once."""
        self._state = context.get("task_state_store")
        with told_to_airflow():
            conn_id, base_path = self.place()
            result = self.work(Pop3Hook(conn_id).site, open_store(base_path))
        reference = {**result.to_json(), "pop3_conn_id": conn_id, "base_path": base_path}
        self._reference = reference
        return reference

    @property
    def page_site(self) -> str:
        """The site the task works on."""
        return self.place()[0]

    def progress(self, what: str) -> ProgressLog:
        """Where :meth:`work` tells how far it is."""
        return ProgressLog(self.log, what, state=self._state)

    def datasets(self, reference: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """What was read and what was written, as URIs of assets and keys below the base path, for lineage."""
        return [], []

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> Any:
        """Asked by the OpenLineage provider where it is installed, when the task is done."""
        reference = self._reference
        read, written = self.datasets(reference) if reference else ([], [])
        return operator_lineage(read, written, str(reference["base_path"]) if reference else "")

    def work(self, site: RemoteSite, store: Store) -> Jsonable:
        """The one call down."""
        raise NotImplementedError

    def reference(self) -> Mapping[str, Any] | None:
        """What the task before returned.

        :raises ConfigurationError: when it is something else, or of another place than the arguments say.
        """
        name = self.reference_field
        value = getattr(self, name) if name else None
        if value is None:
            return None
        if not isinstance(value, Mapping) or not {"pop3_conn_id", "base_path"} <= value.keys():
            raise ConfigurationError(
                f"{name} is not what a task of this package returned: {value!r:.200}", field=str(name)
            )
        for place in ("pop3_conn_id", "base_path"):
            if getattr(self, place) not in (None, value[place]):
                raise ConfigurationError(
                    f"{name} is of {place} {value[place]!r}, the task's argument says {getattr(self, place)!r}; leave "
                    "the argument out.",
                    field=place,
                )
        return value

    def place(self) -> tuple[str, str]:
        """The connection's id and the base path, of the reference or of the arguments."""
        if (reference := self.reference()) is not None:
            return str(reference["pop3_conn_id"]), str(reference["base_path"])
        return str(self.pop3_conn_id or Pop3Hook.default_conn_name), base_path_in_force(self.base_path)
