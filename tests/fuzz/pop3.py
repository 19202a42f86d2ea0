"""Targets: what a POP3 server says, in whatever pieces it comes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable

from fuzz.invariant import cut
from support.clients import Box
from support.dialogue import drive

from airflow_pop3_gateway.config import Address, RemoteSite
from airflow_pop3_gateway.errors import GatewayError, Pop3Error
from airflow_pop3_gateway.pop3 import dialogues, opening, replies
from airflow_pop3_gateway.pop3.dialogues import Session
from airflow_pop3_gateway.pop3.inbox import Bodies, Inbox, Line, Lines

SECRET, TOKEN = "a very secret word", "a very secret token"
SITE = RemoteSite(
    name="fuzzed",
    address=Address("pop.example.org", 110),
    login="box",
    password=SECRET,
    security="plain",
    retry_count_max=1,
)
WAYS = tuple(
    itertools.product(
        (
            *(("auto", TOKEN), ("xoauth2", TOKEN), ("oauthbearer", TOKEN)),
            *(("auto", ""), ("apop", ""), ("login", ""), ("cram-md5", "")),
            *(("scram-sha-256", ""), ("scram-sha-1-plus", "")),
        ),
        ("plain", "starttls", "tls"),
        (None, True),
        (False, True),
    )
)
"""Mechanism and token, protection, pipelining, and whether doubtful ends are asked about: the first octet chooses."""


def read_replies(data: bytes) -> None:
    """Status lines and listings."""
    readers: tuple[Callable[[bytes], object], ...] = (
        replies.parse_list,
        replies.parse_uidl,
        replies.parse_capa,
        lambda octets: replies.parse_stat(replies.readable(octets)),
        lambda octets: replies.apop_timestamp(replies.readable(octets)),
    )
    for read in readers:
        try:
            read(data)
        except Pop3Error as error:
            assert str(error).isprintable()
    for line in data.split(b"\n", 50)[:50]:
        try:
            status = replies.parse_status(line)
        except Pop3Error as error:
            assert str(error).isprintable()
        else:
            assert str(replies.refusal("PASS", status, logging_in=True, delay=1)).isprintable()
            replies.refusal("RETR", status)


def read_answers(data: bytes) -> None:
    """Each kind of answer takes what is its own; bodies are the same however the octets were cut."""
    for most in (61, 7):
        _taken(Line("AUTH", challenges=True), cut(data, most))
        _taken(Lines("DELE", [1, 2, 3]), cut(data, most))
    outcomes = []
    for pieces in ([data], cut(data, 1), cut(data, 13)):
        box = Box()
        error = _taken(Bodies("RETR", [1, 2], box), pieces)
        outcomes.append((box.mails, box.order, error))
    assert all(outcome == outcomes[0] for outcome in outcomes), "the cut changed what came"
    _taken(Bodies("RETR", [1], Box(), alone=True), cut(data, 5), probing=True)


def _taken(answer: Line | Lines | Bodies, pieces: Iterable[bytes], *, probing: bool = False) -> str:
    """Feed an answer until it is complete. :returns: the error that ended it, or ``""``."""
    inbox = Inbox()
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                space = inbox.space()
                count = min(len(rest), len(space))
                assert count, "the buffer is full"
                space[:count] = rest[:count]
                inbox.end += count
                rest = rest[count:]
                if answer.feed(inbox):
                    return ""
                if probing and isinstance(answer, Bodies) and answer.doubtful(inbox):
                    answer.probe()
    except Pop3Error as error:
        return str(error)
    return ""


def hold_session(data: bytes) -> None:
    """From the greeting to QUIT with a server that says this."""
    way, said = data[:1] or b"\0", data[1:]
    (auth, token), security, pipelining, probing = WAYS[way[0] % len(WAYS)]
    site = dataclasses.replace(SITE, auth=auth, access_token=token, security=security, pipelining=pipelining)
    log: list[str] = []
    session = Session(site, lambda who, words: log.append(words))
    pieces = cut(said, 61)
    try:
        drive(session, opening.open_session(session), pieces, probing=probing)
        assert session.state == "transaction"
        for talk in (
            lambda: dialogues.stat(session),
            lambda: dialogues.listings(session),
            lambda: dialogues.uidl(session),
            lambda: dialogues.list_one(session, 1),
            lambda: dialogues.top(session, 1, 0),
            lambda: dialogues.bodies(session, "RETR", [1, 2, 3], Box()),
            lambda: dialogues.delete(session, [1, 2, 3]),
            lambda: dialogues.languages(session),
            lambda: dialogues.quit_(session),
        ):
            drive(session, talk(), pieces, probing=probing)
            assert session.wire.idle, "a conversation ended before its answers"
    except GatewayError as error:
        log.append(str(error))
    assert not any(secret in words for words in log for secret in (SECRET, TOKEN)), "a secret was shown"
