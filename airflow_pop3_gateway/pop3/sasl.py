"""SASL mechanisms for AUTH (RFC 5034), each a generator, and the order in which ``auth="auto"`` takes them.

Strategy: a mechanism yields its responses and is sent the challenges, both without base64; ``None`` is sent for the
server's ``+OK``. One that returns at a challenge did not expect it: the dialogue cancels. The table is the order of
strength; choosing is a walk down the table.

Invariant: no mechanism that shows the password or a token is chosen for a connection without TLS unless the site says
``security="plain"``; a SCRAM login succeeds only when the server proved that it knows the password, too.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError, ProtocolViolation, SecurityRefused

Conversation = Generator[bytes, "bytes | None", None]

MAX_ITERATIONS = 1_000_000
"""Rounds of PBKDF2 a server may ask for: a second of work. RFC 7677 says 4,096, careful servers some 100,000."""
INITIAL_RESPONSE_LINE = 255
"""Octets of an AUTH line with an initial response, CRLF included (RFC 5034 §4); longer ones take two lines."""


@dataclass(frozen=True)
class Credentials:
    """What a mechanism may need.

    :ivar bindings: channel bindings of the TLS connection by their RFC 5929/9266 names, the best one first.
    :ivar plus_offered: the server lists the ``-PLUS`` variant (RFC 5802 §6: a client says what it saw).
    """

    login: str
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    host: str = ""
    port: int = 0
    bindings: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    plus_offered: bool = False
    nonce: str = ""


@dataclass(frozen=True)
class Mechanism:
    """One way to log in.

    :ivar word: as in ``auth=…``; :ivar name: in CAPA, ``""`` for the commands that are not SASL.
    :ivar client_first: has an initial response; :ivar two_lines: sent in a second line even so, at first.
    :ivar clear_text: shows a secret to whoever reads the line; :ivar token: takes an OAuth token, not a password.
    """

    word: str
    name: str
    start: Callable[[Credentials], Conversation] | None
    client_first: bool = True
    clear_text: bool = False
    token: bool = False
    plus: bool = False
    two_lines: bool = False


def _plain(user: Credentials) -> Conversation:
    """RFC 4616."""
    yield f"\0{user.login}\0{user.password}".encode()


def _login(user: Credentials) -> Conversation:
    """Two prompts, whatever they say: Outlook's way, never standardised."""
    yield b""
    yield user.login.encode()
    yield user.password.encode()


def _cram_md5(user: Credentials) -> Conversation:
    """RFC 2195: a keyed digest of the server's challenge."""
    challenge = yield b""
    digest = hmac.new(user.password.encode(), challenge or b"", "md5").hexdigest()
    yield f"{user.login} {digest}".encode()


def _xoauth2(user: Credentials) -> Conversation:
    """Google's and Microsoft's XOAUTH2; the error challenge is answered with an empty line, then comes ``-ERR``."""
    if (yield f"user={user.login}\1auth=Bearer {user.token}\1\1".encode()) is not None:
        yield b""


def _oauthbearer(user: Credentials) -> Conversation:
    """RFC 7628; the error challenge is answered with one ``^A`` (§3.2.3)."""
    login = _scram_name(user.login)
    where = f"\1host={user.host}\1port={user.port}"
    if (yield f"n,a={login},{where}\1auth=Bearer {user.token}\1\1".encode()) is not None:
        yield b"\1"


def _scram(digest: str, plus: bool) -> Callable[[Credentials], Conversation]:
    """RFC 5802 and 7677, with channel binding for the ``-PLUS`` variants."""

    def conversation(user: Credentials) -> Conversation:
        flag, binding = ("y" if user.bindings and not user.plus_offered else "n"), b""
        if plus:
            kind, binding = next(iter(user.bindings.items()))
            flag = f"p={kind}"
        header = f"{flag},,"
        nonce = user.nonce or secrets.token_urlsafe(24)
        first = f"n={_scram_name(user.login)},r={nonce}"
        challenge = yield (header + first).encode()
        server = _attributes(challenge)
        salt, rounds = _unbase64(server.get("s", "")), server.get("i", "")
        if not server.get("r", "").startswith(nonce) or len(server["r"]) == len(nonce) or not salt:
            raise ProtocolViolation("SCRAM: the server's first message has no nonce or salt of its own.")
        if not (rounds.isascii() and rounds.isdigit() and 0 < int(rounds[:9]) <= MAX_ITERATIONS):
            raise ProtocolViolation(f"SCRAM: the server asks for {rounds[:20]!r} iterations.")
        proofless = f"c={base64.b64encode(header.encode() + binding).decode()},r={server['r']}"
        message = ",".join((first, (challenge or b"").decode(), proofless)).encode()
        salted = hashlib.pbkdf2_hmac(digest, saslprep(user.password).encode(), salt, int(rounds[:9]))
        client = hmac.digest(salted, b"Client Key", digest)
        signature = hmac.digest(hashlib.new(digest, client).digest(), message, digest)
        proof = bytes(left ^ right for left, right in zip(client, signature, strict=True))
        answer = _attributes((yield f"{proofless},p={base64.b64encode(proof).decode()}".encode()))
        expected = hmac.digest(hmac.digest(salted, b"Server Key", digest), message, digest)
        if "e" in answer:
            yield b""  # the -ERR follows
            raise ProtocolViolation("SCRAM: the server reported an error and said +OK.")
        elif not hmac.compare_digest(_unbase64(answer.get("v", "")), expected):
            raise SecurityRefused(
                "SCRAM: the server could not prove that it knows the password; it is not who it says."
            )
        else:
            yield b""

    return conversation


MECHANISMS: Mapping[str, Mechanism] = {
    mechanism.word: mechanism
    for mechanism in (
        Mechanism("oauthbearer", "OAUTHBEARER", _oauthbearer, clear_text=True, token=True),
        Mechanism("xoauth2", "XOAUTH2", _xoauth2, clear_text=True, token=True, two_lines=True),
        Mechanism("scram-sha-256-plus", "SCRAM-SHA-256-PLUS", _scram("sha256", True), plus=True),
        Mechanism("scram-sha-1-plus", "SCRAM-SHA-1-PLUS", _scram("sha1", True), plus=True),
        Mechanism("scram-sha-256", "SCRAM-SHA-256", _scram("sha256", False)),
        Mechanism("scram-sha-1", "SCRAM-SHA-1", _scram("sha1", False)),
        Mechanism("cram-md5", "CRAM-MD5", _cram_md5, client_first=False),
        Mechanism("apop", "", None),
        Mechanism("plain", "PLAIN", _plain, clear_text=True),
        Mechanism("basic", "", None, clear_text=True),
        Mechanism("login", "LOGIN", _login, client_first=False, clear_text=True),
    )
}
"""By word, the strongest first within tokens and within passwords."""


def candidates(
    site: RemoteSite, offered: Iterable[str], *, user: bool, apop: bool, secured: bool, bindings: bool
) -> list[Mechanism]:
    """The mechanisms to try, in order; more than one only with ``auth="auto"``, for servers that list what they refuse.

    :param offered: SASL names of CAPA; :param user: USER is offered, or CAPA is silent; :param apop: the greeting had
        a timestamp; :param secured: TLS is on; :param bindings: it has a channel binding.
    :raises SecurityRefused: what the site asks for would show a secret on a connection without TLS, or needs one.
    :raises ConfigurationError: the site gives no credential that a mechanism on offer takes.
    """
    protected = secured or site.security == "plain"
    has_token = bool(site.access_token or site.token_source)
    if site.auth != "auto":
        chosen = MECHANISMS[site.auth]
        if chosen.clear_text and not protected:
            raise SecurityRefused(f"auth={site.auth!r} would show a secret on a connection without TLS.")
        if chosen.plus and not bindings:
            raise SecurityRefused(f"auth={site.auth!r} needs TLS with a channel binding.")
        if chosen.token and not has_token:
            raise ConfigurationError(f"auth={site.auth!r} needs an access token.", field="access_token")
        return [chosen]
    names = set(offered)
    found = [
        mechanism
        for mechanism in MECHANISMS.values()
        if (
            mechanism.name in names
            or (mechanism.word == "basic" and user)
            or (mechanism.word == "apop" and apop)
        )
        and mechanism.token == has_token
        and (protected or not mechanism.clear_text)
        and (bindings or not mechanism.plus)
        # Under TLS a timestamp in the greeting is worth less than it costs: servers print it and refuse APOP.
        and not (mechanism.word == "apop" and secured and user)
    ]
    if found:
        return found
    if not protected:
        raise SecurityRefused(
            "the server offers only logins that show the password, on a connection without TLS."
        )
    wanted = "an OAuth token" if has_token else "a password"
    raise ConfigurationError(f"the server offers no login that takes {wanted}; set auth.", field="auth")


def saslprep(text: str) -> str:
    """RFC 4013 for a password: mapped, normalised, checked.

    :raises ConfigurationError: a prohibited character; the message does not show it.
    """
    if text.isascii() and text.isprintable():
        return text
    mapped = "".join(
        " " if stringprep.in_table_c12(character) else character
        for character in text
        if not stringprep.in_table_b1(character)
    )
    result = unicodedata.normalize("NFKC", mapped)
    prohibited = (
        stringprep.in_table_c12,
        stringprep.in_table_c21_c22,
        stringprep.in_table_c3,
        stringprep.in_table_c4,
        stringprep.in_table_c5,
        stringprep.in_table_c6,
        stringprep.in_table_c7,
        stringprep.in_table_c8,
        stringprep.in_table_c9,
    )
    right_to_left = any(map(stringprep.in_table_d1, result))
    mixed = right_to_left and (
        any(map(stringprep.in_table_d2, result))
        or not (stringprep.in_table_d1(result[0]) and stringprep.in_table_d1(result[-1]))
    )
    if mixed or any(table(character) for character in result for table in prohibited):
        raise ConfigurationError(
            "the password has characters that SASL prohibits (RFC 4013).", field="password"
        )
    return result


def decoded(challenge: bytes) -> bytes:
    """A challenge without its base64. :raises ProtocolViolation: it is not base64."""
    try:
        return base64.b64decode(challenge, validate=True)
    except ValueError:
        raise ProtocolViolation("AUTH: the server's challenge is not base64.") from None


def _scram_name(name: str) -> str:
    return name.replace("=", "=3D").replace(",", "=2C")


def _attributes(message: bytes | None) -> dict[str, str]:
    if message is None:
        raise ProtocolViolation("SCRAM: the server said +OK before it proved that it knows the password.")
    try:
        pairs = message.decode("utf-8").split(",")
    except UnicodeDecodeError:
        raise ProtocolViolation("SCRAM: the server's message is not UTF-8.") from None
    return {pair[0]: pair[2:] for pair in pairs if pair[1:2] == "="}


def _unbase64(text: str) -> bytes:
    return decoded(text.encode("utf-8"))
