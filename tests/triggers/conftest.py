"""A mailbox of the connection ``orders``, a base path, and time that passes when a watcher sleeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support.orders import base_path

from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server

__all__ = ["base_path"]


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
            extra=extra,
        )

    return define_it


@pytest.fixture
def server(define: Callable[..., str]) -> Iterator[FaultyPop3Server]:
    """A POP3 server with the mailbox of the connection ``orders``."""
    with FaultyPop3Server(orders=[]) as running:
        define(running)
        yield running
