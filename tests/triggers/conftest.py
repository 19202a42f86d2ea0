"""A mailbox of the connection ``orders``, a base path, and time that passes when a watcher sleeps."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server


@pytest.fixture(autouse=True)
def base_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The configured base path, a folder."""
    url = (tmp_path / "base").as_uri()
    monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__BASE_PATH", url)
    return url


@pytest.fixture
def store(base_path: str) -> Store:
    return Store.at(base_path)


@pytest.fixture
def define(connection: Callable[..., str]) -> Callable[..., str]:
    """The connection ``orders`` for a server, with options."""

    def define_it(server: FaultyPop3Server, *, password: str = "", **options: Any) -> str:
        extra = {"security": "plain", "reply_timeout": 2, "poll_interval": 7, **options}
        return connection(
            "orders",
            conn_type="pop3",
            host=server.host,
            port=server.port,
            login="orders",
            password=password or server.password,
            extra=json.loads(json.dumps(extra)),
        )

    return define_it


@pytest.fixture
def server(define: Callable[..., str]) -> Iterator[FaultyPop3Server]:
    """A POP3 server with the mailbox of the connection ``orders``."""
    with FaultyPop3Server(orders=[]) as running:
        define(running)
        yield running
