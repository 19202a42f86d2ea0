"""The sample DAGs can be imported, explain themselves, and run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag

from airflow_pop3_gateway.testing import letters
from airflow_pop3_gateway.testing.pop3_server import Pop3Server

FOLDER = Path(__file__).parents[2] / "dags"
FILES = sorted(FOLDER.glob("*.py"))


@pytest.fixture(scope="module")
def bag() -> DagBag:
    return DagBag(str(FOLDER), bundle_name="dags-folder")


def test_every_file_is_one_dag_of_its_name(bag: DagBag) -> None:
    assert bag.import_errors == {}
    assert sorted(bag.dags) == [file.stem for file in FILES]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_dag_explains_itself_and_has_the_part_to_copy_marked(bag: DagBag, file: Path) -> None:
    dag = bag.dags[file.stem]
    assert dag.doc_md and dag.doc_md.strip().startswith("### ")
    assert "pop3" in dag.tags
    source = file.read_text()
    mark = file.stem.removeprefix("pop3_")
    assert source.count(f"# [START {mark}]") == source.count(f"# [END {mark}]") == 1
    assert all(
        task.retries for task in dag.tasks if task.task_type.endswith("Operator") and task.task_id != "sites"
    )


def define(connection: Callable[..., str], server: Pop3Server, conn_id: str, **fields: Any) -> None:
    connection(
        conn_id,
        conn_type="pop3",
        host=server.host,
        port=server.port,
        login=conn_id,
        **{"password": server.password, **fields},
        extra={"security": "plain", "retry_count_max": 0},
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("database")
def test_a_site_that_fails_does_not_keep_the_others_from_finishing(
    bag: DagBag,
    pop3_server: Callable[..., Pop3Server],
    connection: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    server = pop3_server(
        {"first": [letters.message()], "locked": [letters.message()], "last": [letters.message(2)]}
    )
    for conn_id in ("first", "last"):
        define(connection, server, conn_id)
    define(connection, server, "locked", password="wrong")
    monkeypatch.setenv("AIRFLOW_VAR_POP3_SITES", json.dumps(["first", "locked", "last"]))
    monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__BASE_PATH", tmp_path.as_uri())
    run = bag.dags["pop3_poll_many_sites"].test()
    states = {(task.task_id, task.map_index): str(task.state) for task in run.get_task_instances()}
    assert [states["poll.retrieve", index] for index in range(3)] == ["success", "failed", "success"]
    assert [states["poll.acknowledge", index] for index in (0, 2)] == ["success", "success"]
    assert states["poll.classify", 1] == "upstream_failed"
    assert [len(server.mails(login)) for login in ("first", "locked", "last")] == [0, 1, 0]
    assert len(list((tmp_path / "transfers").rglob("*.jsonl"))) == 2
