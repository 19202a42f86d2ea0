"""An attempt to send has one owner, and a dead owner does not hold up the next one."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from airflow_pop3_gateway.store import Store, attempts, layout

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=timezone.utc)


def key_of(number: int) -> str:
    return layout.sent_attempt("k" * 40, number)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.at(tmp_path)


def claim_of(store: Store, host: str, pid: int) -> None:
    mark = {"at": layout.timestamp(NOW), "host": host, "pid": pid}
    store.put(key_of(1), json.dumps(mark).encode())


def test_another_hosts_claim_is_believed_for_the_lease(store: Store) -> None:
    claim_of(store, "elsewhere", 1)
    assert attempts.claim(store, key_of, 0, NOW + attempts.LEASE) is None
    assert attempts.claim(store, key_of, 0, NOW + attempts.LEASE, timedelta(hours=1)) is None
    assert attempts.claim(store, key_of, 0, NOW + attempts.LEASE + timedelta(seconds=1)) == 2


def test_a_dead_process_of_this_host_is_taken_over_at_once(store: Store) -> None:
    dead = subprocess.run(
        [sys.executable, "-c", "import os, socket; print(socket.gethostname(), os.getpid())"],
        check=True,
        capture_output=True,
        text=True,
    )
    host, pid = dead.stdout.split()
    claim_of(store, host, int(pid))
    assert attempts.claim(store, key_of, 0, NOW) == 2


def test_the_next_attempt_follows_those_that_are_written_down(store: Store) -> None:
    assert attempts.claim(store, key_of, 0, NOW) == 1
    assert attempts.claim(store, key_of, 1, NOW) == 2
