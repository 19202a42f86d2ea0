"""Watching: one session a look, "later" waits, "no" waits long, and nothing is ever raised."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ConnectionLost,
    LoginDelayed,
    MailboxInUse,
    StoreUnavailable,
    TimedOut,
)
from airflow_pop3_gateway.gateway import peek, suspend
from airflow_pop3_gateway.gateway.clock import utc_now
from airflow_pop3_gateway.gateway.peek import Awaited, Sight
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server
from airflow_pop3_gateway.testing.pop3_server import Pop3Server
from airflow_pop3_gateway.triggers.watch import LONGEST, REFUSED, Rhythm, Trouble, Watch, watch

LETTER = b"From: partner@example.com\r\nSubject: invoice 7\r\nMessage-ID: <1@example.com>\r\n\r\nhello\r\n"


class Asleep:
    """A sleep that takes no time; after so many naps it wakes the test up instead."""

    def __init__(self, naps: int) -> None:
        self.naps: list[float] = []
        self._most = naps

    async def __call__(self, seconds: float) -> None:
        self.naps.append(seconds)
        await asyncio.sleep(0)
        if len(self.naps) > self._most:
            raise asyncio.CancelledError


def watched(subject: Watch, looks: int) -> tuple[list[Sight | Trouble], list[float]]:
    """So many looks, and the pauses after them."""
    asleep = Asleep(looks)
    outcomes: list[Sight | Trouble] = []

    async def run() -> None:
        async for outcome in watch(subject, sleep=asleep):
            outcomes.append(outcome)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    return outcomes, asleep.naps[1:]


def look(subject: Watch) -> Sight:
    return asyncio.run(subject.look())


def test_a_look_sees_what_a_session_would_fetch_and_leaves_it(server: FaultyPop3Server) -> None:
    server.mailboxes["orders"].deliver(LETTER)
    sight = look(Watch("orders"))
    assert (sight.messages, sight.octets, sight.site) == (1, len(LETTER), "orders")
    assert server.transcript[-1] == "QUIT"
    assert len(server.mailboxes["orders"].mails) == 1


def test_a_subject_is_asked_for_in_the_same_session(server: FaultyPop3Server) -> None:
    server.mailboxes["orders"].deliver(LETTER)
    assert look(Watch("orders", awaited=Awaited(subject="invoice*"))).messages == 1
    assert look(Watch("orders", awaited=Awaited(subject="order*"))).messages == 0
    assert server.mailboxes["orders"].logins == 2


def test_nobody_connects_to_a_site_that_is_suspended(server: FaultyPop3Server, store: Store) -> None:
    suspend("orders", store, utc_now(), by="operator", reason="migration")
    (sight,), _ = watched(Watch("orders"), 1)
    assert isinstance(sight, Sight)
    assert "migration" in sight.held
    assert server.transcript == []


def test_the_connection_says_how_often_is_looked(server: FaultyPop3Server) -> None:
    outcomes, pauses = watched(Watch("orders"), 2)
    assert [outcome.messages for outcome in outcomes if isinstance(outcome, Sight)] == [0, 0]
    assert all(7 * 0.9 <= pause <= 7 * 1.1 for pause in pauses), "as poll_interval says, with some jitter"


@pytest.mark.parametrize("fault", ["in-use", "login-delay", "sys-temp", "greeting-err", "cut:UIDL"])
def test_trouble_that_may_pass_is_told_and_tried_again(server: FaultyPop3Server, fault: str) -> None:
    server.faults = {fault}
    outcomes, _ = watched(Watch("orders"), 2)
    assert [type(outcome) for outcome in outcomes] == [Trouble, Trouble]


def test_a_refused_login_is_not_tried_again_for_an_hour(server: FaultyPop3Server) -> None:
    server.faults = {"auth-fail"}
    minutes = int(REFUSED / 7)
    outcomes, pauses = watched(Watch("orders"), minutes)
    assert [outcome.kind for outcome in outcomes if isinstance(outcome, Trouble)] == ["AuthenticationFailed"]
    assert sum(line.startswith("PASS") for line in server.transcript) == 1
    assert sum(pauses) <= REFUSED


@pytest.mark.usefixtures("store")
def test_a_certificate_that_is_not_trusted_is_looked_at_again_within_minutes_and_told_once(
    pop3_server: Callable[..., Pop3Server],
    connection: Callable[..., str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No password was said, so no account can be locked: mail must flow soon after the certificate is mended."""
    server = pop3_server({"orders": [LETTER]}, security="tls")
    connection("orders", conn_type="pop3", host="localhost", port=server.port, login="orders",
               password="secret", extra={"security": "tls", "poll_interval": 200})  # fmt: skip
    caplog.set_level(logging.INFO, "airflow_pop3_gateway.triggers.watch")
    outcomes, pauses = watched(Watch("orders"), 3)
    assert [outcome.kind for outcome in outcomes if isinstance(outcome, Trouble)] == ["TlsFailed"] * 3
    assert all(pause <= LONGEST for pause in pauses)
    (told,) = [record for record in caplog.records if "TlsFailed" in record.getMessage()]
    assert told.levelno == logging.ERROR, "it does not pass by itself"


def test_a_new_password_is_tried_at_once(
    server: FaultyPop3Server, define: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    define(server, password="old")
    subject = Watch("orders")
    read = subject.read_site

    async def read_and_mend() -> RemoteSite:
        site = await read()
        define(server)
        return site

    monkeypatch.setattr(subject, "read_site", read_and_mend)
    outcomes, _ = watched(subject, 3)
    assert [type(outcome) for outcome in outcomes[:2]] == [Trouble, Sight]


def test_a_connection_is_read_once_for_many_looks(
    server: FaultyPop3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading it keeps the triggerer's other process busy."""
    subject, reads = Watch("orders"), 0
    read = subject.read_site

    async def count() -> RemoteSite:
        nonlocal reads
        reads += 1
        return await read()

    monkeypatch.setattr(subject, "read_site", count)
    watched(subject, 5)
    assert (server.mailboxes["orders"].logins, reads) == (5, 1)


def test_a_password_that_was_changed_counts_at_the_next_look(
    server: FaultyPop3Server, define: Callable[..., str]
) -> None:
    subject = Watch("orders")
    look(subject)
    server.password = "changed"
    with pytest.raises(AuthenticationFailed):
        look(subject)
    server.password = "secret"
    look(subject)
    server.password = "changed"
    define(server)
    assert look(subject).messages == 0


def test_a_connection_that_is_missing_or_makes_no_sense_is_trouble_too(
    connection: Callable[..., str],
) -> None:
    (first, *_), _ = watched(Watch("nowhere"), 1)
    assert isinstance(first, Trouble)
    assert first.kind == "ConnectionMissing"
    connection("orders", conn_type="http", host="x")
    (second, *_), _ = watched(Watch("orders"), 1)
    assert isinstance(second, Trouble)


def test_a_defect_of_ours_is_trouble_and_not_the_end(
    server: FaultyPop3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> RemoteSite:
        raise RuntimeError("a bug")

    subject = Watch("orders")
    monkeypatch.setattr(subject, "read_site", fail)
    outcomes, _ = watched(subject, 3)
    assert [outcome.kind for outcome in outcomes if isinstance(outcome, Trouble)] == ["RuntimeError"] * 3


def test_the_log_tells_a_change_once_and_no_secret(
    server: FaultyPop3Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.faults = {"sys-temp"}
    caplog.set_level(logging.INFO, "airflow_pop3_gateway.triggers.watch")
    watched(Watch("orders"), 4)
    lines = [record.getMessage() for record in caplog.records if "ServerUnavailable" in record.getMessage()]
    assert len(lines) == 1
    assert server.password not in caplog.text


def fixed(low: float, high: float) -> float:
    return high


def test_trouble_doubles_the_pause_up_to_a_bound_and_the_first_good_look_ends_that() -> None:
    rhythm = Rhythm(60, shake=fixed)
    pauses = [rhythm.after_trouble(ConnectionLost("x")) for _ in range(6)]
    assert pauses == [60, 120, 240, LONGEST, LONGEST, LONGEST]
    assert rhythm.after(Sight("orders")) == pytest.approx(66)
    assert rhythm.after_trouble(StoreUnavailable("x")) == 60


def test_a_maildrop_in_use_is_looked_at_next_time_for_it_is_probably_our_own_run() -> None:
    rhythm = Rhythm(60, shake=fixed)
    assert [rhythm.after_trouble(MailboxInUse("x")) for _ in range(3)] == pytest.approx([66, 66, 66])


def test_what_the_server_asks_for_between_logins_is_kept() -> None:
    rhythm = Rhythm(60, shake=fixed)
    assert rhythm.after(Sight("orders", login_delay=600)) > 600
    assert rhythm.after_trouble(LoginDelayed("x", delay=900)) > 900


def test_the_pauses_of_many_watchers_differ() -> None:
    assert len({Rhythm(60).after(Sight("orders")) for _ in range(20)}) > 1
    assert len({Rhythm(60).after_trouble(AuthenticationFailed("x")) for _ in range(20)}) > 1


def test_sessions_of_one_process_are_bounded(
    server: FaultyPop3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two at once would meet [IN-USE] here; with one slot the second waits for the first."""
    monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__WATCHER_SESSIONS", "1")

    async def both() -> list[Sight]:
        return await asyncio.gather(*(Watch("orders").look() for _ in range(4)))

    assert [sight.messages for sight in asyncio.run(both())] == [0] * 4


@pytest.mark.usefixtures("server")
def test_no_session_at_all_is_a_mistake_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__WATCHER_SESSIONS", "0")

    async def look() -> Sight:
        return await asyncio.wait_for(Watch("orders").look(), 10)

    with pytest.raises(ConfigurationError, match="watcher_sessions"):
        asyncio.run(look())


@asynccontextmanager
async def serving(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[int]:
    """A server on this event loop. :returns: its port."""
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def test_a_server_that_never_answers_keeps_nobody_else_waiting(
    server: FaultyPop3Server, connection: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds a quarter of the sessions, however many maildrops it has."""
    monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__WATCHER_SESSIONS", "8")

    async def run() -> tuple[Sight, int]:
        open_there = 0

        async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal open_there
            open_there += 1
            await reader.read()
            writer.close()

        async with serving(stay_silent) as port:
            names = [
                connection(f"slow{number}", conn_type="pop3", host="127.0.0.1", port=port, login="x",
                           password="secret", extra={"security": "plain"})
                for number in range(20)
            ]  # fmt: skip
            stuck = [asyncio.create_task(Watch(name).look()) for name in names]
            while open_there < 2:
                await asyncio.sleep(0.01)
            sights = [await asyncio.wait_for(Watch("orders").look(), 60) for _ in range(3)]
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
            return sights[-1], open_there

    sight, most = asyncio.run(run())
    assert sight.site == "orders"
    assert most == 2


def test_several_servers_that_never_answer_leave_sessions_for_the_others(
    server: FaultyPop3Server, connection: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each holds a part of what the others left, so they never hold everything."""
    monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__WATCHER_SESSIONS", "16")

    async def run() -> tuple[Sight, list[int]]:
        open_at = [0] * 4

        def silent(number: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]:
            async def stay_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                open_at[number] += 1
                await reader.read()
                writer.close()

            return stay_silent

        async with AsyncExitStack() as servers:
            ports = [await servers.enter_async_context(serving(silent(number))) for number in range(4)]
            names = [
                connection(f"slow{number}", conn_type="pop3", host="127.0.0.1", port=ports[number % 4], login="x",
                           password="secret", extra={"security": "plain"})
                for number in range(40)
            ]  # fmt: skip
            stuck = [asyncio.create_task(Watch(name).look()) for name in names]
            while not all(open_at):
                await asyncio.sleep(0.01)
            sights = [await asyncio.wait_for(Watch("orders").look(), 60) for _ in range(3)]
            most = list(open_at)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
            again = [await asyncio.wait_for(Watch("orders").look(), 60) for _ in range(17)]
            return (sights + again)[-1], most

    sight, most = asyncio.run(run())
    assert sight.site == "orders", "and whoever gave up gave back what it held"
    assert max(most) <= 4 and sum(most) < 16


def test_a_name_that_nobody_resolves_keeps_nobody_else_waiting(
    server: FaultyPop3Server, connection: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threads of an event loop that look names up are few."""
    asked, answered, real = threading.Event(), threading.Event(), socket.getaddrinfo

    def look_up(host: str, *more: Any, **options: Any) -> Any:
        if host == "dead.example":
            asked.set()
            answered.wait()
            raise socket.gaierror("no answer")
        return real(host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)

    async def run() -> Sight:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2))
        names = [
            connection(f"dead{number}", conn_type="pop3", host="dead.example", login="x", password="secret",
                       extra={"security": "plain"})
            for number in range(10)
        ]  # fmt: skip
        stuck = [asyncio.create_task(Watch(name).look()) for name in names]
        while not asked.is_set():
            await asyncio.sleep(0.01)
        try:
            return await asyncio.wait_for(Watch("orders").look(), 60)
        finally:
            answered.set()
            troubles = await asyncio.gather(*stuck, return_exceptions=True)
            assert {type(trouble) for trouble in troubles} == {ConnectionLost}

    assert asyncio.run(run()).site == "orders"


def test_a_server_that_answers_octet_by_octet_is_left_after_a_while(
    connection: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every octet ends a silence; what counts is how long the look takes."""
    monkeypatch.setattr(peek, "LONGEST_LOOK", 0.2)

    async def run() -> None:
        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while not reader.at_eof():
                    writer.write(b"+")
                    await writer.drain()
                    await asyncio.sleep(0.01)
            writer.close()

        async with serving(drip) as port:
            connection("slow", conn_type="pop3", host="127.0.0.1", port=port, login="x", password="secret",
                       extra={"security": "plain"})  # fmt: skip
            with pytest.raises(TimedOut, match="end of the session"):
                await Watch("slow").look()

    asyncio.run(run())
