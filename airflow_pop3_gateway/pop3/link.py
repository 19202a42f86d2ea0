"""A wire and, once it is asked for, the TLS around it: what both drivers move octets for, and what they say of it.

Strategy: a driver knows three things: :meth:`Link.space` to receive into, :meth:`Link.received`, and
:meth:`Link.outgoing` to send from. Invariant: from :meth:`Link.start_tls` on, nothing of the wire's passes before the
handshake is complete.
"""

from __future__ import annotations

import logging
import ssl
from typing import NoReturn

from airflow_pop3_gateway.config import Address
from airflow_pop3_gateway.errors import (
    CommandRefused,
    ConfigurationError,
    ConnectionLost,
    TimedOut,
    WrongState,
)
from airflow_pop3_gateway.pop3.dialogues import Session, TlsInfo
from airflow_pop3_gateway.pop3.replies import Capabilities
from airflow_pop3_gateway.pop3.tls import TlsLayer
from airflow_pop3_gateway.pop3.wire import Log, Wire

PATIENCE = 5.0
"""Seconds of silence after a doubtful end of a body before a NOOP asks (see :mod:`inbox`)."""


class Link:
    """The octets of one connection, both ways."""

    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        self.tls: TlsLayer | None = None
        self._cipher = memoryview(bytearray())
        self._ciphertext = bytearray()

    @property
    def protected(self) -> bool:
        """TLS is complete."""
        return self.tls is not None and self.tls.complete

    def start_tls(self, context: ssl.SSLContext, hostname: str, fingerprint: str) -> None:
        """From now on everything is TLS, also what was received and not read: said in the clear, it fails the
        handshake. The client speaks first: :meth:`outgoing` has its hello."""
        inbox = self.wire.inbox
        self.tls = TlsLayer(context, hostname, fingerprint)
        self.tls.feed(inbox.view[inbox.start : inbox.end])
        inbox.start = inbox.end = 0
        self.tls.handshake()

    def space(self) -> memoryview:
        """Where the driver receives into."""
        if self.tls is None:
            return self.wire.inbox.space()
        size = len(self.wire.inbox.buffer)
        if len(self._cipher) != size:
            self._cipher = memoryview(bytearray(size))
        return self._cipher

    def received(self, count: int) -> None:
        """So many octets lie in the space.

        :raises ConnectionLost: none: the server closed the connection.
        :raises TlsFailed, ProtocolViolation: as the layers find.
        """
        tls = self.tls
        if tls is None:
            if not count:
                self._closed()
            self.wire.received(count)
            return
        if count:
            tls.feed(self._cipher[:count])
        else:
            tls.feed_eof()
        if not tls.complete:
            tls.handshake()
            if not tls.complete:
                if not count:
                    self._closed()
                return
        closed = False
        while not closed:
            space = self.wire.inbox.space()
            got, closed = tls.read_into(space)
            if got:
                self.wire.received(got)
            if got < len(space):
                break
        if closed and (not self.wire.idle or not count):
            self._closed()

    def outgoing(self) -> bytearray:
        """What is to be sent; the driver deletes from its front what went out."""
        if self.tls is None:
            return self.wire.pending
        if self.tls.complete and self.wire.pending:
            self.tls.write(self.wire.pending)
            self.wire.pending.clear()
        self._ciphertext += self.tls.outgoing()
        return self._ciphertext

    def _closed(self) -> NoReturn:
        self.wire.no_surplus()  # its last words say more
        raise ConnectionLost("the server closed the connection.")


class Client:
    """What both clients tell of their session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._session}>"

    @property
    def greeting(self) -> str:
        """The server's words after the first ``+OK``."""
        return self._session.greeting

    @property
    def capabilities(self) -> Capabilities:
        """CAPA of the state reached."""
        return self._session.capabilities

    @property
    def login_delay(self) -> int | None:
        """Seconds to leave between logins, ``None`` where the server does not say."""
        return self.capabilities.login_delay

    @property
    def expire(self) -> int | None:
        """Days a mail is kept, ``None`` for ever or unknown."""
        return self.capabilities.expire

    @property
    def tls(self) -> TlsInfo | None:
        """What protects the session, ``None`` in the clear."""
        return self._session.protection.info if self._session.protection else None


def protocol_log(logger: logging.Logger, name: str) -> Log | None:
    """Where the conversation is shown, without secrets: the logger at DEBUG, ``None`` when nobody reads it."""
    if not logger.isEnabledFor(logging.DEBUG):
        return None
    return lambda who, text: logger.debug("%s %s: %s", name, who, text)


def usable_after(session: Session, error: BaseException) -> bool:
    """The error left the conversation whole: every answer was read, and the server is still believed."""
    good = isinstance(error, CommandRefused | ConfigurationError | WrongState)
    return good and session.wire.idle and session.state in ("authorization", "transaction")


def unreachable(address: Address, error: OSError) -> ConnectionLost:
    """No connection: refused, no route, no such name."""
    return ConnectionLost(f"cannot connect to {address}: {error.strerror or error}.")


def broken(address: Address, error: OSError) -> ConnectionLost:
    """The connection broke."""
    return ConnectionLost(f"the connection to {address} broke: {error.strerror or error}.")


def timed_out(address: Address, what: str, seconds: float) -> TimedOut:
    """A deadline passed."""
    return TimedOut(f"{address}: no {what} within {seconds:g} seconds.", seconds=seconds)
