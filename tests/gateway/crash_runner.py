"""Runs the way of a mail in a child process that kills itself at the n-th step; a program for the tests.

Reads one JSON object a line: ``{"pop3": port, "smtp": port, "base": path, "login": …, "die_at": n, "together": …}``. A
step is every moment before and after something happens outside the process: a write, a publication, a command, a message handed
to the relay. Answers with ``{"status": exit status or -signal, "steps": steps taken}``. ``die_at`` 0 never dies.
"""

from __future__ import annotations

import json
import os
import signal
import smtplib
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_pop3_gateway.config import Address, LocalSite, RemoteSite
from airflow_pop3_gateway.gateway import acknowledge, classify, retrieve
from airflow_pop3_gateway.pop3 import Pop3Client
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.store.groups import Group
from airflow_pop3_gateway.store.writers import LocalWriter


class Steps:
    """Counts, and dies at the step it was told."""

    def __init__(self, die_at: int, report: int) -> None:
        self.count, self.die_at, self._report = 0, die_at, report

    def __call__(self) -> None:
        self.count += 1
        if self.count == self.die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, target: Any, *names: str) -> Any:
        """The target, with a step before and after each call of the named methods."""
        return _Around(self, target, names)


class _Around:
    def __init__(self, steps: Steps, target: Any, names: Sequence[str]) -> None:
        self._steps, self._target, self._names = steps, target, names

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._target, name)
        if name not in self._names:
            return attribute

        def call(*args: Any, **kwargs: Any) -> Any:
            self._steps()
            result = attribute(*args, **kwargs)
            self._steps()
            return result

        return call


class SteppingGroup(Group):
    """A group where every file that is written, every sync and every name that appears is a step."""

    steps: Steps

    def write_out(self, writer: LocalWriter) -> None:
        self.steps()
        super().write_out(writer)
        self.steps()

    def link(self, writer: LocalWriter) -> None:
        self.steps()
        super().link(writer)
        self.steps()

    def sync(self) -> None:
        self.steps()
        super().sync()
        self.steps()


class SteppingStore(Store):
    """A store where every write, publication and removal is a step.

    :ivar together: mails are filed together, as on a disk; else each by itself, as on an object store.
    """

    together = True

    steps: Steps

    def create(self, key: str, group: Group | None = None) -> Any:
        return self.steps.around(super().create(key, group), "write", "commit")

    def group(self) -> SteppingGroup | None:
        group = SteppingGroup(self._root) if self.together else None
        if group is not None:
            group.steps = self.steps
        return group

    def replace(self, key: str, data: bytes) -> None:
        self.steps()
        super().replace(key, data)
        self.steps()

    def delete(self, key: str) -> None:
        self.steps()
        super().delete(key)
        self.steps()


def run(order: dict[str, Any], steps: Steps) -> None:
    """Retrieve, classify and acknowledge once."""
    site = RemoteSite(
        name="edi",
        address=Address("127.0.0.1", order["pop3"]),
        login=order["login"],
        password="secret",
        security="plain",
        local_site=LocalSite(mail_address="edi@us.example"),
        **order.get("site", {}),
    )
    store = SteppingStore.at(Path(order["base"]))
    store.steps, store.together = steps, order["together"]

    @contextmanager
    def connect(site: RemoteSite, *, listings: bool) -> Iterator[Any]:
        with Pop3Client.connect(site, listings=listings) as client:
            yield steps.around(client, "listings", "top_many", "retrieve", "quit", "leave")

    def send(mail_from: str, recipients: Sequence[str], message: bytes) -> None:
        steps()
        with smtplib.SMTP("127.0.0.1", order["smtp"]) as relay:
            relay.sendmail(mail_from, list(recipients), message)
        steps()

    retrieve(site, store, connect)
    classify(site, store)
    acknowledge(site, store, send)


def child(order: dict[str, Any], report: int) -> None:
    """The process that may die."""
    steps = Steps(order["die_at"], report)
    SteppingStore.steps = Steps(0, report)  # opening the store is not part of the way
    try:
        run(order, steps)
        os.write(report, str(steps.count).encode())
        os._exit(0)
    except BaseException:  # noqa: BLE001 - a child that goes on would read the orders of its parent
        traceback.print_exc()
        os._exit(1)


def main() -> None:
    """Fork a child for each order."""
    for line in sys.stdin:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(read)
            child(json.loads(line), write)
        os.close(write)
        with os.fdopen(read) as pipe:
            steps = pipe.read()
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(json.dumps({"status": status, "steps": int(steps or 0)}), flush=True)


if __name__ == "__main__":
    main()
