"""The page asks for a login, shows what the store knows, and lets those who may suspend and resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from support.maildrop import Maildrop, letter

from airflow_pop3_gateway.gateway import classify
from airflow_pop3_gateway.hooks.page import PREFIX

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
    for path in ("", "page.js", "api/sites", f"api/sites/{site}/transfers", "api/records/" + "0" * 40):
        assert nobody.get(f"{PREFIX}/{path}").status_code == 401, path
    for word in ("suspend", "resume"):
        assert nobody.post(f"{PREFIX}/api/sites/{site}/{word}", json={}).status_code == 401


def test_the_page_and_what_it_needs_come_from_here_alone(client: Client) -> None:
    for name, kind in (("", "text/html"), ("page.js", "text/javascript"), ("page.css", "text/css")):
        answer = client("viewer").get(f"{PREFIX}/{name}")
        assert answer.headers["content-type"].startswith(kind)
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "//" not in answer.text.replace("// ", "")


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
    for key in ("0" * 40, "..", "x"):
        assert viewer.get(f"{PREFIX}/api/records/{key}").status_code in (404, 405)


def test_a_connection_that_makes_no_sense_is_one_line_of_the_list(
    client: Client, site: str, connection: Callable[..., str]
) -> None:
    connection(site, conn_type="pop3", host="", login="edi")
    error = {each["site"]: each for each in get(client("viewer"), "api/sites")}[site]["error"]
    assert "host is empty" in error


def test_who_may_change_connections_suspends_and_resumes(client: Client, site: str) -> None:
    suspended = client("op").post(f"{PREFIX}/api/sites/{site}/suspend", json={"reason": "quiet"}).json()
    assert suspended["held"].endswith("by a op: quiet")
    assert get(client("viewer"), "api/sites")[0]["held"] == suspended["held"]
    assert client("op").post(f"{PREFIX}/api/sites/{site}/resume", json={}).json()["held"] == ""


def test_a_viewer_and_another_sites_form_change_nothing(client: Client, site: str) -> None:
    address = f"{PREFIX}/api/sites/{site}/suspend"
    assert client("viewer").post(address, json={}).status_code == 403
    op = client("op")
    assert op.post(address, content="{}", headers={"content-type": "text/plain"}).status_code == 415
    assert op.post(address, data={"reason": "x"}).status_code == 415
    assert op.get(address).status_code == 405
    assert get(op, "api/sites")[0]["held"] == ""
