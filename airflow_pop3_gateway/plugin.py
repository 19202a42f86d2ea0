"""What Airflow's UI gets from us, registered by the entry point ``airflow.plugins``: the page *POP3 Gateway*.

Strategy: every component of Airflow imports this, and only the API server serves it, so the application is built when
the first request comes.

Invariant: importing this opens nothing and imports no web framework.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from airflow.plugins_manager import AirflowPlugin

from airflow_pop3_gateway.hooks.page import PREFIX, page_address


class _Application:
    """The page's application, an ASGI callable that is built on first use."""

    def __init__(self) -> None:
        self._app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self._app is None:
            from airflow_pop3_gateway.ui.app import build

            self._app = build()
        await self._app(scope, receive, send)


class Pop3GatewayPlugin(AirflowPlugin):
    """The page: sites, their state, the last transfers."""

    name = "pop3_gateway"
    fastapi_apps = [{"app": _Application(), "url_prefix": PREFIX, "name": "POP3 Gateway"}]
    external_views = [
        {
            "name": "POP3 Gateway",
            "href": urlsplit(page_address()).path,
            "destination": "nav",
            "category": "browse",
            "url_route": "pop3_gateway",
        }
    ]
