"""``python -m benchmarks.watching``: one triggerer watches a thousand maildrops; how soon, with how much, how calmly.

Strategy: the real ``airflow triggerer`` and ``airflow dag-processor`` on a fresh database; one DAG is scheduled on all
the mailboxes, so Airflow itself makes a watcher of each. The maildrops are those of a server in a process of its own,
which delivers a mail somewhere every now and then; the asset events in Airflow's database say when the bell rang. A
trigger of this file runs beside the watchers on the same event loop and measures how late it wakes. A triggerer is two
processes: one runs the watchers, the other is Airflow's bookkeeping of triggers in the database; both are told.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime, timezone
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import psutil

from airflow_pop3_gateway.testing.pop3_server import Pop3Server
from benchmarks.report import MIB, machine

RESULTS = Path(__file__).parent / "results" / "watching.json"
MAIL = b"From: a@partner.example\r\nSubject: bench\r\nMessage-ID: <%d@partner.example>\r\n\r\nhello\r\n"
TICK = 0.05
"""Seconds the measuring trigger sleeps; what it sleeps longer is the lag of the event loop."""

DAG = """
import os
from airflow.sdk import DAG, Asset, AssetAny, AssetWatcher
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow_pop3_gateway.triggers import Pop3MailboxTrigger
from benchmarks.watching import LoopLag

names = [f"site{number:04d}" for number in range(int(os.environ["BENCH_MAILDROPS"]))]
assets = [
    Asset(f"bench-{name}", watchers=[AssetWatcher(name=name, trigger=Pop3MailboxTrigger(name))]) for name in names
]
lag = Asset("bench-lag", watchers=[AssetWatcher(name="lag", trigger=LoopLag(os.environ["BENCH_LAG"]))])
with DAG("bench", schedule=AssetAny(*assets, lag), is_paused_upon_creation=False):
    EmptyOperator(task_id="nothing")
"""

with contextlib.suppress(ImportError):  # the server's process has no need of Airflow
    from airflow.triggers.base import BaseEventTrigger, TriggerEvent

    class LoopLag(BaseEventTrigger):
        """Writes, ten seconds after ten seconds, how late it woke: a JSON list of milliseconds a line."""

        def __init__(self, path: str) -> None:
            super().__init__()
            self.path = path

        def serialize(self) -> tuple[str, dict[str, Any]]:
            """Class path and arguments."""
            return "benchmarks.watching.LoopLag", {"path": self.path}

        async def run(self) -> AsyncIterator[TriggerEvent]:
            """Measure for ever, ring never."""
            while True:
                late, ends = [], time.monotonic() + 10
                while time.monotonic() < ends:
                    began = time.monotonic()
                    await asyncio.sleep(TICK)
                    late.append(round((time.monotonic() - began - TICK) * 1000, 2))
                with open(self.path, "a") as file:
                    file.write(json.dumps(late) + "\n")
            yield TriggerEvent({})


def serve(maildrops: int, orders: Connection) -> None:
    """A server in a process of its own: says its port, then delivers wherever it is told."""
    with Pop3Server({f"site{number:04d}": [] for number in range(maildrops)}) as server:
        orders.send(server.port)
        count = 0
        while (login := orders.recv()) is not None:
            if login == "sessions":
                orders.send(sum(1 for line in list(server.transcript) if line == "QUIT"))
            else:
                count += 1
                server.deliver(login, MAIL % count)


def environment(home: Path, maildrops: int, port: int, interval: float) -> dict[str, str]:
    """Airflow's, with a connection for each maildrop."""
    site = {"conn_type": "pop3", "host": "127.0.0.1", "port": port, "password": "secret",
            "extra": {"security": "plain", "auth": "basic", "poll_interval": interval}}  # fmt: skip
    names = [f"site{number:04d}" for number in range(maildrops)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return {
        **inherited,
        **{f"AIRFLOW_CONN_{name.upper()}": json.dumps({**site, "login": name}) for name in names},
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__TRIGGERER__CAPACITY": str(maildrops + 10),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": "0",
        "AIRFLOW__POP3_GATEWAY__BASE_PATH": (home / "base").as_uri(),
        "BENCH_MAILDROPS": str(maildrops),
        "BENCH_LAG": str(home / "lag.jsonl"),
    }


@contextlib.contextmanager
def running(word: str, environ: dict[str, str], home: Path) -> Iterator[psutil.Process]:
    """One component of Airflow, ended with all its children."""
    with (home / f"{word}.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "airflow", word], env=environ, stdout=log, stderr=log
        )
    try:
        yield psutil.Process(process.pid)
    finally:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()


def processor(triggerer: psutil.Process) -> list[float]:
    """CPU seconds of Airflow's bookkeeping, and of the process that runs the watchers (the busiest child)."""
    children = [sum(child.cpu_times()[:2]) for child in triggerer.children()]
    return [sum(triggerer.cpu_times()[:2]), max(children)]


def rings(home: Path) -> dict[str, float]:
    """When the bell of each maildrop rang first."""
    with sqlite3.connect(home / "airflow.db") as database:
        rows = database.execute(
            "SELECT asset.name, min(asset_event.timestamp) FROM asset_event "
            "JOIN asset ON asset.id = asset_event.asset_id GROUP BY asset.name"
        ).fetchall()
    return {
        name.removeprefix("bench-"): datetime.fromisoformat(at).replace(tzinfo=timezone.utc).timestamp()
        for name, at in rows
    }


def measure(maildrops: int, interval: float, seconds: float, mails: int) -> dict[str, Any]:
    """One run. :returns: the figures."""
    with tempfile.TemporaryDirectory(prefix="watching-") as folder:
        home = Path(folder)
        (home / "dags").mkdir()
        (home / "dags" / "bench.py").write_text(DAG)
        orders, theirs = multiprocessing.get_context("spawn").Pipe()
        server = multiprocessing.get_context("spawn").Process(
            target=serve, args=(maildrops, theirs), daemon=True
        )
        server.start()
        environ = environment(home, maildrops, orders.recv(), interval)
        subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"], env=environ, capture_output=True, check=True
        )
        with running("dag-processor", environ, home), running("triggerer", environ, home) as triggerer:
            began = time.monotonic()
            while sessions(orders) < maildrops:
                if time.monotonic() - began > 600:
                    raise TimeoutError((home / "triggerer.log").read_text()[-3000:])
                time.sleep(1)
            ready = time.monotonic() - began
            time.sleep(interval)
            lag_before = len(lags(home))
            before = processor(triggerer)
            looked, began = sessions(orders), time.monotonic()
            delivered: dict[str, float] = {}
            for name in random.sample([f"site{number:04d}" for number in range(maildrops)], mails):
                orders.send(name)
                delivered[name] = time.time()
                time.sleep(seconds / mails)
            time.sleep(interval * 1.5 + 5)
            wall = time.monotonic() - began
            bookkeeping, watchers = (
                round((after - before) / wall, 3)
                for before, after in zip(before, processor(triggerer), strict=True)
            )
            memory = sum(one.memory_full_info().pss for one in (triggerer, *triggerer.children()))
            looked = sessions(orders) - looked
            found = rings(home)
            late = [each for line in lags(home)[lag_before:] for each in line]
        orders.send(None)
        server.join(10)
    delays = [found[name] - at for name, at in delivered.items() if name in found]
    return {
        "maildrops": maildrops, "poll_interval": interval, "mails": mails, "detected": len(delays),
        "seconds_until_all_were_looked_at": round(ready, 1),
        "looks_a_second": round(looked / wall, 2),
        "processor_of_the_watchers": watchers, "processor_of_airflows_bookkeeping": bookkeeping,
        "memory_mib": round(memory / MIB, 1),
        "detection_delay_seconds": spread(delays), "loop_lag_ms": spread(late),
    }  # fmt: skip


def sessions(orders: Connection) -> int:
    """How many sessions the server has seen to their end."""
    orders.send("sessions")
    return int(orders.recv())


def lags(home: Path) -> list[list[float]]:
    """What the measuring trigger wrote."""
    path = home / "lag.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th and 99th of a hundred, and the worst."""
    if len(values) < 2:
        return {}
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {
        "median": round(cuts[49], 2), "p95": round(cuts[94], 2), "p99": round(cuts[98], 2),
        "worst": round(max(values), 2),
    }  # fmt: skip


def main() -> None:
    """Measure for each number of maildrops that was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watching", description=__doc__)
    parser.add_argument("--maildrops", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--interval", type=float, default=60.0, help="poll_interval, seconds")
    parser.add_argument("--seconds", type=float, default=120.0, help="over which mails arrive")
    parser.add_argument("--mails", type=int, default=100, help="mails, each in another maildrop")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the figures go")
    chosen = parser.parse_args()
    rows = []
    for maildrops in chosen.maildrops:
        rows.append(measure(maildrops, chosen.interval, chosen.seconds, min(chosen.mails, maildrops)))
        print(json.dumps(rows[-1], indent=2), flush=True)
    chosen.json.parent.mkdir(exist_ok=True)
    chosen.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
