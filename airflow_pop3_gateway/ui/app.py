"""The page's application: how sites stand, what waits for a person, what came last; suspend, resume, read a record.

Strategy: answers come from the storage layout, which every worker writes, from the connections, and from what watchers
noted in the state of their assets; nothing is kept here. Whoever may look at jobs may read; only whoever may read a
connection is told its server and login; whoever may change it may suspend its polling. The page itself asks Airflow's
public API for what is Airflow's.

Invariant: nothing is readable without a login; a request that changes something is a POST of JSON, which no other
site's page can send with a person's cookie; what a partner wrote leaves here as JSON and never as HTML; however much
lies in the store, an answer reads a bounded part of it and says which.
"""

# No "from __future__ import annotations": FastAPI reads annotations, and a dependency it cannot resolve as text would
# silently become a query parameter that nobody checks.

import importlib.resources
import json
from collections.abc import Callable, Iterator, Set
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from itertools import chain, islice
from typing import Annotated, Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.common.db.common import SessionDep
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_connection, requires_access_view
from airflow.models.asset import AssetModel
from airflow.models.asset_state_store import AssetStateStoreModel
from airflow.models.connection import Connection
from fastapi import Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from airflow_pop3_gateway.errors import ConfigurationError, GatewayError, StoreCorrupt
from airflow_pop3_gateway.gateway import resume, status, suspend
from airflow_pop3_gateway.gateway.clock import utc_now
from airflow_pop3_gateway.gateway.track import tracked, waiting
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.hooks.store import base_path_in_force, forget_store, kept_store
from airflow_pop3_gateway.store import Store, layout, sent
from airflow_pop3_gateway.store.dismissals import Dismissed
from airflow_pop3_gateway.store.transfers import latest_batches, read_record
from airflow_pop3_gateway.uris import MAILBOX_ASSET

LONGEST_LOOK = timedelta(days=30)
"""How far back the last transfers are looked for: a folder a day is listed."""
SESSIONS, LINES = 200, 5000
"""How many of the latest sessions, and of their mails, are looked through for what waits for a person."""
SENT = 500
"""How many of the transfers that wait for an acknowledgment are looked at."""
SHOWN = 100
HEALTH = "pop3_health"
"""Where the watcher of a mailbox's asset notes how it stands."""
PASSING = ("well", "held", "MailboxInUse", "LoginDelayed")
"""How a watcher stands that nobody must help."""
WORKERS = 8
"""Sites that are looked at together: the work is waiting for the store."""
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
    app.add_api_route("/api/attention", attention)
    app.add_api_route("/api/records/{key}", record)
    app.add_api_route("/api/sent", sent_transfers)
    app.add_api_route("/api/sent/{key}", sent_transfer)
    for name in _FILES:
        app.add_api_route(f"/{name}", partial(_file, name))
    app.add_exception_handler(GatewayError, _told)
    return app


def sites(user: GetUserDep, session: SessionDep) -> list[dict[str, Any]]:
    """How every site stands: those with a connection of type ``pop3``, those the store has a ledger of, and those a
    watcher cannot look at."""
    store, troubles = _store(), _troubles(session)
    known = session.scalars(select(Connection.conn_id).where(Connection.conn_type == "pop3"))
    stored = (name.removesuffix(".json") for name in store.names("ledger"))
    names = {*map(str, known), *(name for name in stored if not name.startswith("%")), *troubles}
    readable = _readable(names, user, session)
    with ThreadPoolExecutor(WORKERS) as pool:
        standing = pool.map(lambda name: _standing(store, name, name in readable), sorted(names))
        return [
            {**found, "watcher": _trouble(troubles.get(found["site"]), found["site"] in readable)}
            for found in standing
        ]


def transfers(
    connection_id: str,
    user: GetUserDep,
    session: SessionDep,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> list[dict[str, Any]]:
    """The last transfers of a site, newest first, as the lines of ``transfers/``, and whether they were dismissed."""
    store = _store()
    lines, dismissed = chain.from_iterable(latest_batches(store, _days(), connection_id)), Dismissed(store)
    shown = [
        {**line, "dismissed": bool(line["rejected"]) and line["local_ident"] in dismissed}
        for line in islice(lines, limit)
    ]
    return _without_logins(shown, user, session)


def attention(user: GetUserDep, session: SessionDep) -> dict[str, Any]:
    """Of the latest sessions of all sites the mails a person must look at, newest first.

    Those are the mails in quarantine, but for exact duplicates, which need nobody, and the reports that say of a
    transfer of ours that it was not taken. ``since`` is how far back was looked.
    """
    since, sessions, looked_at = layout.timestamp(utc_now()), 0, 0
    found: list[dict[str, Any]] = []
    released: set[str] = set()
    store = _store()
    dismissed = Dismissed(store)
    for lines in islice(latest_batches(store, _days()), SESSIONS):
        sessions, looked_at = sessions + 1, looked_at + len(lines)
        since = min([since, *(line["created_at"] for line in lines)])
        released |= {line["replaces"] for line in lines}
        found += [
            line
            for line in lines
            if line["key"] not in released and _needs_a_person(line) and line["local_ident"] not in dismissed
        ]
        if looked_at >= LINES:
            break
    mails = _without_logins(found[:SHOWN], user, session)
    return {"since": since, "sessions": sessions, "count": len(found), "mails": mails}


def record(key: str, user: GetUserDep, session: SessionDep) -> dict[str, Any]:
    """One transfer record, whole."""
    found = _found(lambda: read_record(_store(), key).to_json(), key)
    return _without_logins([found], user, session)[0]


def sent_transfers() -> dict[str, Any]:
    """The transfers that wait for an acknowledgment: those that are overdue, then by their deadline."""
    store = _store()
    keys = sent.waiting_keys(store)
    found = sorted(
        waiting(store, utc_now(), keys=keys[:SENT]),
        key=lambda one: (not one.overdue, one.ack_deadline or "~"),
    )
    return {"waiting": len(keys), "looked_at": SENT, "transfers": [one.to_json() for one in found[:SHOWN]]}


def sent_transfer(key: str) -> dict[str, Any]:
    """One transfer we sent, how it stands, and everything that happened to it."""
    store = _store()
    found = _found(lambda: tracked(store, key, utc_now()).to_json(), key)
    return {**found, "events": [event.to_json() for event in sent.events(store, key)]}


def suspend_site(connection_id: str, wish: Suspend, user: GetUserDep) -> None:
    """Suspend the polling of a site."""
    suspend(connection_id, _store(), utc_now(), by=user.get_name(), reason=wish.reason)


def resume_site(connection_id: str, wish: Nothing) -> None:
    """Poll a site again."""
    resume(connection_id, _store())


def _store() -> Store:
    return kept_store(base_path_in_force())


def _standing(store: Store, name: str, readable: bool) -> dict[str, Any]:
    try:
        found = status(Pop3Hook(name).site, store, utc_now()).to_json()
    except ConfigurationError as error:
        why = str(error) if readable else "what is wrong is told to who may read connections"
        return {"site": name, "error": f"{type(error).__name__}: {why}"}
    except GatewayError as error:
        return {"site": name, "error": f"{type(error).__name__}: {error}"}
    return found if readable else {**found, "address": "", "login": ""}


def _troubles(session: Session) -> dict[str, dict[str, str]]:
    """What watchers noted that cannot look at their mailbox, by site."""
    noted = session.execute(
        select(AssetModel.name, AssetStateStoreModel.value)
        .join(AssetModel, AssetModel.id == AssetStateStoreModel.asset_id)
        .where(
            AssetStateStoreModel.key == HEALTH,
            AssetModel.name.startswith(MAILBOX_ASSET),
            AssetModel.watchers.any(),
        )
    )
    found = {name.removeprefix(MAILBOX_ASSET): json.loads(value) for name, value in noted}
    return {
        name: health
        for name, health in found.items()
        if isinstance(health, dict) and health.get("state") not in PASSING
    }


def _trouble(health: dict[str, str] | None, readable: bool) -> dict[str, str] | None:
    if health is None:
        return None
    why = health.get("message", "") if readable else "what is wrong is told to who may read connections"
    return {"since": health.get("noted_at", ""), "why": f"{health.get('state')}: {why}"}


def _readable(names: Set[str], user: BaseUser, session: Session) -> set[str]:
    """Those of the connections that this person may read."""
    teams = Connection.get_conn_id_to_team_name_mapping(list(names), session=session)
    manager = get_auth_manager()
    return {
        name
        for team in {teams.get(name) for name in names}
        for name in manager.filter_authorized_connections(
            conn_ids={name for name in names if teams.get(name) == team},
            user=user,
            method="GET",
            team_name=team,
        )
    }


def _without_logins(
    documents: list[dict[str, Any]], user: BaseUser, session: Session
) -> list[dict[str, Any]]:
    """Transfer records without the login their DESTINATION is, where this person may not read the connection."""
    readable = _readable({each["originator"] for each in documents}, user, session)
    return [each if each["originator"] in readable else {**each, "destination": ""} for each in documents]


def _needs_a_person(line: dict[str, Any]) -> bool:
    if line["rejected"]:
        return bool(line["rejected"]["reason"]["code"] != "duplicate-octets")
    report, about = line["report"], line["acknowledges"]
    return bool(report and report["verdict"] == "negative" and about and about["key"])


def _found(read: Callable[[], dict[str, Any]], key: str) -> dict[str, Any]:
    """:raises HTTPException: there is nothing under this key."""
    if len(key) != 40 or not key.isalnum():
        raise HTTPException(404, "there is no such record")
    try:
        return read()
    except StoreCorrupt:
        raise HTTPException(404, "there is no such record") from None


def _days() -> Iterator[datetime]:
    today = utc_now()
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
    forget_store(base_path_in_force())
    return JSONResponse({"detail": f"{type(error).__name__}: {error}"}, status_code=503)
