"""Links from a task in the UI to what it brought.

Invariant: every operator and sensor of this package has one; a task that works on a site says which as ``page_site``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from airflow_pop3_gateway.hooks.page import page_address

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey


class TransfersLink(BaseOperatorLink):
    """Leads to the last transfers of the task's site, and from there to each record; without a site to the page."""

    name = "Transfers"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """The page with the site open; called on the worker when the task has ended."""
        return page_address(getattr(operator, "page_site", ""))
