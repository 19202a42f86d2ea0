"""``python -m benchmarks.waiting``: what a mailbox costs that a sensor task on a worker waits at, as is usual today.

Strategy: the real scheduler with its LocalExecutor, API server and DAG processor on a fresh database, and a Dovecot
with empty mailboxes; a task waits at each. Told is what one of them takes: memory of its slot and its task (PSS, so
that what forked processes share counts once), their processor time, and that of the API server that hears the
heartbeats. What a thousand would take is multiplied from it, and said to be.

Practices: our own sensor and the IMAP provider's that wait in their task (``poke``), and the IMAP provider's that gives
the worker back between two looks (``reschedule``). ``benchmarks.watching`` measures the triggerer's side.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import psutil

from airflow_pop3_gateway.demo.standalone import settings
from benchmarks.dovecot import free_port, program
from benchmarks.report import MIB, machine
from benchmarks.watching import Real, airflow_of, names, running

RESULTS = Path(__file__).parent / "results" / "waiting.json"
INTERVAL = 60
"""Seconds between two looks, as the watchers of the other benchmark have it."""
SENSORS = {
    "pop3-poke": 'Pop3MailSensor(task_id=name, pop3_conn_id=name, deferrable=False, mode="poke", {interval})',
    "imap-poke": 'ImapAttachmentSensor(task_id=name, conn_id=name, attachment_name="a", mode="poke", {interval})',
    "imap-reschedule": (
        'ImapAttachmentSensor(task_id=name, conn_id=name, attachment_name="a", mode="reschedule", {interval})'
    ),
}
DAG = """
from airflow.sdk import DAG
{imports}

with DAG("bench", schedule="@once", is_paused_upon_creation=True):
    for name in {names}:
        {sensor}
"""
IMPORTS = {
    "pop3": "from airflow_pop3_gateway.sdk import Pop3MailSensor",
    "imap": "from airflow.providers.imap.sensors.imap_attachment import ImapAttachmentSensor",
}


def environment(home: Path, practice: str, server: Real, mailboxes: int) -> dict[str, str]:
    """Airflow's, with a connection for each mailbox and a slot for each task."""
    options = {
        "pop3": {"conn_type": "pop3", "port": server.port, "extra": {"security": "plain"}},
        "imap": {"conn_type": "imap", "port": server.imap_port, "extra": {"use_ssl": False}},
    }[practice.partition("-")[0]]
    return {
        **airflow_of(home),
        **settings(free_port()),
        **{
            f"AIRFLOW_CONN_{name.upper()}": json.dumps(
                {"host": "127.0.0.1", "login": name, "password": "secret", **options}
            )
            for name in names(mailboxes)
        },
        "AIRFLOW__CORE__PARALLELISM": str(mailboxes),
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(mailboxes),
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of the benchmark, of 32 octets",
    }


def workers(scheduler: psutil.Process) -> list[psutil.Process]:
    """The slots of the LocalExecutor; what they start is their tasks."""
    return [child for child in scheduler.children() if "worker" in " ".join(child.cmdline())]


def used(processes: Sequence[psutil.Process]) -> tuple[float, float]:
    """CPU seconds and MiB of processes and all their descendants, CPU of the ended ones too."""
    seconds = mebibytes = 0.0
    for one in (each for process in processes for each in (process, *process.children(recursive=True))):
        with contextlib.suppress(psutil.NoSuchProcess):
            seconds += sum(one.cpu_times()[:4])
            mebibytes += one.memory_full_info().pss / MIB
    return seconds, mebibytes


def wait_for(happened: Callable[[], object], log: Path) -> None:
    """:raises TimeoutError: with the end of a log."""
    ends = time.monotonic() + 600
    while not happened():
        if time.monotonic() > ends:
            raise TimeoutError(log.read_text()[-3000:])
        time.sleep(1)


def parsed(home: Path) -> bool:
    """Whether Airflow knows the DAG."""
    with contextlib.suppress(sqlite3.Error), sqlite3.connect(home / "airflow.db") as database:
        return bool(database.execute("SELECT count(*) FROM dag").fetchone()[0])
    return False


def measure(practice: str, mailboxes: int, seconds: float) -> dict[str, Any]:
    """One practice. :returns: the figures."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="waiting-")))
        (home / "dags").mkdir()
        home.chmod(0o755)
        sensor = SENSORS[practice].format(interval=f"poke_interval={INTERVAL}")
        imports = IMPORTS[practice.partition("-")[0]]
        text = DAG.format(imports=imports, names=names(mailboxes), sensor=sensor)
        (home / "dags" / "bench.py").write_text(text)
        server = stack.enter_context(Real(mailboxes, home / "dovecot", imap=True))
        environ = environment(home, practice, server, mailboxes)
        subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"], env=environ, capture_output=True, check=True
        )
        api_server, scheduler, _ = (
            stack.enter_context(running(part, environ, home))
            for part in ("api-server", "scheduler", "dag-processor")
        )
        wait_for(lambda: parsed(home), home / "dag-processor.log")
        subprocess.run(
            [sys.executable, "-m", "airflow", "dags", "unpause", "bench"],
            env=environ, capture_output=True, check=True,
        )  # fmt: skip
        wait_for(lambda: server.sessions() >= mailboxes, home / "scheduler.log")
        time.sleep(10)
        parts = ([api_server], workers(scheduler))
        began, looked = time.monotonic(), server.sessions()
        before = [used(part)[0] for part in parts]
        memory = 0.0
        while time.monotonic() - began < seconds:
            memory = max(memory, used(parts[1])[1] / mailboxes)
            time.sleep(2)
        wall, looked = time.monotonic() - began, server.sessions() - looked
        heartbeats, tasks = (
            (used(part)[0] - spent) / wall / mailboxes for part, spent in zip(parts, before, strict=True)
        )
    return {
        "practice": practice, "mailboxes": mailboxes, "poll_interval": INTERVAL, "looks": looked,
        "memory_mib_a_mailbox": round(memory, 1),
        "processor_of_a_task": round(tasks, 5), "processor_of_the_api_server_a_task": round(heartbeats, 5),
        "a_thousand_memory_gib": round(memory * 1000 / 1024, 1),
        "a_thousand_processors": round((tasks + heartbeats) * 1000, 1),
        "load": [round(load, 1) for load in os.getloadavg()],
    }  # fmt: skip


def main() -> None:
    """Measure each practice that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=__doc__)
    parser.add_argument("--practices", nargs="+", choices=list(SENSORS), default=list(SENSORS))
    parser.add_argument("--mailboxes", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=120.0, help="of waiting that are measured")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the figures go")
    chosen = parser.parse_args()
    if program() is None:
        parser.exit(1, "needs root and Dovecot: apt-get install dovecot-pop3d dovecot-imapd\n")
    rows = []
    for practice in chosen.practices:
        if practice.startswith("imap") and importlib.util.find_spec("airflow.providers.imap") is None:
            print(f"{practice}: left out; pip install apache-airflow-providers-imap")
            continue
        rows.append(measure(practice, chosen.mailboxes, chosen.seconds))
        print(json.dumps(rows[-1], indent=1), flush=True)
        chosen.json.parent.mkdir(exist_ok=True)
        chosen.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
