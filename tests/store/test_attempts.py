"""An attempt to send has one owner, and a dead owner does not hold up the next one."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from airflow_pop3_gateway.hooks.submission import LAST_REPLY
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


def test_a_claim_holds_while_a_relay_may_still_answer(store: Store) -> None:
    """The answer to a mail may take ten minutes, and those before it some: who is passed over sends it twice."""
    claim_of(store, "elsewhere", 1)
    assert (
        attempts.claim(store, key_of, 0, NOW + timedelta(seconds=LAST_REPLY) + timedelta(minutes=8)) is None
    )


@contextlib.contextmanager
def claimed_by_another_process(store: Store) -> Iterator[None]:
    """It ends with the block."""
    claim = (
        "import sys; from datetime import datetime; from airflow_pop3_gateway.store import Store, attempts; "
        "attempts.claim(Store.at(sys.argv[1]), lambda number: sys.argv[2], 0, datetime.fromisoformat(sys.argv[3])); "
        "print('claimed', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", claim, store.url, key_of(1), NOW.isoformat()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "claimed\n"
        yield
        process.stdin.close()


def test_a_process_of_this_host_that_lives_is_believed_for_the_lease(store: Store) -> None:
    with claimed_by_another_process(store):
        assert attempts.claim(store, key_of, 0, NOW) is None


def test_a_dead_process_of_this_host_is_taken_over_at_once(store: Store) -> None:
    with claimed_by_another_process(store):
        pass
    assert attempts.claim(store, key_of, 0, NOW) == 2


def test_a_process_of_another_container_with_our_host_name_is_not_believed_dead(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers in their host's network have its name and see only processes of their own."""
    with claimed_by_another_process(store):
        pass
    monkeypatch.setattr(os, "readlink", lambda path: "pid:[1]")
    assert attempts.claim(store, key_of, 0, NOW) is None


def test_the_next_attempt_follows_those_that_are_written_down(store: Store) -> None:
    assert attempts.claim(store, key_of, 0, NOW) == 1
    assert attempts.claim(store, key_of, 1, NOW) == 2
