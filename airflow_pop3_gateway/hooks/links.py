"""How our tasks look in the UI: their colour, and the link to what they brought.

Invariant: every operator and sensor of this package has both; a task that works on a site says which as ``page_site``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from airflow_pop3_gateway.hooks.page import page_address

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey


COLOUR = "#e8f1fa"


class TransfersLink(BaseOperatorLink):
    """Leads to the last transfers of the task's site, and from there to each record; without a site to the page."""

    name = "Transfers"

    def get_link(self, operator: Any, *, ti_key: TaskInstanceKey) -> str:
        """The page with the site open; called on the worker when the task has ended."""
        return page_address(getattr(operator, "page_site", ""))
