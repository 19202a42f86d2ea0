"""A real Airflow in its parts: API server, scheduler, DAG processor and triggerer, each a process that can be killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from support.programs import until

from airflow_pop3_gateway.demo.standalone import settings
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.testing.smtp_server import SmtpServer

PARTS = ("api-server", "scheduler", "dag-processor", "triggerer")
PATIENCE = 180.0
"""Seconds for anything to happen; on two busy processors Airflow needs one and a half minutes to start."""
SETTINGS = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__PARALLELISM": "6",
    "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "2",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "2",
    "AIRFLOW__SCHEDULER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "6",
}


def quiet_port() -> int:
    """A free port that no connection is given by chance in the seconds until it is listened on."""
    while True:
        with (
            contextlib.suppress(OSError),
            socket.create_server(("127.0.0.1", random.randint(20000, 30000))) as one,
        ):
            return int(one.getsockname()[1])


class Airflow:
    """Runs while its context is open.

    :param home: ``AIRFLOW_HOME``; DAG files go to its folder ``dags``. :param database: URL for SQLAlchemy.
    :param connections: id → connection.
    """

    def __init__(self, home: Path, database: str, connections: Mapping[str, Any]) -> None:
        self.home, self.dags = home, home / "dags"
        self.dags.mkdir(parents=True)
        port = quiet_port()
        self.url = f"http://127.0.0.1:{port}"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        self.environment = {
            **inherited,
            **settings(port),
            **SETTINGS,
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "NO_PROXY": "127.0.0.1,localhost",
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(quiet_port()),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database,
            "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of the tests, thirty-two octets",
            "AIRFLOW__POP3_GATEWAY__BASE_PATH": (home / "base").as_uri(),
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(item) for name, item in connections.items()},
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._token = ""

    def __enter__(self) -> Airflow:
        done = subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        try:
            for part in PARTS:
                self.start(part)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part in list(self._processes):
            self.kill(part)

    def start(self, part: str, name: str = "") -> None:
        """Start a part of it, in a process group of its own; another one of the same kind by a name of its own."""
        name = name or part
        with (self.home / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", "airflow", part],
                env={**self.environment, "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(quiet_port())},
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, part: str) -> None:
        """As a power cut does it."""
        process = self._processes.pop(part)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(30)

    def get(self, path: str) -> Any:
        """Ask the REST API; ``{}`` while it is not there."""
        try:
            return self.ask("GET", path)
        except (OSError, ValueError):
            return {}

    def ask(self, method: str, path: str, **body: Any) -> Any:
        """One request to the REST API. :raises OSError: it was not answered well."""
        if not self._token:
            self._token = self._request("GET", "/auth/token", {})["access_token"]
        return self._request(method, f"/api/v2{path}", body)

    def _request(self, method: str, path: str, body: Mapping[str, Any]) -> Any:
        headers = {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if method != "GET" else None
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def pause(self, dag_id: str, paused: bool) -> None:
        """Switch a DAG off or on."""
        self.ask("PATCH", f"/dags/{dag_id}?update_mask=is_paused", is_paused=paused)

    def trigger(self, dag_id: str, **conf: Any) -> str:
        """Start a run by hand. :returns: its id."""
        return str(self.ask("POST", f"/dags/{dag_id}/dagRuns", logical_date=None, conf=conf)["dag_run_id"])

    def runs(self, dag_id: str, state: str = "") -> list[dict[str, Any]]:
        """The runs of a DAG, oldest first."""
        wanted = f"&state={state}" if state else ""
        found = self.get(f"/dags/{dag_id}/dagRuns?limit=1000&order_by=start_date{wanted}")
        return list(found.get("dag_runs", ()))

    def until(self, happened: Any, what: str, seconds: float = PATIENCE) -> None:
        """Wait for it to happen. :raises AssertionError: with the ends of the logs."""

        def happened_while_alive() -> object:
            dead = [part for part, process in self._processes.items() if process.poll() is not None]
            assert not dead, f"{dead} ended by itself"
            return happened()

        try:
            until(happened_while_alive, what, seconds, pause=0.2)
        except AssertionError as error:
            logs = [f"--- {part}\n{self.log(part)[-2500:]}" for part in PARTS]
            raise AssertionError("\n".join([str(error), *logs])) from None

    def log(self, part: str) -> str:
        """What a part wrote so far."""
        return (self.home / f"{part}.log").read_text(errors="replace")


@dataclass
class Live:
    """A running Airflow and what it works on. :ivar deliver: (login, mail) puts a mail into a maildrop."""

    airflow: Airflow
    deliver: Callable[[str, bytes], None]
    left: Callable[[str], list[bytes]]
    relay: SmtpServer
    processed: Path
    store: Store
