"""What tasks run in: a base path, and a mailbox with its connection; imported by tests as ``support.orders``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server


@pytest.fixture(autouse=True)
def base_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The configured base path, a folder."""
    url = (tmp_path / "base").as_uri()
    monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__BASE_PATH", url)
    return url


@pytest.fixture
def server(connection: Callable[..., str]) -> Iterator[FaultyPop3Server]:
    """A POP3 server with the mailbox of the connection ``orders``."""
    with FaultyPop3Server(orders=[]) as running:
        connection(
            "orders",
            conn_type="pop3",
            host=running.host,
            port=running.port,
            login="orders",
            password=running.password,
            extra={
                "security": "plain",
                "retry_count_max": 0,
                "reply_timeout": 2,
                "mail_address": "orders@example.com",
            },
        )
        yield running
