"""``standalone``: Airflow with the sample DAGs, connections and full mailboxes, to look at in a browser.

Invariant: everything started here ends with this process: Airflow's processes are one group of their own, the servers
are threads of this one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from airflow_pop3_gateway.demo.surroundings import Surroundings
from airflow_pop3_gateway.errors import GatewayError
from airflow_pop3_gateway.testing import letters

USER = PASSWORD = "admin"
SITES = ("pop3_default", "orders", "invoices", "edi_inbox", "partners", "approvals")
PORT = 8080
PATIENCE = 240.0
"""Seconds until Airflow must answer: it took 25 to 90 on two busy processors."""


def run(arguments: argparse.Namespace) -> int:
    """Start everything, print where to look, stop everything on Ctrl-C. :returns: the exit code."""
    home = Path(arguments.folder)
    port = free_port(PORT)
    mails = list(letters.one_of_every_kind().values())
    try:
        with Surroundings(home, dict.fromkeys(SITES, mails), settings(port)) as around:
            (home / "simple_auth_manager_passwords.json.generated").write_text(json.dumps({USER: PASSWORD}))
            return _serve(around, port) if prepared(around) else 1
    except GatewayError as error:
        print(f"{type(error).__name__}: {error}")
        return 1


def settings(port: int) -> dict[str, str]:
    """Airflow's settings: everything on this machine only, DAGs switched on, one person who may do everything."""
    return {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port()),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port()),
        # The scheduler starts tasks before the API server listens: they wait for it as long as we do.
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": str(int(PATIENCE)),
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "1",
        "AIRFLOW_VAR_POP3_SITES": json.dumps(SITES[1:3]),
    }


def prepared(around: Surroundings) -> bool:
    """Make the database, and put the connections there so that they can be seen and tested in the browser."""
    path = around.home / "connections.json"
    path.write_text(json.dumps(around.connections()))
    log_path = around.home / "prepare.log"
    print("Airflow makes its database …", flush=True)
    with log_path.open("w") as log:
        done = not around.airflow("db", "migrate", log=log) and not around.airflow(
            "connections", "import", "--overwrite", str(path), log=log
        )
    if not done:
        print(log_path.read_text(errors="replace"))
    return done


def free_port(wanted: int = 0) -> int:
    """The wanted port when it is free, else another."""
    with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", wanted)) as listener:
        return int(listener.getsockname()[1])
    return free_port()


@contextlib.contextmanager
def airflow_running(around: Surroundings, log_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """All of Airflow while the context is open; its database must be made before."""
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", "standalone"],
            env=around.environment(with_connections=False),
            cwd=around.home,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _stop(process)


def _serve(around: Surroundings, port: int) -> int:
    log_path = around.home / "standalone.log"
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"Airflow starts; its log is {log_path} …", flush=True)
    try:
        with airflow_running(around, log_path) as process:
            if not _answers(process, port):
                print("Airflow did not start; the end of its log:")
                print("\n".join(log_path.read_text(errors="replace").splitlines()[-30:]))
                return 1
            print(f"\n    http://127.0.0.1:{port}    login {USER}, password {PASSWORD}\n")
            print(f"POP3 {around.pop3.host}:{around.pop3.port} with the mailboxes {', '.join(SITES)}")
            print(
                f"SMTP {around.smtp.host}:{around.smtp.port}   S3 {around.s3.endpoint_url}   {around.base_path}"
            )
            print("Ctrl-C stops everything.", flush=True)
            return process.wait()
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)
        return 0


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    give_up = time.monotonic() + PATIENCE
    while process.poll() is None and time.monotonic() < give_up:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=2),
        ):
            return True
        time.sleep(0.5)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the group: politely, then for good."""
    for word, seconds in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, word)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
