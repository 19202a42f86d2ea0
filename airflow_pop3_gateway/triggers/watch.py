"""Watching maildrops from an event loop: who looks, how many at once, and when the next look is due.

Strategy: connections, ledgers and suspensions are read in threads, for Airflow's secrets and object storage block; the
session itself is the asyncio client's. A look takes a few round trips; at most ``[pop3_gateway] watcher_sessions`` of
one process are open at the same time, and a server that holds many gets no more while few are left: slow ones keep
nobody else waiting. A connection is remembered for :data:`REMEMBERED`, and read anew when a look fails: a new password
counts at once.

Invariant: nothing waits without a deadline; a server that said "later" is left alone as long as it asks, one that
refused a login for :data:`REFUSED` or until the connection was changed, so that no account is locked out by a watcher.
Whatever else is wrong, a certificate too, locks nobody out: it is looked at again after :data:`LONGEST` at the latest.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import logging
import random
import time
import weakref
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from airflow.sdk.configuration import conf

from airflow_pop3_gateway.config import Address, RemoteSite, at_least
from airflow_pop3_gateway.errors import (
    AuthenticationFailed,
    GatewayError,
    MailboxInUse,
    Pop3Error,
    StoreError,
)
from airflow_pop3_gateway.gateway.peek import Awaited, Lookout, Sight, patient, take
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.hooks.store import base_path_in_force, forget_store, kept_store
from airflow_pop3_gateway.pop3 import AsyncPop3Client

log = logging.getLogger(__name__)

LONGEST = 300.0
"""Seconds between two looks at most, while a server is in trouble: soon enough after the trouble, rare enough in it."""
REFUSED = 3600.0
"""Seconds until a login that was refused is tried again, unless the connection is changed before."""
REMEMBERED = 300.0
"""Seconds until a connection is read again though all is well. Reading it makes Airflow mask its secrets through the
triggerer's other process, which looks after every trigger in the database whenever it is spoken to."""
FIRST = 5.0
"""Seconds over which the first looks of many watchers are spread when a triggerer starts."""

Sleep = Callable[[float], Awaitable[Any]]

T = TypeVar("T")

_threads = ThreadPoolExecutor(16, "pop3-watch")
_of_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Sessions] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Trouble:
    """Why a look failed. :ivar kind: the error's class; :ivar message: what happened and what to do about it."""

    kind: str
    message: str


class Watch:
    """One maildrop, looked at again and again.

    :param base_path: where its ledger lies; default: ``[pop3_gateway] base_path``.
    """

    def __init__(self, pop3_conn_id: str, base_path: str | None = None, awaited: Awaited = Awaited()) -> None:
        self.pop3_conn_id = pop3_conn_id
        self.site: RemoteSite | None = None
        self._base_path = base_path_in_force(base_path)
        self._awaited = awaited
        self._lookout: Lookout | None = None
        self._known_until = 0.0

    async def look(self) -> Sight:
        """Look once; when that fails with a connection that was remembered and has changed, once more.

        :raises GatewayError: typed by what to do next.
        """
        site = self.site if time.monotonic() < self._known_until else None
        remembered = site is not None
        if site is None:
            self.site = None
            self.site = site = await self.read_site()
            self._known_until = time.monotonic() + REMEMBERED
        try:
            return await self._look_at(site)
        except GatewayError:
            self._known_until = 0.0
            if not remembered:
                raise
            self.site = changed = await self.read_site()
            if changed == site:
                raise
        return await self._look_at(changed)

    async def read_site(self) -> RemoteSite:
        """The account as its connection says now."""
        return await in_thread(lambda: Pop3Hook(self.pop3_conn_id).site)

    async def _look_at(self, site: RemoteSite) -> Sight:
        try:
            if self._lookout is None:
                self._lookout = Lookout(await in_thread(kept_store, self._base_path), self._awaited)
            return await _look(self._lookout, site)
        except StoreError:
            self._lookout = None
            forget_store(self._base_path)
            raise


async def _look(lookout: Lookout, site: RemoteSite) -> Sight:
    """The steps of :mod:`~airflow_pop3_gateway.gateway.peek`; the maildrop is free again before the store is asked."""
    if (held := await in_thread(lookout.held, site)) is not None:
        return held
    async with _sessions().at(site.address), await AsyncPop3Client.connect(patient(site)) as client:
        listing = await client.converse(take)
        if lookout.judges:
            numbers = await in_thread(lookout.unknown, site, listing)
            await client.converse(lookout.judge, numbers, listing)
        with contextlib.suppress(Pop3Error):
            await client.quit()
    if not lookout.judges:
        numbers = await in_thread(lookout.unknown, site, listing)
    return lookout.sight(site, numbers, listing, client.login_delay)


async def in_thread(work: Callable[..., T], *arguments: Any, threads: ThreadPoolExecutor = _threads) -> T:
    """Like ``asyncio.to_thread``, in threads of our own: names that nobody resolves keep the event loop's busy."""
    call = functools.partial(contextvars.copy_context().run, work, *arguments)
    return await asyncio.get_running_loop().run_in_executor(threads, call)


class _Sessions:
    """What bounds the sessions of one event loop: a server may hold a third of those that are free.

    So one server has a quarter of them at most, a second one a quarter of the rest, and some are left for those that
    answer. Of servers that wait for a turn, the one that holds the fewest is next.

    :param most: sessions in all.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._held: Counter[Address] = Counter()
        self._waiting: dict[Address, deque[asyncio.Future[None]]] = {}

    @contextlib.asynccontextmanager
    async def at(self, address: Address) -> AsyncIterator[None]:
        """Wait for a turn at a server."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(address, deque()).append(turn)
        self._admit()
        try:
            await turn
            yield
        finally:
            if not turn.cancelled():
                self._free += 1
                self._held[address] -= 1
                self._held += Counter()  # forgets who holds none
                self._admit()

    def _admit(self) -> None:
        while self._waiting:
            address = min(self._waiting, key=self._held.__getitem__)
            if self._free <= 3 * self._held[address]:
                return  # nor may any other, for they hold more
            turns = self._waiting[address]
            turn = turns.popleft()
            if not turns:
                del self._waiting[address]
            if not turn.done():
                self._free -= 1
                self._held[address] += 1
                turn.set_result(None)


def _sessions() -> _Sessions:
    """Those of this event loop."""
    loop = asyncio.get_running_loop()
    if loop not in _of_loops:
        most = conf.getint("pop3_gateway", "watcher_sessions", fallback=100)
        at_least("[pop3_gateway] watcher_sessions", most, 1)
        _of_loops[loop] = _Sessions(most)
    return _of_loops[loop]


class Rhythm:
    """When the next look is due. :param interval: seconds between two looks when all is well."""

    def __init__(self, interval: float, *, shake: Callable[[float, float], float] = random.uniform) -> None:
        self.interval = interval
        self._shake = shake
        self._troubles = 0

    def after(self, sight: Sight) -> float:
        """Seconds until the look after one that went well."""
        self._troubles = 0
        return max(self.interval * self._shake(0.9, 1.1), _a_little_more_than(sight.login_delay))

    def after_trouble(self, error: Exception) -> float:
        """Seconds until the look after one that failed: doubling; a maildrop in use is only looked at next time."""
        if isinstance(error, MailboxInUse):
            return self.interval * self._shake(0.9, 1.1)
        self._troubles += 1
        pause = min(self.interval * 2.0 ** min(self._troubles - 1, 20), max(LONGEST, self.interval))
        return max(pause * self._shake(0.75, 1.0), _a_little_more_than(getattr(error, "delay", 0)))


def _a_little_more_than(login_delay: int) -> float:
    return login_delay + 1.0 if login_delay else 0.0


async def watch(watched: Watch, *, sleep: Sleep = asyncio.sleep) -> AsyncIterator[Sight | Trouble]:
    """Look for ever, and tell each time what was seen or why nothing was; never raises for trouble.

    Airflow starts a watcher that failed again after two seconds: with a wrong password that would lock the account.
    """
    name, rhythm, told = watched.pop3_conn_id, Rhythm(60.0), "well"
    await sleep(random.uniform(0, FIRST))
    while True:
        refused: RemoteSite | None = None
        outcome: Sight | Trouble
        trouble: Exception | None = None
        try:
            outcome = await watched.look()
        except Exception as error:  # noqa: BLE001 - also one of Airflow's or ours: whoever raises is started at once
            outcome, trouble = Trouble(type(error).__name__, str(error)), error
        if watched.site is not None:
            rhythm.interval = watched.site.poll_interval
        if isinstance(outcome, Sight):
            state, pause = outcome.held or "well", rhythm.after(outcome)
        else:
            assert trouble is not None
            state, pause = f"{outcome.kind}: {outcome.message}", rhythm.after_trouble(trouble)
            if isinstance(trouble, AuthenticationFailed):
                refused, pause = watched.site, REFUSED
        if state != told:
            _tell(name, told, state, pause, trouble)
            told = state
        yield outcome
        if refused is None:
            await sleep(pause)
        else:
            await _until_changed(watched, refused, pause, sleep)


def _tell(name: str, before: str, state: str, pause: float, trouble: Exception | None) -> None:
    if trouble is not None:
        passes = getattr(trouble, "retriable", False)
        level = logging.WARNING if passes else logging.ERROR  # a person must do something
        log.log(level, "%s: %s Next look in %.0f s.", name, state, pause)
    elif state == "well":
        log.info("%s: looked at again; it was: %s", name, before)
    else:
        log.info("%s: not looked at: %s", name, state)


async def _until_changed(watched: Watch, refused: RemoteSite, seconds: float, sleep: Sleep) -> None:
    """Wait, but only as long as the connection is the one that was refused; reading it asks no server."""
    left = seconds
    while left > 0:
        await sleep(min(left, refused.poll_interval))
        left -= refused.poll_interval
        with contextlib.suppress(Exception):
            if await watched.read_site() != refused:
                return
