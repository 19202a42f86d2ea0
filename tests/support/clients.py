"""One way to drive both clients, and a sink that keeps what they bring; imported by tests as ``support.clients``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.pop3 import AsyncPop3Client, Pop3Client


class _AsyncAsBlocking:
    """The asyncio client with a blocking face, so that one test drives both."""

    def __init__(self, client: AsyncPop3Client, loop: asyncio.AbstractEventLoop) -> None:
        self._client, self._loop = client, loop

    def __getattr__(self, name: str) -> object:
        value = getattr(self._client, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: self._loop.run_until_complete(value(*args, **kwargs))

    def __enter__(self) -> _AsyncAsBlocking:
        return self

    def __exit__(self, *error: object) -> None:
        self._loop.run_until_complete(self._client.__aexit__(None, None, None))


@pytest.fixture(params=["blocking", "asyncio"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Pop3Client]]:
    """``connect(site)`` opens the client under test; it is closed after the test."""
    opened: list[Pop3Client] = []
    loop = asyncio.new_event_loop()

    def open_client(site: RemoteSite, **options: bool) -> Pop3Client:
        if request.param == "blocking":
            client = Pop3Client.connect(site, **options)
        else:
            asynchronous = loop.run_until_complete(AsyncPop3Client.connect(site, **options))
            client = _AsyncAsBlocking(asynchronous, loop)  # type: ignore[assignment]
        opened.append(client)
        return client

    yield open_client
    for client in opened:
        client.close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


class Box:
    """A sink that keeps whole mails, to be compared."""

    def __init__(self) -> None:
        self.mails: dict[int, bytes] = {}
        self.errors: dict[int, Exception] = {}
        self.order: list[int] = []
        self.open: bytearray | None = None

    def begin(self, number: int) -> None:
        assert self.open is None, "a mail begins inside another"
        self.open = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert self.open is not None
        assert len(data) > 0, "nothing was written"
        self.open += data

    def end(self, number: int) -> None:
        assert self.open is not None
        self.mails[number] = bytes(self.open)
        self.order.append(number)
        self.open = None

    def refused(self, number: int, error: Exception) -> None:
        assert self.open is None
        self.errors[number] = error
        self.order.append(number)
