"""The vocabulary: one row for each command a POP3 client may send.

Strategy: a table, not a chain of conditions; dialogues and the protocol log read the same rows.
Invariant: nothing is encoded that could end a line early; a command that is not in the table cannot be sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from airflow_pop3_gateway.errors import ConfigurationError

State = Literal["greeting", "authorization", "transaction", "closed"]

MAX_ARGUMENT = 65_536
"""Octets of one argument. RFC 2449 §4 says 255 for a whole command; OAuth tokens of tens of kilobytes exist."""


@dataclass(frozen=True)
class Command:
    """One verb.

    :ivar states: where RFC 1939 §3 and the extensions allow it.
    :ivar secret: how many leading arguments may be shown in a log; ``None``: all of them.
    """

    verb: str
    states: frozenset[State]
    secret: int | None = None


_BEFORE: frozenset[State] = frozenset({"authorization"})
_AFTER: frozenset[State] = frozenset({"transaction"})
_BOTH = _BEFORE | _AFTER

COMMANDS = {
    command.verb: command
    for command in (
        Command("USER", _BEFORE, secret=0),
        Command("PASS", _BEFORE, secret=0),
        Command("APOP", _BEFORE, secret=0),
        Command("AUTH", _BEFORE, secret=1),
        Command("STLS", _BEFORE),
        Command("UTF8", _BEFORE),
        Command("LANG", _BOTH),
        Command("CAPA", _BOTH),
        Command("STAT", _AFTER),
        Command("LIST", _AFTER),
        Command("UIDL", _AFTER),
        Command("TOP", _AFTER),
        Command("RETR", _AFTER),
        Command("DELE", _AFTER),
        Command("NOOP", _AFTER),
        Command("RSET", _AFTER),
        Command("QUIT", _BOTH),
    )
}


def guarded(argument: str) -> bytes:
    """The octets of an argument that cannot leave its line.

    UTF-8 as RFC 6856 §2.1 has it; servers without it get ASCII when the argument is ASCII.

    :raises ConfigurationError: for a control character (C0, DEL), or past :data:`MAX_ARGUMENT`. The argument is not
        in the message: it may be a password.
    """
    if any(character < " " or character == "\x7f" for character in argument):
        raise ConfigurationError(
            "a POP3 argument (login, password, token) holds a control character.", field="login"
        )
    octets = argument.encode("utf-8", "surrogateescape")
    if len(octets) > MAX_ARGUMENT:
        raise ConfigurationError(f"a POP3 argument is longer than {MAX_ARGUMENT} octets.", field="login")
    return octets


def encode(verb: str, *arguments: str | int) -> bytes:
    """One command line with its CRLF.

    :raises ConfigurationError: an argument that would break the line.
    :raises KeyError: a verb that is not in the table: our own mistake.
    """
    words = [COMMANDS[verb].verb.encode("ascii"), *(guarded(str(argument)) for argument in arguments)]
    return b" ".join(words) + b"\r\n"


def shown(verb: str, *arguments: str | int) -> str:
    """The same line as a log may show it: secrets are three stars."""
    secret = COMMANDS[verb].secret
    visible = arguments if secret is None else arguments[:secret]
    hidden = ["***"] if len(visible) < len(arguments) else []
    return " ".join([verb, *map(str, visible), *hidden])
