"""The conversations of a session that is open, each said once.

A dialogue is a generator. It never waits: it puts commands on the wire and *yields a wish*, and whoever drives it
(``blocking`` with a socket, ``aio`` with an event loop) fulfils the wish and sends back its result, or throws the
error of a wish that could not be fulfilled. So ``yield Flow()`` reads: "octets have gone both ways, and every answer
I await is there". ``yield from`` is one conversation inside another. How a session is opened is in ``opening``.

Invariant: a dialogue ends with every answer read, or with an error after which the connection is dropped.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from airflow_pop3_gateway.config import Address, RemoteSite
from airflow_pop3_gateway.errors import CommandRefused, ProtocolViolation, WrongState
from airflow_pop3_gateway.pop3.commands import COMMANDS, State
from airflow_pop3_gateway.pop3.inbox import MAX_BLOCK, Bodies, Line, Lines, Sink
from airflow_pop3_gateway.pop3.replies import (
    Capabilities,
    Status,
    parse_capa,
    parse_list,
    parse_stat,
    parse_uidl,
    readable,
    refusal,
)
from airflow_pop3_gateway.pop3.wire import Log, Wire

T = TypeVar("T")


@dataclass(frozen=True)
class Connect:
    """Wish: a new TCP connection to this address, instead of the one before it."""

    address: Address


@dataclass(frozen=True)
class StartTls:
    """Wish: a TLS handshake for this server name; its result is a :class:`Protection`."""

    server_hostname: str


@dataclass(frozen=True)
class Flow:
    """Wish: octets move both ways until the wire awaits nothing."""


@dataclass(frozen=True)
class Pause:
    """Wish: nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True)
class AccessToken:
    """Wish: an OAuth token of the site's source. :ivar refused: one that the server did not take, or ``""``."""

    refused: str = field(default="", repr=False)


Wish = Connect | StartTls | Flow | Pause | AccessToken
Dialogue = Generator[Wish, Any, T]


@dataclass(frozen=True)
class TlsInfo:
    """What protects a session. :ivar sha256: of the certificate, hexadecimal; :ivar not_after: RFC 3339 in UTC.

    :ivar subject: as RFC 4514 writes it, like ``issuer``.
    """

    version: str
    cipher: str
    sha256: str
    subject: str
    issuer: str
    not_after: str


@dataclass(frozen=True)
class Protection:
    """The result of a handshake: what to tell people, and what SASL can bind to (best first)."""

    info: TlsInfo
    bindings: Mapping[str, bytes] = field(repr=False)


class Session:
    """What is known of one session; the dialogues read and change it, the drivers lend it a socket."""

    def __init__(self, site: RemoteSite, log: Log | None = None) -> None:
        self.site = site
        self.log = log
        self.wire = Wire(log)
        self.address = site.address
        self.state: State = "greeting"
        self.greeting = ""
        self.mechanism = ""  # the word of the login that was taken
        self.capabilities = Capabilities()
        self.protection: Protection | None = None
        self.ahead: tuple[Collected, Collected] | None = None  # UIDL and LIST that went out with the login

    @property
    def pipelining(self) -> bool:
        """Commands may be sent ahead of their replies."""
        chosen = self.site.pipelining
        return "PIPELINING" in self.capabilities if chosen is None else chosen

    def __str__(self) -> str:
        protection = "TLS" if self.protection else "no TLS"
        return f"{self.site.login} at {self.address}, {protection}, {self.state}"

    def allow(self, verb: str) -> None:
        """:raises WrongState: the command is not for this state (RFC 1939 §3)."""
        if self.state not in COMMANDS[verb].states:
            raise WrongState(f"{verb} is not possible in state {self.state!r}.")


class Collected:
    """The sink of a reply that is kept in memory: a listing, or the TOP of one mail."""

    def __init__(self, verb: str) -> None:
        self.octets = bytearray()
        self.error: CommandRefused | None = None
        self.verb = verb

    def begin(self, number: int) -> None: ...

    def end(self, number: int) -> None: ...

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if len(self.octets) + len(data) > MAX_BLOCK:
            raise ProtocolViolation(f"{self.verb} answered more than {MAX_BLOCK} octets.")
        self.octets += data

    def refused(self, number: int, error: CommandRefused) -> None:
        self.error = error


def ask(session: Session, verb: str, *arguments: str | int) -> Dialogue[Status]:
    """One command, one line. :raises CommandRefused: ``-ERR``, typed by its code."""
    session.allow(verb)
    line = Line(verb)
    session.wire.send(line, *arguments)
    yield Flow()
    if not line.status.ok:
        raise refusal(verb, line.status)
    return line.status


def collect(session: Session, verb: str, *arguments: str | int, alone: bool = False) -> Collected:
    """Say a command whose answer is lines to a lone dot; they are there when octets have flowed."""
    session.allow(verb)
    return _collected(session, verb, *arguments, alone=alone)


def _collected(session: Session, verb: str, *arguments: str | int, alone: bool = False) -> Collected:
    collected = Collected(verb)
    session.wire.send(Bodies(verb, (0,), collected, alone=alone), *arguments)
    return collected


def ask_for_listings(session: Session) -> tuple[Collected, Collected]:
    """Say UIDL and LIST, perhaps behind a login that is not answered yet.

    UIDL is said first: there are servers whose sizes grow when they write unique ids down.
    """
    return _collected(session, "UIDL"), _collected(session, "LIST")


def read(session: Session, verb: str, *arguments: str | int) -> Dialogue[bytes]:
    """One command, lines to a lone dot. :raises CommandRefused: ``-ERR``; :raises ProtocolViolation: past MAX_BLOCK."""
    collected = collect(session, verb, *arguments, alone=True)
    yield Flow()
    if collected.error:
        raise collected.error
    return bytes(collected.octets)


def capa(session: Session) -> Dialogue[Capabilities]:
    """CAPA (RFC 2449 §5); a server without it leaves what is known as it is."""
    try:
        session.capabilities = parse_capa((yield from read(session, "CAPA")))
    except CommandRefused:
        pass
    return session.capabilities


def stat(session: Session) -> Dialogue[tuple[int, int]]:
    """STAT: number of mails and their octets."""
    return parse_stat((yield from ask(session, "STAT")).text)


def listing(session: Session) -> Dialogue[dict[int, int]]:
    """LIST: number → octets as the server counts."""
    return parse_list((yield from read(session, "LIST")))


def list_one(session: Session, number: int) -> Dialogue[int]:
    """LIST of one mail: its octets."""
    answered, size = parse_stat((yield from ask(session, "LIST", number)).text)
    if answered != number:
        raise ProtocolViolation(f"LIST {number} answered for {answered}.")
    return size


def uidl(session: Session) -> Dialogue[dict[int, str] | None]:
    """UIDL: number → unique id, ``None`` where the server has no UIDL.

    Asked whether or not CAPA announces it (many servers forget to).

    :raises CommandRefused: only one that is no "I do not know this command": it carries a response code.
    """
    try:
        return parse_uidl((yield from read(session, "UIDL")))
    except CommandRefused as error:
        if error.code:
            raise
        return None


def uidl_one(session: Session, number: int) -> Dialogue[str]:
    """UIDL of one mail: its unique id; Twisted's server leaves the number out of its answer."""
    words = (yield from ask(session, "UIDL", number)).text.split(maxsplit=1)
    if len(words) == 2 and words[0] != str(number):
        raise ProtocolViolation(f"UIDL {number} answered for {words[0]}.")
    return words[-1] if words else ""


def listings(session: Session) -> Dialogue[tuple[dict[int, int], dict[int, str] | None]]:
    """LIST and UIDL of the whole maildrop, in one round trip where the server pipelines, in none where they went out
    with the login. Errors as of the two."""
    session.allow("UIDL")
    if not session.pipelining:
        given = yield from uidl(session)
        return (yield from listing(session)), given
    ahead, session.ahead = session.ahead, None
    ids, sizes = ahead or ask_for_listings(session)
    yield Flow()
    if ids.error and ids.error.code:
        raise ids.error
    if sizes.error:
        raise sizes.error
    return parse_list(bytes(sizes.octets)), None if ids.error else parse_uidl(bytes(ids.octets))


def top(session: Session, number: int, lines: int) -> Dialogue[bytes]:
    """TOP: the header block and so many lines of the body."""
    return (yield from read(session, "TOP", number, lines))


def bodies(
    session: Session, verb: str, numbers: Sequence[int], sink: Sink, suffix: str = ""
) -> Dialogue[None]:
    """RETR or TOP of many: one run where the server pipelines, else one by one."""
    session.allow(verb)
    if session.pipelining:
        if numbers:
            session.wire.send_run(Bodies(verb, numbers, sink), numbers, suffix)
            yield Flow()
        return
    for number in numbers:
        session.wire.send_run(Bodies(verb, (number,), sink, alone=True), (number,), suffix)
        yield Flow()


def delete(session: Session, numbers: Sequence[int]) -> Dialogue[dict[int, CommandRefused]]:
    """DELE of many; the ones the server would not mark."""
    session.allow("DELE")
    session.ahead = None
    runs = [numbers] if session.pipelining and numbers else [(number,) for number in numbers]
    refused: dict[int, CommandRefused] = {}
    for run in runs:
        answer = Lines("DELE", run)
        session.wire.send_run(answer, run)
        yield Flow()
        refused.update(answer.refused)
    return refused


def language(session: Session, tag: str) -> Dialogue[str]:
    """LANG with a tag (RFC 6856 §3): the server's words from now on; its confirmation."""
    return (yield from ask(session, "LANG", tag)).text


def languages(session: Session) -> Dialogue[dict[str, str]]:
    """LANG: language tag → the language's name for itself."""
    lines = (yield from read(session, "LANG")).splitlines()
    return {tag: name for tag, _, name in (readable(line).partition(" ") for line in lines) if tag}


def quit_(session: Session, deleting: Sequence[int] = ()) -> Dialogue[dict[int, CommandRefused]]:
    """DELE of many and QUIT, in one round trip where the server pipelines; the ones the server would not mark.

    Only the ``+OK`` of QUIT makes deletions certain (RFC 1939 §6).

    :raises CommandRefused: the server could not remove everything; :raises ConnectionLost: nobody knows.
    """
    marks = Lines("DELE", deleting)
    refused = marks.refused
    try:
        if deleting and session.pipelining:
            session.allow("DELE")
            session.wire.send_run(marks, deleting)
        elif deleting:
            refused = yield from delete(session, deleting)
        yield from ask(session, "QUIT")
        return refused
    finally:
        session.state = "closed"


def leave(session: Session) -> None:
    """QUIT of a session that marked nothing: nothing hangs on the answer, so nobody waits for it."""
    session.allow("QUIT")
    session.wire.send(Line("QUIT"))
    session.state = "closed"
