"""``python -m benchmarks.watching``: one triggerer watches a thousand maildrops; how soon, with how much, how calmly.

Strategy: the real ``airflow triggerer`` and ``airflow dag-processor`` on a fresh database; one DAG is scheduled on all
the mailboxes, so Airflow itself makes a watcher of each. The maildrops are those of a server in a process of its own,
or of Dovecot; every now and then a mail is delivered somewhere, and the asset events in Airflow's database say when the
bell rang. Some of the maildrops may be at a server that takes connections and says nothing. A trigger of this file runs
beside the watchers on the same event loop and measures how late it wakes. A triggerer is two processes: one runs the
watchers, the other is Airflow's bookkeeping of triggers in the database; both are told.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import socket
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
from benchmarks.dovecot import Dovecot
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
    with Pop3Server({name: [] for name in names(maildrops)}) as server:
        orders.send(server.port)
        count = 0
        while (login := orders.recv()) is not None:
            if login == "sessions":
                orders.send(sum(1 for line in list(server.transcript) if line == "QUIT"))
            else:
                count += 1
                server.deliver(login, MAIL % count)


class Cheap:
    """Twisted's server, in a process of its own."""

    def __init__(self, maildrops: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._orders, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(maildrops, theirs), daemon=True)

    def __enter__(self) -> Cheap:
        self._process.start()
        self.port = int(self._orders.recv())
        return self

    def __exit__(self, *_: object) -> None:
        self._orders.send(None)
        self._process.join(10)

    def deliver(self, login: str) -> None:
        """A mail more."""
        self._orders.send(login)

    def sessions(self) -> int:
        """How many it has seen to their end."""
        self._orders.send("sessions")
        return int(self._orders.recv())


class Real(Dovecot):
    """Dovecot, with the same words."""

    def __init__(self, maildrops: int, folder: Path, *, imap: bool = False) -> None:
        super().__init__(folder, imap=imap)
        self._count = 0
        for name in names(maildrops):
            for part in ("new", "cur", "tmp"):
                (self.maildirs / name / part).mkdir(parents=True)
            self.give(name)

    def deliver(self, login: str) -> None:
        """A mail more."""
        self._count += 1
        (self.maildirs / login / "tmp" / f"{self._count}").write_bytes(MAIL % self._count)
        self.give(login)
        (self.maildirs / login / "tmp" / f"{self._count}").rename(
            self.maildirs / login / "new" / f"{time.time():.0f}.M{self._count}P1.bench"
        )

    def sessions(self) -> int:
        """How many it has seen to their end."""
        log = self.folder / "dovecot.log"
        return log.read_text().count("Logged out") if log.exists() else 0


def names(maildrops: int, slow: int = 0) -> list[str]:
    """The logins; the first ones are at the server that says nothing."""
    return [f"site{number:04d}" for number in range(slow, maildrops)]


def airflow_of(home: Path) -> dict[str, str]:
    """What an Airflow of its own needs in its environment; nothing of another one is inherited."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    return {
        **inherited,
        "PYTHONPATH": str(Path(__file__).parents[1]),
        "NO_PROXY": "127.0.0.1,localhost",
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db?timeout=120",
        "AIRFLOW__POP3_GATEWAY__BASE_PATH": (home / "base").as_uri(),
    }


def environment(
    home: Path, maildrops: int, port: int, interval: float, slow: int, silent: int
) -> dict[str, str]:
    """Airflow's, with a connection for each maildrop."""
    site = {"conn_type": "pop3", "host": "127.0.0.1", "password": "secret",
            "extra": {"security": "plain", "auth": "basic", "poll_interval": interval}}  # fmt: skip
    answering = set(names(maildrops, slow))
    ports = {name: port if name in answering else silent for name in names(maildrops)}
    return {
        **airflow_of(home),
        **{
            f"AIRFLOW_CONN_{name.upper()}": json.dumps({**site, "login": name, "port": where})
            for name, where in ports.items()
        },
        "AIRFLOW__TRIGGERER__CAPACITY": str(maildrops + 10),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": "0",
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


def runner(triggerer: psutil.Process) -> psutil.Process:
    """The process that runs the watchers: the busiest child of Airflow's bookkeeping."""
    return max(triggerer.children(), key=lambda child: sum(child.cpu_times()[:2]))


def processor(triggerer: psutil.Process) -> list[float]:
    """CPU seconds of Airflow's bookkeeping, and of the process that runs the watchers."""
    return [sum(one.cpu_times()[:2]) for one in (triggerer, runner(triggerer))]


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


def measure(
    maildrops: int, interval: float, seconds: float, mails: int, *, slow: int = 0, dovecot: bool = False
) -> dict[str, Any]:
    """One run. :returns: the figures."""
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="watching-")))
        (home / "dags").mkdir()
        (home / "dags" / "bench.py").write_text(DAG)
        home.chmod(0o755)
        server = stack.enter_context(Real(maildrops, home / "dovecot") if dovecot else Cheap(maildrops))
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=1024))  # never accepts
        environ = environment(home, maildrops, server.port, interval, slow, silent.getsockname()[1])
        subprocess.run(
            [sys.executable, "-m", "airflow", "db", "migrate"], env=environ, capture_output=True, check=True
        )
        stack.enter_context(running("dag-processor", environ, home))
        triggerer = stack.enter_context(running("triggerer", environ, home))
        began = time.monotonic()
        while server.sessions() < maildrops - slow:
            if time.monotonic() - began > 600 or triggerer.status() == psutil.STATUS_ZOMBIE:
                raise TimeoutError((home / "triggerer.log").read_text()[-3000:])
            time.sleep(1)
        ready = time.monotonic() - began
        time.sleep(interval)
        lag_before = len(lags(home))
        before = processor(triggerer)
        looked, began = server.sessions(), time.monotonic()
        delivered: dict[str, float] = {}
        for name in random.sample(names(maildrops, slow), mails):
            server.deliver(name)
            delivered[name] = time.time()
            time.sleep(seconds / mails)
        time.sleep(interval * 1.5 + 5)
        wall = time.monotonic() - began
        bookkeeping, watchers = (
            (after - before) / wall for before, after in zip(before, processor(triggerer), strict=True)
        )
        memory = [one.memory_full_info().pss / MIB for one in (triggerer, runner(triggerer))]
        looked = server.sessions() - looked
        found = rings(home)
        late = [each for line in lags(home)[lag_before:] for each in line]
    delays = [found[name] - at for name, at in delivered.items() if name in found]
    return {
        "maildrops": maildrops, "at_a_silent_server": slow, "server": "Dovecot" if dovecot else "Twisted",
        "poll_interval": interval, "mails": mails, "detected": len(delays),
        "seconds_until_all_were_looked_at": round(ready, 1),
        "looks_a_second": round(looked / wall, 2),
        "processor_of_the_watchers": round(watchers, 3),
        "processor_of_airflows_bookkeeping": round(bookkeeping, 3),
        "milliseconds_of_processor_a_look": round(1000 * watchers * wall / looked, 1),
        "memory_mib_of_the_watchers": round(memory[1], 1), "memory_mib_of_airflows_bookkeeping": round(memory[0], 1),
        "detection_delay_seconds": spread(delays), "loop_lag_ms": spread(late),
        "load": [round(load, 1) for load in os.getloadavg()],
    }  # fmt: skip


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
    parser.add_argument(
        "--slow", type=int, default=0, help="so many of them are at a server that says nothing"
    )
    parser.add_argument("--dovecot", action="store_true", help="Dovecot in place of Twisted; needs root")
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the figures go")
    parser.add_argument("--add", action="store_true", help="keep the figures that are there")
    chosen = parser.parse_args()
    rows = []
    for maildrops in chosen.maildrops:
        mails = min(chosen.mails, maildrops - chosen.slow)
        rows.append(
            measure(
                maildrops, chosen.interval, chosen.seconds, mails, slow=chosen.slow, dovecot=chosen.dovecot
            )
        )
        print(json.dumps(rows[-1], indent=2), flush=True)
    chosen.json.parent.mkdir(exist_ok=True)
    before = json.loads(chosen.json.read_text())["rows"] if chosen.add and chosen.json.exists() else []
    document = {"machine": machine(), "rows": before + rows}
    chosen.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
