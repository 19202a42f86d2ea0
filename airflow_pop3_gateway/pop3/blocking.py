"""The blocking way to wait: a socket, one thread, one mailbox.

Strategy: fulfil the wishes of a dialogue. While there is something to send, wait for both directions, so that a server
that stops reading until we read cannot block us; else one ``recv_into`` of a large buffer at a time. While a server
sends faster than we take, we are woken for ``MANY`` octets, not for each packet.
Invariant: every wait has a deadline; after a deadline, a loss or a violation the socket is closed and stays closed.
"""

from __future__ import annotations

import logging
import math
import select
import socket
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, TypeVar

from airflow_pop3_gateway.config import Address, RemoteSite
from airflow_pop3_gateway.errors import (
    CommandRefused,
    ConfigurationError,
    ConnectionLost,
    Pop3Error,
    ProtocolViolation,
)
from airflow_pop3_gateway.pop3 import dialogues, opening
from airflow_pop3_gateway.pop3.dial import dial
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

MANY = 64 << 10
"""Octets that are worth waking up for, once so many have come at once."""
MOMENT_MS = 2
"""Milliseconds after which fewer will do: a server that needs longer for ``MANY`` does not keep us busy anyway."""


class Pop3Client(Client):
    """A session with a POP3 server. A context manager: leaving it closes, and only :meth:`quit` makes deletions count.

    Every method raises :class:`CommandRefused` (or its typed kin) when the server says ``-ERR``, and then goes on to
    work; after :class:`ConnectionLost`, :class:`TimedOut`, :class:`TlsFailed` or :class:`ProtocolViolation` the
    client is closed.
    """

    def __init__(self, site: RemoteSite) -> None:
        super().__init__(Session(site, protocol_log(_logger, site.name)))
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._link = Link(self._session.wire)
        self._ends = 0.0
        self._streaming = False

    @classmethod
    def connect(cls, site: RemoteSite, *, log_in: bool = True, listings: bool = False) -> Pop3Client:
        """Open a session: addresses in turn with retries, greeting, CAPA, STLS, login; errors as in :mod:`opening`.

        :param listings: :meth:`listings` comes next: a round trip less where the server pipelines.
        """
        client = cls(site)
        try:
            client._run(opening.open_session(client._session, log_in, listings))
        except BaseException:
            client.close()
            raise
        return client

    def stat(self) -> tuple[int, int]:
        """Number of mails, and their octets as the server counts."""
        return self._run(dialogues.stat(self._session))

    def list(self) -> dict[int, int]:
        """Number → octets as the server counts."""
        return self._run(dialogues.listing(self._session))

    def list_one(self, number: int) -> int:
        """Octets of one mail as the server counts."""
        return self._run(dialogues.list_one(self._session, number))

    def uidl(self) -> dict[int, str] | None:
        """Number → unique id as the server gives it; ``None``: the server has no UIDL."""
        return self._run(dialogues.uidl(self._session))

    def uidl_one(self, number: int) -> str:
        """Unique id of one mail as the server gives it."""
        return self._run(dialogues.uidl_one(self._session, number))

    def listings(self) -> tuple[dict[int, int], dict[int, str] | None]:
        """:meth:`list` and :meth:`uidl`, in one round trip where the server allows."""
        return self._run(dialogues.listings(self._session))

    def top(self, number: int, lines: int) -> bytes:
        """Header block and so many lines of the body."""
        return self._run(dialogues.top(self._session, number, lines))

    def top_many(self, numbers: Sequence[int], sink: Sink, lines: int = 0) -> None:
        """TOP of many into the sink, pipelined where the server allows."""
        self._run(dialogues.bodies(self._session, "TOP", numbers, sink, f" {lines}"))

    def retrieve(self, numbers: Sequence[int], sink: Sink) -> None:
        """RETR of many into the sink, pipelined where the server allows. What the sink raises closes the client."""
        self._run(dialogues.bodies(self._session, "RETR", numbers, sink))

    def delete(self, numbers: Sequence[int]) -> dict[int, CommandRefused]:
        """Mark for deletion at :meth:`quit`; the ones the server refused to mark."""
        return self._run(dialogues.delete(self._session, numbers))

    def noop(self) -> None:
        """Nothing, but heard."""
        self._run(dialogues.ask(self._session, "NOOP"))

    def rset(self) -> None:
        """Unmark everything marked for deletion."""
        self._run(dialogues.ask(self._session, "RSET"))

    def capa(self) -> Capabilities:
        """Ask again what the server can do."""
        return self._run(dialogues.capa(self._session))

    def languages(self) -> dict[str, str]:
        """Language tag → name (RFC 6856 §3.2)."""
        return self._run(dialogues.languages(self._session))

    def use_language(self, tag: str) -> str:
        """Let the server speak this language."""
        return self._run(dialogues.language(self._session, tag))

    def converse(self, dialogue: Callable[..., Dialogue[T]], *arguments: Any) -> T:
        """Hold a dialogue of one's own, ``dialogue(session, *arguments)``, made as :mod:`dialogues` tells."""
        return self._run(dialogue(self._session, *arguments))

    def quit(self, deleting: Sequence[int] = ()) -> dict[int, CommandRefused]:
        """End the session: the server removes what is marked, ``deleting`` too; the ones it refused to mark.

        :raises CommandRefused: it could not remove everything.
        :raises ConnectionLost, TimedOut: deletions are not certain.
        """
        try:
            return self._run(dialogues.quit_(self._session, deleting))
        finally:
            self.close()

    def leave(self) -> None:
        """Say QUIT and close without waiting for the answer: for a session that marked nothing for deletion."""
        try:
            dialogues.leave(self._session)
            if self._socket is not None:
                self._send(self._socket, self._link.outgoing())
        except (ConnectionLost, ProtocolViolation):
            pass
        finally:
            self.close()

    def close(self) -> None:
        """Drop the connection without QUIT: nothing is deleted. May be called twice."""
        self._session.state = "closed"
        self._drop()

    def __enter__(self) -> Pop3Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, dialogue: Dialogue[T]) -> T:
        try:
            self._hear()
            wish = next(dialogue)
            while True:
                try:
                    result = self._fulfil(wish)
                except Pop3Error as error:
                    wish = dialogue.throw(error)
                else:
                    wish = dialogue.send(result)
        except StopIteration as stop:
            outcome: T = stop.value
            return outcome
        except BaseException as error:
            if not usable_after(self._session, error):
                self.close()
            raise

    def _fulfil(self, wish: Wish) -> object:
        site, wire = self._session.site, self._session.wire
        if isinstance(wish, Connect):
            self._connect(wish.address)
        elif isinstance(wish, Pause):
            time.sleep(wish.seconds)
        elif isinstance(wish, AccessToken):
            return site.token_source and site.token_source(wish.refused)
        elif isinstance(wish, StartTls):
            self._link.start_tls(context_for(site), wish.server_hostname, fingerprint_of(site))
            ends = time.monotonic() + site.handshake_timeout
            while not self._link.protected:
                self._move("TLS handshake", site.handshake_timeout, ends)
            return self._link.tls and self._link.tls.agreed
        else:
            while not wire.idle:
                self._move("reply", site.reply_timeout, math.inf)
            if self._socket is not None:
                self._stream(self._socket, False)  # what is said unasked may be short
        return None

    def _connect(self, address: Address) -> None:
        self._drop()
        site = self._session.site
        try:
            connected = dial(address, site.connect_timeout)
        except TimeoutError:
            raise timed_out(address, "connection", site.connect_timeout) from None
        except OSError as error:
            raise unreachable(address, error) from error
        except ValueError:
            raise ConfigurationError(f"host {address.host!r} is not a host name.", field="host") from None
        connected.setblocking(False)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket, self._poll = connected, select.poll()
        self._poll.register(connected, select.POLLIN)
        self._link = Link(self._session.wire)
        self._streaming = False
        self._ends = time.monotonic() + site.session_timeout

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _hear(self) -> None:
        """Take what the server said unasked, so that it is not mistaken for the answer to the next command."""
        while self._socket is not None and self._poll.poll(0):
            self._receive(self._socket)

    def _receive(self, connected: socket.socket) -> None:
        try:
            count = connected.recv_into(self._link.space())
        except BlockingIOError:
            return
        except OSError as error:
            raise broken(self._session.address, error) from error
        if count >= MANY:
            self._stream(connected, True)
        self._link.received(count)

    def _stream(self, connected: socket.socket, streaming: bool) -> None:
        """Be woken for ``MANY`` octets, or for any. The end of the stream, and a full window, always wake."""
        if streaming != self._streaming:
            self._streaming = streaming
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, MANY if streaming else 1)

    def _send(self, connected: socket.socket, octets: bytearray) -> None:
        try:
            del octets[: connected.send(octets)]
        except BlockingIOError:
            pass
        except OSError as error:
            raise broken(self._session.address, error) from error

    def _move(self, what: str, seconds: float, ends: float) -> None:
        """Move octets once, either way or both.

        :param seconds: how long to wait for movement; :param ends: when to stop whatever moves.
        """
        connected, link = self._socket, self._link
        if connected is None:
            raise ConnectionLost("the connection is closed.")
        deadline = min(time.monotonic() + seconds, ends)
        if deadline > self._ends:
            deadline, what, seconds = self._ends, "end of the session", self._session.site.session_timeout
        outgoing = link.outgoing()
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                raise timed_out(self._session.address, what, seconds)
            if outgoing:
                self._poll.modify(connected, select.POLLIN | select.POLLOUT)
            patience = math.ceil(min(left, seconds / 2, PATIENCE) * 1000)
            ready = self._poll.poll(MOMENT_MS if self._streaming else patience)
            if outgoing:
                self._poll.modify(connected, select.POLLIN)
            if ready:
                break
            if self._streaming:
                self._stream(connected, False)
            elif link.wire.probe():
                outgoing = link.outgoing()
        events = ready[0][1]
        if events & select.POLLOUT:
            self._send(connected, outgoing)
        if events & ~select.POLLOUT:
            self._receive(connected)
