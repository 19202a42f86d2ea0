"""What servers say: status lines, response codes, and the listings, from bytes to values.

Strategy: regular expressions over whole blocks; a table for response codes and a table for the free words of
servers that have no codes. Liberal in spacing and case, strict in meaning.
Invariant: every function returns a value or raises ProtocolViolation; what a server wrote is shown to people only
after control characters were taken out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from airflow_pop3_gateway.errors import (
    AuthenticationFailed,
    CommandRefused,
    LoginDelayed,
    MailboxInUse,
    ProtocolViolation,
    ServerBroken,
    ServerUnavailable,
)

MAX_TEXT = 1_000
"""Characters of a server's words kept in an error. RFC 2449 §4 ends a line at 512 octets."""

_STATUS = re.compile(rb"(\+OK|-ERR)[ \t]*(.*?)[ \t]*\Z", re.IGNORECASE | re.DOTALL)
_CODE = re.compile(r"\[([A-Za-z][A-Za-z0-9_/.-]{0,63})(?: [^\]]*)?\][ \t]*")
_APOP = re.compile(r"<[!-;=?-~]+@[!-;=?-~]+>")
_STAT = re.compile(r"(\d{1,10})[ \t]+(\d{1,19})(?!\d)", re.ASCII)
_SCAN = re.compile(rb"^[ \t]*(\d{1,10})[ \t]+(\d{1,19})(?:[ \t][^\r\n]*)?\r?\n", re.MULTILINE)
_UIDL = re.compile(rb"^[ \t]*(\d{1,10})(?:[ \t]+([^\r\n]*))?\r?\n", re.MULTILINE)

_BY_CODE: Mapping[str, type[CommandRefused]] = {
    "AUTH": AuthenticationFailed,
    "IN-USE": MailboxInUse,
    "LOGIN-DELAY": LoginDelayed,
    "SYS": ServerUnavailable,
    "SYS/TEMP": ServerUnavailable,
    "SYS/PERM": ServerBroken,
}

_BY_WORDS: tuple[tuple[re.Pattern[str], type[CommandRefused]], ...] = tuple(
    (re.compile(words, re.IGNORECASE), kind)
    for words, kind in (
        # A locked-out account must not be tried again; a locked maildrop must.
        (r"account\b.*\b(lock|disabl|block|suspend|expir)", AuthenticationFailed),
        (
            r"\block|in use|busy|already\b.*\b(open|log|connect|in\b|active)|another (session|pop)|other session",
            MailboxInUse,
        ),
        (
            (
                r"too (many|often|soon|frequent)|\bwait\b|login.?delay|exceeded|throttl|"
                r"\b(rate|connection|session|login)s?.?limit|maximum\b.*\b(connection|session|login)"
            ),
            LoginDelayed,
        ),
        (
            (
                r"temporar|unavailable|\blater\b|overload|maintenance|(system|internal) (error|problem)|"
                r"connection is closed"
            ),
            ServerUnavailable,
        ),
        # "Invalid password, please try again" is a no.
        (r"password|invalid|incorrect|credential|denied|unknown user|authenticat", AuthenticationFailed),
        (r"try again|retry", ServerUnavailable),
    )
)


@dataclass(frozen=True)
class Status:
    """A status line (RFC 1939 §3). :ivar code: the response code without brackets in upper case, or ``""``."""

    ok: bool
    text: str
    code: str = ""


def readable(octets: bytes) -> str:
    """A server's words for people: decoded, without control characters, bounded by :data:`MAX_TEXT`."""
    text = octets.decode("utf-8", "replace")[:MAX_TEXT]
    return "".join(character if character.isprintable() else "?" for character in text)


def parse_status(line: bytes) -> Status:
    """Read ``+OK …`` or ``-ERR …`` without its line end; the case of the word and missing spaces are forgiven.

    Response codes (RFC 2449 §8, RFC 3206) are read whether or not CAPA announced them: many servers forget to.

    :raises ProtocolViolation: the line is neither.
    """
    match = _STATUS.match(line)
    if not match:
        raise ProtocolViolation(f"expected +OK or -ERR, the server said {readable(line[:80])!r}.")
    ok = match[1][:1] == b"+"
    text = readable(match[2])
    code = None if ok else _CODE.match(text)
    return Status(ok, text[code.end() :], code[1].upper()) if code else Status(ok, text)


def refusal(command: str, status: Status, *, logging_in: bool = False, delay: int = 0) -> CommandRefused:
    """The typed error for a ``-ERR``.

    A code decides, the longest prefix that is known (``AUTH/EXPIRED`` is an ``AUTH``); at login the words decide
    where there is no code, and a refusal that says nothing of "later" is a failed authentication.

    :param command: the verb, never with arguments.
    :param delay: LOGIN-DELAY of CAPA in seconds.
    """
    kind: type[CommandRefused] | None = None
    levels = status.code.split("/")
    while levels and kind is None:
        kind = _BY_CODE.get("/".join(levels))
        levels.pop()
    if kind is None and logging_in:
        found = (kind for words, kind in _BY_WORDS if words.search(status.text))
        kind = next(found, AuthenticationFailed)
    kind = kind or CommandRefused
    facts = {"command": command, "text": status.text, "code": status.code}
    if kind is LoginDelayed:
        facts["delay"] = delay  # type: ignore[assignment]
    said = f"[{status.code}] {status.text}" if status.code else status.text
    return kind(f"{command} refused: {said or 'no reason given'}", **facts)


@dataclass(frozen=True)
class Capabilities:
    """The answer to CAPA (RFC 2449): upper-case name → arguments as the server wrote them.

    :ivar known: ``False`` where the server has no CAPA, so that nothing can be concluded from an absence.
    """

    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    known: bool = False

    def __contains__(self, name: object) -> bool:
        return name in self.words

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """SASL mechanisms in upper case, in the server's order (RFC 5034)."""
        return tuple(word.upper() for word in self.words.get("SASL", ()))

    @property
    def login_delay(self) -> int | None:
        """Seconds to leave between logins (RFC 2449 §6.5), ``None`` where the server does not say."""
        return self._number("LOGIN-DELAY")

    @property
    def expire(self) -> int | None:
        """Days a mail is kept (RFC 2449 §6.7): 0 must not be left on the server; ``None`` for NEVER or unknown."""
        return self._number("EXPIRE")

    @property
    def implementation(self) -> str:
        """The server's name for itself, or ``""``."""
        return " ".join(self.words.get("IMPLEMENTATION", ()))

    def _number(self, name: str) -> int | None:
        word = next(iter(self.words.get(name, ())), "")
        return int(word) if word.isascii() and word.isdigit() and len(word) < 10 else None


def parse_capa(block: bytes) -> Capabilities:
    """Read the lines of CAPA; a word said twice (SASL on two lines) adds up, blank lines are skipped."""
    words: dict[str, list[str]] = {}
    for line in block.splitlines():
        parts = readable(line).split()
        if parts:
            words.setdefault(parts[0].upper(), []).extend(parts[1:])
    return Capabilities({name: tuple(arguments) for name, arguments in words.items()}, known=True)


def parse_stat(text: str) -> tuple[int, int]:
    """Count and octets of ``+OK nn mm …`` (RFC 1939 §5).

    :raises ProtocolViolation: no two numbers there.
    """
    match = _STAT.match(text)
    if not match:
        raise ProtocolViolation(f"STAT answered {text!r}, not two numbers.")
    return int(match[1]), int(match[2])


def parse_list(block: bytes) -> dict[int, int]:
    """Scan listings: number → octets as the server counts them, which is often not what RETR delivers.

    :raises ProtocolViolation: a line without two numbers, number 0, or a number listed twice.
    """
    sizes = {int(number): int(size) for number, size in _SCAN.findall(block)}
    _believe(sizes, block, "LIST", _SCAN)
    return sizes


def parse_uidl(block: bytes) -> dict[int, str]:
    """Unique-id listings: number → id as the server wrote it (RFC 1939 §7), one character an octet (Latin-1).

    Blank, duplicate, overlong ids and ids with spaces are given as they are: whether such a maildrop can be trusted
    is not for the parser to say. Spaces between number and id are one separator, however many.

    :raises ProtocolViolation: a line without a number, number 0, or a number listed twice.
    """
    ids = {int(number): name.decode("latin-1") for number, name in _UIDL.findall(block)}
    _believe(ids, block, "UIDL", _UIDL)
    return ids


def _believe(listing: Mapping[int, object], block: bytes, command: str, form: re.Pattern[bytes]) -> None:
    """Every line of the block gave one entry, and none is number 0: a match is one line, from its start to its end.

    :raises ProtocolViolation: naming the first line that did not.
    """
    if len(listing) == block.count(b"\n") and 0 not in listing and block[-1:] in (b"\n", b""):
        return
    seen = {0}
    for line in block.splitlines(keepends=True):
        match = form.fullmatch(line)
        if match is None or int(match[1]) in seen:
            raise ProtocolViolation(
                f"{command} answered {readable(line[:80])!r}, no line of a listing or one too many."
            )
        seen.add(int(match[1]))
    raise ProtocolViolation(f"{command} answered something that is no listing.")


def apop_timestamp(greeting: str) -> str | None:
    """The msg-id in the greeting that offers APOP (RFC 1939 §7), ``None`` where there is none.

    Only a well-formed one of printable ASCII counts: a forged one with other octets is how MD5 collisions steal
    passwords through APOP.
    """
    match = _APOP.search(greeting)
    return match[0] if match else None
