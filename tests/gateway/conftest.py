"""Opens maildrops for the tests of the use cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.maildrop import Maildrop

from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server


@pytest.fixture
def maildrop(tmp_path: Path) -> Iterator[Callable[..., Maildrop]]:
    """Opens maildrops: ``maildrop(mail, mail, …, option=value)``; options are those of the site."""
    servers: list[FaultyPop3Server] = []

    def open_one(*mails: bytes, **options: Any) -> Maildrop:
        server = FaultyPop3Server(edi=mails)
        servers.append(server.__enter__())
        return Maildrop(server, Store.at(tmp_path)).setup(**options)

    yield open_one
    for server in servers:
        server.__exit__(None, None, None)
