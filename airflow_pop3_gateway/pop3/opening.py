"""How a session is opened: addresses in turn, greeting, STLS, login.

Strategy: dialogues as in :mod:`dialogues`. What may pass by itself (no route, no greeting, a server too busy to greet)
is tried again here, over all addresses, with a doubling delay; a login is tried once, for a second wrong one locks
accounts out. The exception is a token that its source had kept and can replace: it may have been revoked.

Invariant: with ``security="starttls"`` nothing but CAPA and STLS is ever said in the clear, and what a server said
before TLS is forgotten; no secret is sent on a connection that does not protect it unless the site says ``plain``.
"""

from __future__ import annotations

import base64
import hashlib
import random
import re
from collections.abc import Iterator

from airflow_pop3_gateway.config import Address
from airflow_pop3_gateway.errors import (
    AuthenticationFailed,
    CommandRefused,
    ConnectionLost,
    Pop3Error,
    ProtocolViolation,
    SecurityRefused,
    ServerUnavailable,
    TimedOut,
)
from airflow_pop3_gateway.pop3 import dialogues, sasl
from airflow_pop3_gateway.pop3.commands import encode
from airflow_pop3_gateway.pop3.dialogues import (
    AccessToken,
    Collected,
    Connect,
    Dialogue,
    Flow,
    Pause,
    Protection,
    Session,
    StartTls,
)
from airflow_pop3_gateway.pop3.inbox import Line
from airflow_pop3_gateway.pop3.replies import Capabilities, apop_timestamp, parse_capa, refusal
from airflow_pop3_gateway.pop3.wire import Wire

_UNSUPPORTED = re.compile(
    r"unknown|unrecogni|unsupported|not (supported|implemented|available|enabled)|disabled|syntax",
    re.IGNORECASE,
)

_HANDS_ON = re.compile(r"\bDovecot\b")
"""Greetings of servers whose login passes on what lies behind PASS. A server may announce PIPELINING and lose it there,
as Courier does, whose login and mailbox are two programs."""


def open_session(session: Session, log_in: bool = True, listings: bool = False) -> Dialogue[None]:
    """Connect, protect, log in; afterwards ``session.capabilities`` are those of the state reached.

    :param listings: :func:`dialogues.listings` comes next: where the server pipelines, ask with the login.
    :raises ConnectionLost: no address answered, after every retry; :raises TimedOut: the last one was silent.
    :raises TlsFailed: handshake or certificate; :raises SecurityRefused: STLS missing or refused.
    :raises CommandRefused: the typed refusal of the greeting or of the login.
    """
    yield from _reach(session)
    if log_in:
        yield from login(session, listings)


def delays(least: float, most: float, count: int) -> Iterator[float]:
    """Seconds between rounds: doubling from ``least`` to at most ``most``, each shortened by up to half so that a
    thousand sites that lost the same server do not come back in the same second."""
    for turn in range(count):
        yield min(least * 2**turn, most) * random.uniform(0.5, 1.0)


def _reach(session: Session) -> Dialogue[None]:
    site = session.site
    pauses = delays(site.retry_delay_min, site.retry_delay_max, int(site.retry_count_max))
    while True:
        for address in site.addresses:
            try:
                yield from _knock(session, address)
                return
            except (ConnectionLost, TimedOut, ServerUnavailable) as error:
                trouble: Pop3Error = error
        pause = next(pauses, None)
        if pause is None:
            raise trouble
        yield Pause(pause)


def _knock(session: Session, address: Address) -> Dialogue[None]:
    site = session.site
    session.wire, session.address, session.state = Wire(session.log), address, "greeting"
    session.capabilities, session.protection = Capabilities(), None
    yield Connect(address)
    hostname = site.server_hostname or address.host
    if site.security == "tls":
        session.protection = yield StartTls(hostname)
    greeting = session.wire.expect_greeting()
    try:
        yield Flow()
    except TimedOut as silence:
        if site.security == "tls":
            raise
        raise TimedOut(
            f"{silence} Perhaps it waits for TLS: then security is tls.", **silence.facts
        ) from None
    if not greeting.status.ok:
        # No password was sent yet: words that would mean a failed login mean trouble of the server's here.
        error = refusal("connect", greeting.status)
        raise error if greeting.status.code else ServerUnavailable(error.message, **error.facts)
    session.greeting, session.state = greeting.status.text, "authorization"
    yield from dialogues.capa(session)
    if site.security == "starttls":
        yield from _stls(session, hostname)


def _stls(session: Session, hostname: str) -> Dialogue[None]:
    """RFC 2595 §4, fail-closed: no TLS, no session."""
    if session.capabilities.known and "STLS" not in session.capabilities:
        raise SecurityRefused(
            "the server does not offer STLS; a password would go in the clear. Try security=tls."
        )
    try:
        yield from dialogues.ask(session, "STLS")
    except CommandRefused as error:
        raise SecurityRefused(f"STLS refused ({error.text}); a password would go in the clear.") from error
    session.wire.no_surplus()
    session.protection = yield StartTls(hostname)
    session.capabilities = Capabilities()
    yield from dialogues.capa(session)


def login(session: Session, listings: bool = False) -> Dialogue[None]:
    """Log in as the site says; ``auto`` goes on to the next mechanism only where the server does not know one.

    :raises AuthenticationFailed: no; :raises MailboxInUse, LoginDelayed, ServerUnavailable: later.
    """
    capabilities, site = session.capabilities, session.site
    protection: Protection | None = session.protection
    choice = sasl.candidates(
        site,
        capabilities.mechanisms,
        user="USER" in capabilities or not capabilities.known or not capabilities.mechanisms,
        apop=apop_timestamp(session.greeting) is not None,
        secured=protection is not None,
        bindings=bool(protection and protection.bindings),
    )
    if session.pipelining and "USER" in capabilities and f"{site.login}{site.password}".isascii():
        # As safe as PLAIN, and a round trip less: AUTH may be answered by a challenge, so nothing may go behind it.
        choice.sort(key=lambda mechanism: mechanism.clear_text and mechanism.word != "basic")
    if "UTF8" in capabilities:  # else a server rewrites mails with UTF-8 headers on the way (RFC 6857)
        try:
            yield from dialogues.ask(session, "UTF8")
        except CommandRefused:
            pass
    for position, mechanism in enumerate(choice):
        try:
            yield from _log_in_by(session, mechanism, listings)
            session.mechanism = mechanism.word
            break
        except CommandRefused as error:
            if error.code or not _UNSUPPORTED.search(error.text) or position == len(choice) - 1:
                raise
    session.state = "transaction"
    if session.capabilities is capabilities:
        asked = _ask_around(session, listings)
        yield Flow()
        _look_around(session, *asked)


def _log_in_by(session: Session, mechanism: sasl.Mechanism, listings: bool) -> Dialogue[None]:
    site = session.site
    if mechanism.word == "basic":
        if session.pipelining:
            yield from _log_in_at_once(session, listings)
        else:
            yield from _say(session, "USER", site.login)
            yield from _say(session, "PASS", site.password)
    elif mechanism.word == "apop":
        timestamp = apop_timestamp(session.greeting)
        if timestamp is None:
            raise SecurityRefused("auth='apop', but the greeting has no timestamp; nothing was sent.")
        digest = hashlib.md5((timestamp + site.password).encode("utf-8"), usedforsecurity=False).hexdigest()
        try:
            yield from _say(session, "APOP", site.login, digest)
        except AuthenticationFailed as error:
            if site.auth != "auto":
                raise
            # Servers put a timestamp into the greeting without knowing APOP; trying on could lock the account.
            raise AuthenticationFailed(
                f"{error} The greeting offers APOP; if login and password are right, set auth to 'basic'.",
                **error.facts,
            ) from None
    elif mechanism.token and site.token_source:
        yield from _log_in_by_token(session, mechanism)
    else:
        yield from _authenticate(session, mechanism, site.access_token)


def _log_in_by_token(session: Session, mechanism: sasl.Mechanism) -> Dialogue[None]:
    token: str = yield AccessToken()
    try:
        yield from _authenticate(session, mechanism, token)
    except AuthenticationFailed as error:
        if not error.code and _UNSUPPORTED.search(error.text):
            raise
        renewed: str = yield AccessToken(token)
        if renewed == token:
            raise
        yield from _authenticate(session, mechanism, renewed)


def _say(session: Session, verb: str, *arguments: str) -> Dialogue[None]:
    line = Line(verb)
    session.allow(verb)
    session.wire.send(line, *arguments)
    yield Flow()
    if not line.status.ok:
        raise _login_refusal(session, line)


def _log_in_at_once(session: Session, listings: bool) -> Dialogue[None]:
    """USER and PASS in one round trip, and what is asked first thereafter where it is not lost.

    :raises CommandRefused: the first refusal; what the server said behind it is of no interest, nor that it hung up.
    """
    lines = [Line("USER"), Line("PASS")]
    for line, argument in zip(lines, (session.site.login, session.site.password), strict=True):
        session.allow(line.verb)
        session.wire.send(line, argument)
    asked = _ask_around(session, listings) if _HANDS_ON.search(session.greeting) else None
    lost: ConnectionLost | None = None
    try:
        yield Flow()
    except ConnectionLost as error:
        lost = error
    for line in lines:
        if line.answer and not line.status.ok:
            raise _login_refusal(session, line)
    if lost is not None:
        raise lost
    if asked is not None:
        _look_around(session, *asked)


def _ask_around(session: Session, listings: bool) -> tuple[Collected, tuple[Collected, Collected] | None]:
    """CAPA, and where the server pipelines the listings if they are wanted."""
    offered = dialogues.collect(session, "CAPA")
    return offered, dialogues.ask_for_listings(session) if listings and session.pipelining else None


def _look_around(session: Session, offered: Collected, ahead: tuple[Collected, Collected] | None) -> None:
    if offered.error is None:
        session.capabilities = parse_capa(bytes(offered.octets))
    session.ahead = ahead


def _login_refusal(session: Session, line: Line) -> CommandRefused:
    site = session.site
    error = refusal(line.verb, line.status, logging_in=True, delay=session.capabilities.login_delay or 0)
    remedy = ""
    if isinstance(error, AuthenticationFailed) and not _UNSUPPORTED.search(error.text):
        by_token = site.token_source or site.access_token
        remedy = f" Correct {'what the connection says of OAuth' if by_token else 'login and password'}."
    return type(error)(f"{session.address}: {error.message.rstrip('.')}.{remedy}", **error.facts)


def _authenticate(session: Session, mechanism: sasl.Mechanism, token: str) -> Dialogue[None]:
    """AUTH (RFC 5034): with an initial response where the line stays short, else in two lines.

    Microsoft 365 takes XOAUTH2 in two lines only, others in one only: two lines first, then one.
    """
    site, protection = session.site, session.protection
    credentials = sasl.Credentials(
        login=site.login,
        password=site.password,
        token=token,
        host=session.address.host,
        port=session.address.port,
        bindings=protection.bindings if protection else {},
        plus_offered=f"{mechanism.name}-PLUS" in session.capabilities.mechanisms,
    )
    assert mechanism.start is not None
    conversation = mechanism.start(credentials)
    response: bytes | None = next(conversation)
    encoded = base64.b64encode(response or b"").decode() or "="
    short = len(encode("AUTH", mechanism.name, encoded)) <= sasl.INITIAL_RESPONSE_LINE
    if mechanism.client_first and not mechanism.two_lines and short:
        line = yield from _auth_line(session, mechanism.name, encoded)
        yield from _answer_challenges(session, conversation, line, None)
        return
    line = yield from _auth_line(session, mechanism.name)
    if line.challenge is None and not line.status.ok and mechanism.two_lines and not line.status.code:
        line = yield from _auth_line(session, mechanism.name, encoded)
        response = None
    yield from _answer_challenges(session, conversation, line, response if mechanism.client_first else None)


def _auth_line(session: Session, *arguments: str) -> Dialogue[Line]:
    session.allow("AUTH")
    line = Line("AUTH", challenges=True)
    session.wire.send(line, *arguments)
    yield Flow()
    return line


def _answer_challenges(
    session: Session, conversation: sasl.Conversation, line: Line, held_back: bytes | None
) -> Dialogue[None]:
    """Answer until ``+OK`` or ``-ERR``; ``held_back`` is the initial response that the first challenge asks for."""
    while line.challenge is not None:
        if held_back is not None:
            reply, held_back = base64.b64encode(held_back), None
        else:
            challenge = sasl.decoded(line.challenge)
            try:
                reply = base64.b64encode(conversation.send(challenge))
            except StopIteration:
                reply = b"*"  # RFC 5034 §4: cancels
        line = Line("AUTH", challenges=True)
        session.wire.send_secret(line, reply)
        yield Flow()
    if not line.status.ok:
        raise _login_refusal(session, line)
    try:
        conversation.send(None)
    except StopIteration:
        return
    raise ProtocolViolation("AUTH: the server said +OK before the mechanism was complete.")
