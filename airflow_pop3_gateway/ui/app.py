"""The page's application: what sites there are, how they stand, what came last; suspend, resume, read a record.

Strategy: answers come from the storage layout, which every worker writes, and from the connections; nothing is kept
here. Whoever may look at jobs may read; whoever may change a connection may suspend its polling. The page itself asks
Airflow's public API for what is Airflow's.

Invariant: nothing is readable without a login; a request that changes something is a POST of JSON, which no other
site's page can send with a person's cookie; what a partner wrote leaves here as JSON and never as HTML.
"""

# No "from __future__ import annotations": FastAPI reads annotations, and a dependency it cannot resolve as text would
# silently become a query parameter that nobody checks.

import importlib.resources
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import cache, partial
from itertools import islice
from typing import Annotated, Any

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_connection, requires_access_view
from airflow.models.connection import Connection
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import select

from airflow_pop3_gateway.errors import GatewayError, StoreCorrupt
from airflow_pop3_gateway.gateway import resume, status, suspend
from airflow_pop3_gateway.gateway.retrieve import utc_now
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.hooks.store import base_path_in_force, open_store
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.store.transfers import latest_lines, read_record

LONGEST_LOOK = timedelta(days=30)
"""How far back the last transfers are looked for: a folder a day is listed."""
_FILES = {
    "": ("page.html", "text/html"),
    "page.js": ("page.js", "text/javascript"),
    "page.css": ("page.css", "text/css"),
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Suspend(BaseModel):
    """Why a site is suspended."""

    reason: str = Field(default="", max_length=500)


class Nothing(BaseModel):
    """A body that must be JSON all the same."""


def build() -> FastAPI:
    """The application, to be mounted below Airflow's own."""
    app = FastAPI(
        title="POP3 Gateway",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        dependencies=[Depends(requires_access_view(AccessView.JOBS))],
    )
    changes = [Depends(_only_json), Depends(requires_access_connection("PUT"))]
    app.add_api_route("/api/sites", sites)
    app.add_api_route("/api/sites/{connection_id}/transfers", transfers)
    app.add_api_route(
        "/api/sites/{connection_id}/suspend", suspend_site, methods=["POST"], dependencies=changes
    )
    app.add_api_route(
        "/api/sites/{connection_id}/resume", resume_site, methods=["POST"], dependencies=changes
    )
    app.add_api_route("/api/records/{key}", record)
    for name in _FILES:
        app.add_api_route(f"/{name}", partial(_file, name))
    app.add_exception_handler(GatewayError, _told)
    return app


def sites(session: SessionDep) -> list[dict[str, Any]]:
    """How every site stands: those with a connection of type ``pop3``, and those the store has a ledger of."""
    store = _store()
    known = session.scalars(select(Connection.conn_id).where(Connection.conn_type == "pop3"))
    stored = (name.removesuffix(".json") for name in store.names("ledger"))
    names = {str(name) for name in known} | {name for name in stored if not name.startswith("%")}
    return [_standing(store, name) for name in sorted(names)]


def transfers(connection_id: str, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> list[dict[str, Any]]:
    """The last transfers of a site, newest first, as the lines of ``transfers/``."""
    return list(islice(latest_lines(_store(), connection_id, _days()), limit))


def record(key: str) -> dict[str, Any]:
    """One transfer record, whole."""
    if len(key) != 40 or not key.isalnum():
        raise HTTPException(404)
    try:
        return read_record(_store(), key).to_json()
    except StoreCorrupt:
        raise HTTPException(404) from None


def suspend_site(connection_id: str, wish: Suspend, user: GetUserDep) -> dict[str, Any]:
    """Suspend the polling of a site."""
    store = _store()
    suspend(connection_id, store, utc_now(), by=user.get_name(), reason=wish.reason)
    return _standing(store, connection_id)


def resume_site(connection_id: str, wish: Nothing) -> dict[str, Any]:
    """Poll a site again."""
    store = _store()
    resume(connection_id, store)
    return _standing(store, connection_id)


def _store() -> Store:
    return _opened(base_path_in_force())


@cache
def _opened(base_path: str) -> Store:
    """Opening a store tries it out with a write; once is enough."""
    return open_store(base_path)


def _standing(store: Store, name: str) -> dict[str, Any]:
    try:
        return status(Pop3Hook(name).site, store, utc_now()).to_json()
    except GatewayError as error:
        return {"site": name, "error": f"{type(error).__name__}: {error}"}


def _days() -> Iterator[datetime]:
    today = datetime.now(timezone.utc)
    for back in range(LONGEST_LOOK.days + 1):
        yield today - timedelta(days=back)


def _file(name: str) -> Response:
    file, content_type = _FILES[name]
    data = importlib.resources.files(__package__).joinpath(file).read_bytes()
    return Response(data, media_type=content_type, headers=_HEADERS)


def _only_json(request: Request) -> None:
    """A form or plain text could come from another site's page; JSON could not (the browser would ask first)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send JSON")


def _told(request: Request, error: Exception) -> Response:
    return JSONResponse({"detail": f"{type(error).__name__}: {error}"}, status_code=503)
