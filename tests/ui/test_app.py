"""The page asks for a login, shows what the store knows to who may see it, and lets those who may suspend and resume."""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete
from support.maildrop import Maildrop, letter
from support.transfers import send

from airflow_pop3_gateway import operators, sensors
from airflow_pop3_gateway.cli import parser
from airflow_pop3_gateway.gateway import classify
from airflow_pop3_gateway.hooks.page import PREFIX
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.testing.object_store import S3Server
from airflow_pop3_gateway.ui import app

Client = Callable[[str], TestClient]


@pytest.fixture(scope="module")
def airflow(database: None) -> Iterator[TestClient]:
    """Airflow's API server with our plugin, as the entry point brings it."""
    from airflow.api_fastapi.app import create_app

    with TestClient(create_app(apps="core"), base_url="http://127.0.0.1") as client:
        yield client


@pytest.fixture
def client(airflow: TestClient) -> Client:
    """A client that is logged in as a user of a role, or as nobody."""
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    manager = airflow.app.state.auth_manager  # type: ignore[attr-defined]

    def log_in(role: str) -> TestClient:
        airflow.headers.pop("Authorization", None)
        if role:
            token = manager.generate_jwt(SimpleAuthManagerUser(username=f"a {role}", role=role))
            airflow.headers["Authorization"] = f"Bearer {token}"
        return airflow

    return log_in


@pytest.fixture
def site(
    maildrop: Callable[..., Maildrop],
    connection: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> str:
    """A site with two mails that are classified, and one that is a mystery."""
    drop = maildrop(letter(1), letter(2))
    drop.poll()
    classify(drop.site, drop.store)
    monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__BASE_PATH", tmp_path.as_uri())
    return connection(
        drop.site.name, conn_type="pop3", host="pop.example.com", login="edi", extra={"security": "plain"}
    )


def get(client: TestClient, path: str) -> Any:
    answer = client.get(f"{PREFIX}/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_nothing_is_there_for_who_is_not_logged_in(client: Client, site: str) -> None:
    nobody = client("")
    key = "0" * 40
    asked = (
        f"api/sites/{site}/transfers",
        "api/attention",
        f"api/records/{key}",
        "api/sent",
        f"api/sent/{key}",
    )
    for path in ("", "page.js", "api/sites", *asked):
        assert nobody.get(f"{PREFIX}/{path}").status_code == 401, path
    for word in ("suspend", "resume"):
        assert nobody.post(f"{PREFIX}/api/sites/{site}/{word}", json={}).status_code == 401


def test_the_page_and_what_it_needs_come_from_here_alone(client: Client) -> None:
    for name, kind in (("", "text/html"), ("page.js", "text/javascript"), ("page.css", "text/css")):
        answer = client("viewer").get(f"{PREFIX}/{name}")
        assert answer.headers["content-type"].startswith(kind)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "//" not in answer.text.replace("// ", "")


def test_the_page_knows_every_operator_and_tells_commands_that_exist() -> None:
    script = importlib.resources.files(app.__package__).joinpath("page.js").read_text()
    (ours,) = re.findall(r"const OURS = (\[[^\]]*\])", script)
    tasks = {name for name in operators.__all__ if name.endswith("Operator")} | set(sensors.__all__)
    assert set(json.loads(ours)) == tasks
    commands = re.findall(r'command\("([a-z ]+)"', script)
    assert len(commands) > 4
    for words in commands:
        parser().parse_args(
            [*words.split(), "a_site", *(["an_ident"] if words.startswith("quarantine") else [])]
        )


def test_a_viewer_sees_how_sites_stand_and_what_came_last(client: Client, site: str) -> None:
    viewer = client("viewer")
    standing = {each["site"]: each for each in get(viewer, "api/sites")}[site]
    assert (standing["held"], standing["ledger"]) == ("", {"DELETED": 2})
    lines = get(viewer, f"api/sites/{site}/transfers?limit=1")
    assert len(lines) == 1
    assert get(viewer, f"api/records/{lines[0]['key']}")["xfer_ident"] == lines[0]["xfer_ident"]


def test_what_is_not_there_is_not_found(client: Client, site: str) -> None:
    viewer = client("viewer")
    assert get(viewer, "api/sites/nobody/transfers") == []
    for what in ("records", "sent"):
        for key in ("0" * 40, "..", "x"):
            assert viewer.get(f"{PREFIX}/api/{what}/{key}").status_code in (404, 405)


def test_server_and_login_are_for_who_may_read_the_connection(client: Client, site: str) -> None:
    for role, told in (("viewer", False), ("user", False), ("op", True), ("admin", True)):
        person = client(role)
        standing = {each["site"]: each for each in get(person, "api/sites")}[site]
        assert (standing["address"], standing["login"]) == (
            ("pop.example.com:110", "edi") if told else ("", "")
        )
        (line,) = get(person, f"api/sites/{site}/transfers?limit=1")
        record = get(person, f"api/records/{line['key']}")
        assert (line["destination"], record["destination"]) == (("edi", "edi") if told else ("", "")), role


def test_connections_of_airflows_database_are_sites(
    client: Client, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many at once, for they are looked at by several threads."""
    from airflow.models import Connection
    from airflow.utils.session import create_session

    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    names = [f"stored_{number:02}" for number in range(20)]
    with create_session() as session:
        for name in names:
            session.add(Connection(name, conn_type="pop3", host="pop.example.com", login=name))
    try:
        found = {each["site"]: each.get("login", each) for each in get(client("op"), "api/sites")}
    finally:
        with create_session() as session:
            session.execute(delete(Connection).where(Connection.conn_id.in_(names)))
    assert found == {site: "edi", **{name: name for name in names}}


def test_a_connection_that_makes_no_sense_is_one_line_of_the_list(
    client: Client, site: str, connection: Callable[..., str]
) -> None:
    connection(site, conn_type="pop3", host="", login="edi")
    errors = {
        role: {each["site"]: each for each in get(client(role), "api/sites")}[site]["error"]
        for role in ("op", "viewer")
    }
    assert "host is empty" in errors["op"]
    assert errors["viewer"] == "ConfigurationError: what is wrong is told to who may read connections"


@pytest.mark.parametrize(
    ("role", "why"),
    [
        ("op", "TlsFailed: the certificate of pop.example.com is not trusted: it has expired."),
        ("viewer", "TlsFailed: what is wrong is told to who may read connections"),
    ],
)
def test_a_watcher_that_cannot_look_is_told_as_long_as_there_is_one(
    client: Client, site: str, watcher: Callable[..., None], role: str, why: str
) -> None:
    """No run begins then, so no task fails."""
    trouble = {
        "state": "TlsFailed",
        "message": "the certificate of pop.example.com is not trusted: it has expired.",
        "noted_at": "2026-11-23T11:00:00.000Z",
    }
    for health, watched, told in (
        (trouble, True, {"since": "2026-11-23T11:00:00.000Z", "why": why}),
        (trouble, False, None),
        ({"state": "MailboxInUse", "message": "PASS refused"}, True, None),
        ({"state": "well", "message": ""}, True, None),
    ):
        watcher(site, health, watched)
        assert get(client(role), "api/sites")[0]["watcher"] == told
    watcher("misspelt", {**trouble, "state": "ConnectionMissing"})
    assert "There is no connection 'misspelt'" in str(get(client("op"), "api/sites"))


def test_what_needs_a_person_is_looked_for_in_the_latest_sessions(
    client: Client, maildrop: Callable[..., Maildrop], site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = maildrop(letter(3), letter(3, b"other"), letter(4, b"once"), letter(4, b"twice"))
    drop.now.time = datetime.now(timezone.utc)
    drop.poll()
    classify(drop.site, drop.store)
    viewer = client("viewer")
    found = get(viewer, "api/attention")
    assert [line["rejected"]["reason"]["code"] for line in found["mails"]] == ["duplicate-message-id"] * 2
    assert (found["sessions"], found["count"]) == (2, 2)
    monkeypatch.setattr(app, "SHOWN", 1)
    few = get(viewer, "api/attention")
    assert ([line["key"] for line in few["mails"]], few["count"]) == ([found["mails"][0]["key"]], 2)
    monkeypatch.setattr(app, "SESSIONS", 1)
    assert get(viewer, "api/attention")["since"] > found["since"]
    monkeypatch.setattr(app, "SESSIONS", 2)
    monkeypatch.setattr(app, "LINES", 1)
    assert get(viewer, "api/attention")["sessions"] == 1


def test_of_very_many_that_wait_some_are_looked_at(
    client: Client, site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.at(tmp_path)
    names = [send(store, name).xfer_ident for name in ("a", "b")]
    monkeypatch.setattr(app, "SENT", 1)
    found = get(client("viewer"), "api/sent")
    assert (found["waiting"], found["looked_at"]) == (2, 1)
    (one,) = found["transfers"]
    assert one["xfer_ident"] in names
    events = get(client("viewer"), f"api/sent/{one['key']}")["events"]
    assert {event["name"] for event in events} == {"smtp-0001", "r-1"}


def test_a_store_whose_connection_was_changed_is_opened_anew(
    client: Client, connection: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API server lives for weeks, longer than keys do."""
    monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__BASE_PATH", "s3://page_s3@page/base")
    with S3Server("page") as before:
        fields = json.loads(before.airflow_connection())
        fields["extra"]["config_kwargs"] = {"retries": {"max_attempts": 0}}
        connection("page_s3", **fields)
        assert get(client("viewer"), "api/attention")["mails"] == []
    with S3Server("page") as after:
        fields["extra"]["endpoint_url"] = after.endpoint_url
        connection("page_s3", **fields)
        assert client("viewer").get(f"{PREFIX}/api/attention").status_code == 503
        assert get(client("viewer"), "api/attention")["mails"] == []


def test_who_may_change_connections_suspends_and_resumes(client: Client, site: str) -> None:
    op = client("op")
    assert op.post(f"{PREFIX}/api/sites/{site}/suspend", json={"reason": "quiet"}).status_code == 200
    assert get(op, "api/sites")[0]["held"].endswith("by a op: quiet")
    assert op.post(f"{PREFIX}/api/sites/{site}/resume", json={}).status_code == 200
    assert get(op, "api/sites")[0]["held"] == ""


def test_a_viewer_and_another_sites_form_change_nothing(client: Client, site: str) -> None:
    address = f"{PREFIX}/api/sites/{site}/suspend"
    assert client("viewer").post(address, json={}).status_code == 403
    op = client("op")
    assert op.post(address, content="{}", headers={"content-type": "text/plain"}).status_code == 415
    assert op.post(address, data={"reason": "x"}).status_code == 415
    assert op.get(address).status_code == 405
    assert get(op, "api/sites")[0]["held"] == ""
