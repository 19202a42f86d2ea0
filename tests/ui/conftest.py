"""Airflow's API server with our plugin on a port of this machine, and a browser before it."""

from __future__ import annotations

import contextlib
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest
import uvicorn
from sqlalchemy import delete, insert
from support.chromium import Chromium, Page
from support.maildrop import Maildrop
from support.programs import until

from airflow_pop3_gateway.gateway import classify
from airflow_pop3_gateway.hooks.page import PREFIX
from airflow_pop3_gateway.store import Store

Open = Callable[..., Page]


class Served:
    """A running server. :ivar url: the page; :ivar token: what a role's login gives."""

    def __init__(self, url: str, token: Callable[[str], str]) -> None:
        self.url, self.token = url, token


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def served(browser: Chromium, database: None) -> Iterator[Served]:
    """After the browser, for without one there is nothing to wait for. What other tests ran is not shown."""
    from airflow.api_fastapi.app import create_app
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models import DagRun
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session

    with create_session() as session:
        session.execute(delete(AssetEvent))
        session.execute(delete(DagRun))

    app = create_app(apps="core")
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive(), "the server listens")
        port = server.servers[0].sockets[0].getsockname()[1]

        def token(role: str) -> str:
            user = SimpleAuthManagerUser(username=f"a {role}", role=role)
            return str(app.state.auth_manager.generate_jwt(user))

        yield Served(f"http://127.0.0.1:{port}{PREFIX}/", token)
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture
def look(browser: Chromium, served: Served) -> Iterator[Open]:
    """Opens the page: ``look(role, hash)``, and waits until everything was asked for."""
    with contextlib.ExitStack() as stack:

        def open_page(role: str = "op", hash: str = "") -> Page:
            page = stack.enter_context(browser.page({"_token": served.token(role)}, served.url))
            page.go(served.url + hash)
            page.until("document.querySelector('#told') && !told.innerText.startsWith('Looking')")
            return page

        yield open_page


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store, the one the page looks into."""
    monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__BASE_PATH", tmp_path.as_uri())
    return Store.at(tmp_path)


@pytest.fixture
def received(
    maildrop: Callable[..., Maildrop], connection: Callable[..., str], store: Store
) -> Callable[..., Maildrop]:
    """``received(name, mail, …)``: a site of this name, its connection, and mails that were retrieved and classified."""

    def receive(name: str, *mails: bytes) -> Maildrop:
        drop = maildrop(*mails, name=name)
        drop.now.time = datetime.now(timezone.utc)
        drop.poll()
        classify(drop.site, drop.store)
        connection(
            name, conn_type="pop3", host="pop.example.com", login="a-login", extra={"security": "plain"}
        )
        return drop

    return receive


@pytest.fixture
def ran(database: None) -> Iterator[Callable[[str], None]]:
    """``ran(state)``: what Airflow keeps of a task that retrieved ``orders``: its row, its rendered fields, its log."""
    from airflow.configuration import conf
    from airflow.models import DagModel, DagRun, TaskInstance
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.renderedtifields import RenderedTaskInstanceFields
    from airflow.utils.session import create_session

    with create_session() as session:
        session.add(DagBundleModel(name="a-bundle"))
        session.flush()
        session.add(DagModel(dag_id="poll_orders", bundle_name="a-bundle"))

    def run(state: str) -> None:
        now = datetime.now(timezone.utc)
        which = {"dag_id": "poll_orders", "run_id": uuid.uuid4().hex}
        task = {**which, "task_id": "retrieve", "map_index": -1}
        told = (
            {"level": "info", "event": "Downloading"},
            {
                "level": "error",
                "event": "Task failed",
                "error_detail": [{"exc_type": "Refused", "exc_value": "[AUTH] no"}],
            },
        )
        logs = Path(conf.get("logging", "base_log_folder"), "dag_id=poll_orders", f"run_id={which['run_id']}")
        log = logs / "task_id=retrieve" / "attempt=1.log"
        log.parent.mkdir(parents=True)
        log.write_text("".join(json.dumps({"timestamp": now.isoformat(), **line}) + "\n" for line in told))
        with create_session() as session:
            session.execute(insert(DagRun).values(**which, run_type="manual", run_after=now, _state=state))
            row = {
                "id": uuid.uuid4(),
                "try_number": 1,
                "pool": "default_pool",
                "operator": "RetrieveOperator",
            }
            times = {"start_date": now, "end_date": now}
            session.execute(insert(TaskInstance).values(**task, **row, **times, state=state))
            fields = {"pop3_conn_id": "orders"}
            session.execute(insert(RenderedTaskInstanceFields).values(**task, rendered_fields=fields))

    yield run
    with create_session() as session:
        for table in (RenderedTaskInstanceFields, TaskInstance, DagRun, DagModel):
            session.execute(delete(table).where(table.dag_id == "poll_orders"))
        session.execute(delete(DagBundleModel).where(DagBundleModel.name == "a-bundle"))


@pytest.fixture
def watcher(database: None) -> Iterator[Callable[..., None]]:
    """``watcher(site, health)``: what Airflow keeps of a mailbox's asset, its watcher and what that noted."""
    from airflow.models.asset import AssetModel, AssetWatcherModel
    from airflow.models.asset_state_store import AssetStateStoreModel
    from airflow.models.trigger import Trigger
    from airflow.utils.session import create_session

    from airflow_pop3_gateway.assets import mailbox

    tables = (AssetStateStoreModel, AssetWatcherModel, AssetModel, Trigger)

    def forget() -> None:
        with create_session() as session:
            for table in tables:
                session.execute(delete(table))

    def watch(site: str, health: object, watched: bool = True) -> None:
        forget()
        asset, trigger = AssetModel(name=mailbox(site).name, uri=mailbox(site).uri), Trigger("a.Trigger", {})
        with create_session() as session:
            session.add_all([asset, trigger])
            session.flush()
            if watched:
                session.add(AssetWatcherModel(name="w", asset_id=asset.id, trigger_id=trigger.id))
            session.add(AssetStateStoreModel(asset_id=asset.id, key="pop3_health", value=json.dumps(health)))

    yield watch
    forget()


@pytest.fixture
def listened_to(database: None) -> Iterator[Callable[[str], Callable[[], int]]]:
    """Makes a mailbox's asset known to Airflow, as a DAG that is scheduled on it does. :returns: counts its events."""
    from airflow.models.asset import AssetActive, AssetEvent, AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    from airflow_pop3_gateway.assets import mailbox

    def listen(site: str) -> Callable[[], int]:
        asset = mailbox(site)
        with create_session() as session:
            session.add(AssetModel(name=asset.name, uri=asset.uri))
            session.flush()
            session.add(AssetActive(name=asset.name, uri=asset.uri))

        def rung() -> int:
            with create_session() as session:
                return session.scalar(select(func.count()).select_from(AssetEvent)) or 0

        return rung

    yield listen
    with create_session() as session:
        for table in (AssetEvent, AssetActive, AssetModel):
            session.execute(delete(table))
