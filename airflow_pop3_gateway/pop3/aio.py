"""The asyncio way to wait: the same dialogues on an event loop.

Strategy: a ``BufferedProtocol`` receives into the link's own buffer and lets it digest at once, so nothing piles up:
sinks are synchronous, and the next octets are read when this buffer is done. The coroutine wakes when its wish is
fulfilled, not at every buffer.
Invariant: every wait has a deadline; cancellation, a deadline, a loss or a violation aborts the transport.
"""

from __future__ import annotations

import asyncio
import logging
import math
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, TypeVar, cast

from airflow_pop3_gateway.config import Address, RemoteSite, TokenSource
from airflow_pop3_gateway.errors import (
    CommandRefused,
    ConfigurationError,
    ConnectionLost,
    Pop3Error,
    ProtocolViolation,
)
from airflow_pop3_gateway.pop3 import dialogues, opening
from airflow_pop3_gateway.pop3.dialogues import (
    AccessToken,
    Connect,
    Dialogue,
    Pause,
    Session,
    StartTls,
    Wish,
)
from airflow_pop3_gateway.pop3.inbox import Sink
from airflow_pop3_gateway.pop3.link import (
    PATIENCE,
    Client,
    Link,
    broken,
    protocol_log,
    timed_out,
    unreachable,
    usable_after,
)
from airflow_pop3_gateway.pop3.replies import Capabilities
from airflow_pop3_gateway.pop3.tls import context_for, fingerprint_of

T = TypeVar("T")

_logger = logging.getLogger(__name__)
_tokens = ThreadPoolExecutor(4, "pop3-token")
"""Of their own: an endpoint that hangs must not keep the loop's few threads."""
_asked: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Address, asyncio.Task[list[Any]]]] = (
    weakref.WeakKeyDictionary()
)
"""Names that are being looked up, by event loop."""


class _Octets(asyncio.BufferedProtocol):
    """Moves octets between the transport and a link, and notes what went wrong."""

    def __init__(self, link: Link, address: Address) -> None:
        self.link = link
        self.address = address
        self.transport: asyncio.Transport | None = None
        self.failure: BaseException | None = None
        self.moved = 0.0
        self.fulfilled: Callable[[], bool] = lambda: True
        self.waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # By its methods: uvloop's is of no class of asyncio.
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.link.space()

    def buffer_updated(self, nbytes: int) -> None:
        self._received(nbytes)

    def eof_received(self) -> None:
        self._received(0)

    def connection_lost(self, exc: Exception | None) -> None:
        lost = (
            broken(self.address, exc)
            if isinstance(exc, OSError)
            else ConnectionLost("the connection is closed.")
        )
        self.failure = self.failure or lost
        self._wake()

    def flush(self) -> None:
        """Hand over what is to be sent."""
        outgoing = self.link.outgoing()
        if outgoing and self.transport is not None:
            self.transport.write(bytes(outgoing))
            outgoing.clear()

    def leave(self) -> None:
        """Hand over what is to be sent, and close when it is gone."""
        self.flush()
        if self.transport is not None:
            self.transport.close()
            self.transport = None

    def abort(self) -> None:
        """Drop the connection."""
        if self.transport is not None:
            self.transport.abort()

    def _received(self, count: int) -> None:
        if self.failure is not None:
            return
        self.moved = asyncio.get_running_loop().time()
        try:
            self.link.received(count)
            self.flush()
        except Exception as error:  # noqa: BLE001 - a sink's as well: it belongs to the coroutine, not to the loop
            self.failure = error
            self.abort()
        if self.failure is not None or self.fulfilled():
            self._wake()

    def _wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


async def _dial(address: Address, link: Link, seconds: float) -> _Octets:
    """Connect, as :func:`dial.dial` does: one deadline, and its share of it for every address of the name."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + seconds
    found = await asyncio.wait_for(_look_up(address), seconds)
    places = list(dict.fromkeys(place for *_, place in found))
    trouble: OSError | asyncio.TimeoutError = OSError("the name has no address")
    for position, (host, port, *scope) in enumerate(places):
        left = (ends - loop.time()) / (len(places) - position)
        zone = f"%{scope[1]}" if any(scope[1:]) else ""
        opened = loop.create_connection(lambda: _Octets(link, address), f"{host}{zone}", int(port))
        try:
            return (await asyncio.wait_for(opened, left))[1]
        except (OSError, asyncio.TimeoutError) as error:
            trouble = error
    raise trouble


async def _look_up(address: Address) -> list[Any]:
    """Once for all who ask at the same time: a name server that does not answer keeps one thread busy, not each."""
    loop = asyncio.get_running_loop()
    asked = _asked.setdefault(loop, {})
    if address not in asked:
        asked[address] = loop.create_task(loop.getaddrinfo(address.host, address.port))
        asked[address].add_done_callback(lambda _: asked.pop(address))
    return await asyncio.shield(asked[address])


class AsyncPop3Client(Client):
    """:class:`blocking.Pop3Client` for an event loop: the same names, coroutines; sinks stay synchronous."""

    def __init__(self, site: RemoteSite) -> None:
        super().__init__(Session(site, protocol_log(_logger, site.name)))
        self._octets: _Octets | None = None
        self._ends = 0.0

    @classmethod
    async def connect(
        cls, site: RemoteSite, *, log_in: bool = True, listings: bool = False
    ) -> AsyncPop3Client:
        """Open a session as :meth:`blocking.Pop3Client.connect` does."""
        client = cls(site)
        try:
            await client._run(opening.open_session(client._session, log_in, listings))
        except BaseException:
            await client.close()
            raise
        return client

    async def stat(self) -> tuple[int, int]:
        """Number of mails, and their octets as the server counts."""
        return await self._run(dialogues.stat(self._session))

    async def list(self) -> dict[int, int]:
        """Number → octets as the server counts."""
        return await self._run(dialogues.listing(self._session))

    async def list_one(self, number: int) -> int:
        """Octets of one mail as the server counts."""
        return await self._run(dialogues.list_one(self._session, number))

    async def uidl(self) -> dict[int, str] | None:
        """Number → unique id as the server gives it; ``None``: the server has no UIDL."""
        return await self._run(dialogues.uidl(self._session))

    async def uidl_one(self, number: int) -> str:
        """Unique id of one mail as the server gives it."""
        return await self._run(dialogues.uidl_one(self._session, number))

    async def listings(self) -> tuple[dict[int, int], dict[int, str] | None]:
        """:meth:`list` and :meth:`uidl`, in one round trip where the server allows."""
        return await self._run(dialogues.listings(self._session))

    async def top(self, number: int, lines: int) -> bytes:
        """Header block and so many lines of the body."""
        return await self._run(dialogues.top(self._session, number, lines))

    async def top_many(self, numbers: Sequence[int], sink: Sink, lines: int = 0) -> None:
        """TOP of many into the sink, pipelined where the server allows."""
        await self._run(dialogues.bodies(self._session, "TOP", numbers, sink, f" {lines}"))

    async def retrieve(self, numbers: Sequence[int], sink: Sink) -> None:
        """RETR of many into the sink, pipelined where the server allows. What the sink raises closes the client."""
        await self._run(dialogues.bodies(self._session, "RETR", numbers, sink))

    async def delete(self, numbers: Sequence[int]) -> dict[int, CommandRefused]:
        """Mark for deletion at :meth:`quit`; the ones the server refused to mark."""
        return await self._run(dialogues.delete(self._session, numbers))

    async def noop(self) -> None:
        """Nothing, but heard."""
        await self._run(dialogues.ask(self._session, "NOOP"))

    async def rset(self) -> None:
        """Unmark everything marked for deletion."""
        await self._run(dialogues.ask(self._session, "RSET"))

    async def capa(self) -> Capabilities:
        """Ask again what the server can do."""
        return await self._run(dialogues.capa(self._session))

    async def languages(self) -> dict[str, str]:
        """Language tag → name (RFC 6856 §3.2)."""
        return await self._run(dialogues.languages(self._session))

    async def use_language(self, tag: str) -> str:
        """Let the server speak this language."""
        return await self._run(dialogues.language(self._session, tag))

    async def converse(self, dialogue: Callable[..., Dialogue[T]], *arguments: Any) -> T:
        """Hold a dialogue of one's own, ``dialogue(session, *arguments)``, made as :mod:`dialogues` tells."""
        return await self._run(dialogue(self._session, *arguments))

    async def quit(self, deleting: Sequence[int] = ()) -> dict[int, CommandRefused]:
        """End the session: the server removes what is marked, ``deleting`` too; the ones it refused to mark.

        :raises CommandRefused: it could not remove everything.
        :raises ConnectionLost, TimedOut: deletions are not certain.
        """
        try:
            return await self._run(dialogues.quit_(self._session, deleting))
        finally:
            await self.close()

    async def leave(self) -> None:
        """Say QUIT and close without waiting for the answer: for a session that marked nothing for deletion."""
        try:
            dialogues.leave(self._session)
            if self._octets is not None:
                self._octets.leave()
        except (ConnectionLost, ProtocolViolation):
            pass
        finally:
            await self.close()

    async def close(self) -> None:
        """Drop the connection without QUIT: nothing is deleted. May be called twice."""
        self._session.state = "closed"
        self._drop()

    async def __aenter__(self) -> AsyncPop3Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, dialogue: Dialogue[T]) -> T:
        try:
            # The loop looks at the socket, and digests: what the server said unasked is heard.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            wish = next(dialogue)
            while True:
                try:
                    result = await self._fulfil(wish)
                except Pop3Error as error:
                    wish = dialogue.throw(error)
                else:
                    wish = dialogue.send(result)
        except StopIteration as stop:
            outcome: T = stop.value
            return outcome
        except BaseException as error:
            if not usable_after(self._session, error):
                await self.close()
            raise

    async def _fulfil(self, wish: Wish) -> object:
        site, wire = self._session.site, self._session.wire
        if isinstance(wish, Connect):
            await self._connect(wish.address)
        elif isinstance(wish, Pause):
            await asyncio.sleep(wish.seconds)
        elif isinstance(wish, AccessToken):
            return site.token_source and await self._token(site.token_source, wish.refused)
        elif self._octets is None:
            raise ConnectionLost("the connection is closed.")
        elif isinstance(wish, StartTls):
            link = self._octets.link
            context = await asyncio.to_thread(context_for, site)  # reads the CA files
            link.start_tls(context, wish.server_hostname, fingerprint_of(site))
            ends = asyncio.get_running_loop().time() + site.handshake_timeout
            await self._move(
                self._octets, lambda: link.protected, "TLS handshake", site.handshake_timeout, ends
            )
            return link.tls and link.tls.agreed
        else:
            await self._move(self._octets, lambda: wire.idle, "reply", site.reply_timeout, math.inf)
        return None

    async def _token(self, source: TokenSource, refused: str) -> str:
        """Ask in a thread, which is left behind when the session's time is over."""
        loop = asyncio.get_running_loop()
        asked = loop.run_in_executor(_tokens, source, refused)
        try:
            done, _ = await asyncio.wait([asked], timeout=max(0, self._ends - loop.time()))
            if not done:
                seconds = self._session.site.session_timeout
                raise timed_out(self._session.address, "access token", seconds)
            return await asked
        finally:
            asked.cancel()

    async def _connect(self, address: Address) -> None:
        self._drop()
        site = self._session.site
        try:
            self._octets = await _dial(address, Link(self._session.wire), site.connect_timeout)
        except asyncio.TimeoutError:
            raise timed_out(address, "connection", site.connect_timeout) from None
        except OSError as error:
            raise unreachable(address, error) from error
        except ValueError:
            raise ConfigurationError(f"host {address.host!r} is not a host name.", field="host") from None
        self._ends = asyncio.get_running_loop().time() + site.session_timeout

    def _drop(self) -> None:
        if self._octets is not None:
            self._octets.abort()
            self._octets = None

    async def _move(
        self, octets: _Octets, fulfilled: Callable[[], bool], what: str, seconds: float, ends: float
    ) -> None:
        """Let octets move until the wish is fulfilled.

        :param seconds: how long to wait for movement; :param ends: when to stop whatever moves.
        """
        loop, wire, address = asyncio.get_running_loop(), self._session.wire, self._session.address
        patience = min(PATIENCE, seconds / 2)
        octets.fulfilled, octets.moved = fulfilled, loop.time()
        octets.flush()
        while not fulfilled():
            if octets.failure is not None:
                raise octets.failure
            now = loop.time()
            if self._ends <= now:
                raise timed_out(address, "end of the session", self._session.site.session_timeout)
            silence = now - octets.moved
            if silence >= seconds or ends <= now:
                raise timed_out(address, what, seconds)
            if silence >= patience and wire.probe():
                octets.flush()
            octets.waiter = loop.create_future()
            left = (seconds if silence >= patience else patience) - silence
            await asyncio.wait([octets.waiter], timeout=min(left, self._ends - now, ends - now))
