"""What a user sets, as frozen dataclasses: sites, applications and bounds.

Strategy: configuration travels as one value (a :class:`RemoteSite` and the :class:`Application` it names) from
the Airflow Connection down to the socket; nothing below ``hooks`` reads a connection, a variable or an option.

Invariant: a value that was constructed is valid; every mode is one word; every bound has a name, a default and a
reason; secrets stay out of ``repr``.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.partners import Smime
from airflow_pop3_gateway.windows import PollingWindows

Security = Literal["tls", "starttls", "plain"]
AcknowledgmentOption = Literal["ack_by_monitor", "ack_by_user", "not_to_ack"]
AcknowledgeAfter = Literal["stored", "processed"]
ErrorMailDisposal = Literal["leave", "delete", "recover"]
MultipleAttachments = Literal["recover", "extract"]
Retention = Literal["delete", "keep"]
Auth = Literal[
    "auto",
    "basic",
    "apop",
    "plain",
    "login",
    "cram-md5",
    "scram-sha-1",
    "scram-sha-256",
    "scram-sha-1-plus",
    "scram-sha-256-plus",
    "xoauth2",
    "oauthbearer",
]

TokenSource = Callable[[str], str]
"""Gives an OAuth access token at each login. Its argument is a token that the server has just refused, or ``""``; that
one it gives back when it has no better. May block; called in a thread by the asyncio client."""

DEFAULT_PORT: Mapping[str, int] = {"tls": 995, "starttls": 110, "plain": 110}
MAX_ALTERNATES = 3  # the Gateway's main address has three backups
MAX_APPLICATION = 100
"""Characters of the name of an Application, which a subject may bring: Airflow takes 1,500 for the URI of its asset,
where each character may become twelve. The Gateway takes 27."""
_ADDRESS = re.compile(r"[^\s<>]+@[^\s<>@]+")
_LOGIN_IS_ADDRESS = re.compile(r"[^\s<>@:/\\*]+@[^\s<>@/\\*]+")
"""And not of a form that only its server knows, as ``user@example.com\\shared``."""


def one_of(name: str, value: object, words: Any) -> None:
    """Refuse a mode that is not one of the words of a ``Literal``.

    :raises ConfigurationError: naming the field, the value and the words allowed.
    """
    allowed = get_args(words)
    if value not in allowed:
        raise ConfigurationError(f"{name}={value!r} is not one of {', '.join(allowed)}.", field=name)


MOST_HEADER_BYTES, MOST_HEADER_COUNT = 4 << 20, 20_000
"""What no limit can go beyond: a header block lies in memory before anybody can say which limits apply to the mail."""
LEAST_NAME_BYTES = 20
"""Room for an extension and a counter."""


def at_least(name: str, value: float | None, least: float) -> None:
    """Refuse a number below its floor; ``None`` means "no bound" and passes.

    :raises ConfigurationError: naming the field, the value and the floor.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or value < least):
        raise ConfigurationError(f"{name}={value!r} must be a number of at least {least}.", field=name)


@dataclass(frozen=True)
class Limits:
    """Bounds on one mail while it is understood; past one of them the mail is quarantined, the batch goes on."""

    header_bytes: int = 1 << 20
    """Octets of one header block. Real mails stay below 100 KB; Postfix stops at 102,400, Exchange at 262,144."""
    header_count: int = 2_000
    """Fields of one header block: a loop of relays that add ``Received`` stops long before."""
    line_bytes: int = 64 << 20
    """Octets of one body line. RFC 5322 says 998; real agents send a whole base64 part as one line."""
    depth: int = 50
    """Nesting of multiparts and enclosed mails; people forward mails some ten levels deep."""
    parts: int = 10_000
    """Parts of one mail, multiparts included; a multipart/digest of a mailing list has some hundreds."""
    name_bytes: int = 200
    """Octets of a safe file name: below the 255 of file systems, with room for a counter."""
    report_bytes: int = 1 << 20
    """Octets kept of the parts of a report that are for machines, and of what it returns (RFC 3464, RFC 8098)."""
    unpack_bytes: int = 16 << 20
    """Octets of one mail that are kept in memory to look for files in winmail.dat and uuencoded in texts."""
    zip_ratio: int = 200
    """Octets that come out of an attached zip for each of its own. Tables and logs of machines stay below 100; the
    method allows 1,032."""
    zip_members: int = 1_000
    """Members of all zips of one mail, folders included."""
    zip_depth: int = 3
    """Zips in zips, the attached one included: people zip a folder that has zips in it."""
    zip_bytes: int = 1 << 30
    """Octets that come out of all zips of one mail; zips in zips count again."""
    smime_bytes: int = 32 << 20
    """Octets of one protected mail, and of what is compressed in it: it is opened in memory, in some six copies."""
    smime_layers: int = 6
    """Signatures, encryptions and compressions around one content; RFC 2634 knows three, relays may add some."""
    message_bytes: int = 4 << 30
    """Octets of one mail while it is understood."""

    def __post_init__(self) -> None:
        for bound in dataclasses.fields(self):
            at_least(f"limits.{bound.name}", getattr(self, bound.name), 1)
        at_least("limits.name_bytes", self.name_bytes, LEAST_NAME_BYTES)
        for name, most in (("header_bytes", MOST_HEADER_BYTES), ("header_count", MOST_HEADER_COUNT)):
            if getattr(self, name) > most:
                raise ConfigurationError(
                    f"limits.{name} must be a number of at most {most}.", field=f"limits.{name}"
                )


@dataclass(frozen=True)
class Application:
    """Where and how files are stored (Gateway: *Application*, default ``MAIL``).

    :ivar name: used as a folder below ``files/`` and as FILE_NAME of messages (TYPE=MSG).
    :ivar extract_file: ``True`` extract, ``False`` keep the whole mail undecoded, ``None`` as the site says.
    :ivar multiple_attachments: ``recover`` (the Gateway's way) or ``extract`` (one file each); ``None`` as the
        site says.
    :ivar unzip: whether the members of attached zips are taken out as well; ``None`` as the site says.
    """

    name: str = "MAIL"
    extract_file: bool | None = None
    multiple_attachments: MultipleAttachments | None = None
    unzip: bool | None = None

    def __post_init__(self) -> None:
        name = self.name if isinstance(self.name, str) else ""
        plain = name.isprintable() and "/" not in name and name not in ("", ".", "..")
        if not plain or len(name) > MAX_APPLICATION:
            raise ConfigurationError(
                f"application name {self.name!r:.200} must be a plain word of at most {MAX_APPLICATION} characters: "
                "it becomes a folder name.",
                field="application",
            )
        if self.multiple_attachments is not None:
            one_of("multiple_attachments", self.multiple_attachments, MultipleAttachments)
        for switch in ("extract_file", "unzip"):
            if (value := getattr(self, switch)) not in (None, True, False):
                raise ConfigurationError(f"{switch}={value!r} is neither true nor false.", field=switch)


@dataclass(frozen=True)
class LocalSite:
    """Who we are when we send (Gateway: *Local Site*).

    :ivar mail_address: default From, and the address a receipt is given for.
    :ivar host_name: what ``Reporting-UA`` and Message-IDs of ours carry; default: the domain of the address.
    """

    mail_address: str = ""
    host_name: str = ""

    def __post_init__(self) -> None:
        if self.mail_address and not _ADDRESS.fullmatch(self.mail_address):
            raise ConfigurationError(
                f"mail_address={self.mail_address!r} is not one address, as orders@example.com.",
                field="mail_address",
            )


@dataclass(frozen=True)
class Address:
    """Where a server listens: ``host`` (name, IPv4 or IPv6 without brackets) and TCP ``port``."""

    host: str
    port: int

    def __post_init__(self) -> None:
        if not self.host or any(character.isspace() for character in self.host):
            raise ConfigurationError(f"host {self.host!r} is not a host name.", field="host")
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 < self.port < 65536:
            raise ConfigurationError(f"port {self.port!r} is not a TCP port (1 to 65535).", field="port")

    @classmethod
    def parse(cls, text: str, default_port: int) -> Address:
        """Read ``host``, ``host:port`` or ``[v6]:port``.

        :raises ConfigurationError: when the text is none of the three.
        """
        text = text.strip()
        host, port = text, ""
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise ConfigurationError(f"address {text!r} is not [IPv6]:port.", field="alternates")
            port = rest[1:]
        elif text.count(":") == 1:
            host, _, port = text.partition(":")
        if port and not (port.isascii() and port.isdigit()):
            raise ConfigurationError(f"address {text!r} has a port that is not a number.", field="alternates")
        return cls(host, int(port) if port else default_port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@functools.lru_cache(maxsize=256)
def wildcards(text: str) -> re.Pattern[str]:
    """A pattern where ``*`` is any text and ``?`` any character, and case does not count.

    What strangers write is held against it: the first place where a piece fits is never given up again, so that the
    time a text takes grows no faster than its length.
    """
    first, *others = (re.escape(piece).replace(r"\?", ".") for piece in text.split("*"))
    pattern = first
    if others:
        *inner, last = others
        pattern += "".join(f"(?=(?P<_{n}>.*?{piece}))(?P=_{n})" for n, piece in enumerate(inner) if piece)
        pattern += f".*{last}"
    return re.compile(pattern, re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class AddressPatterns:
    """Mail addresses as text: ``orders@partner.example, *@bank.example``, with ``*`` and ``?``; case does not count."""

    text: str = ""

    def __bool__(self) -> bool:
        return bool(self.text.strip(", "))

    def __contains__(self, address: str) -> bool:
        words = (word.strip() for word in self.text.split(","))
        return any(wildcards(word).fullmatch(address) for word in words if word)


@dataclass(frozen=True)
class RemoteSite:
    """One mail account on a POP3 server (Gateway: *Remote Site*), as the connection type ``pop3`` describes it.

    The first block is where and how to log in, the second what a session does, the third what becomes of a mail.
    Durations are seconds, sizes octets. Build one with keyword arguments; ``name`` is the Airflow connection id.
    """

    name: str
    address: Address
    login: str
    password: str = field(default="", repr=False)
    security: Security = "tls"
    auth: Auth = "auto"
    alternates: tuple[Address, ...] = ()
    ca_file: str = ""
    client_certificate: str = ""
    client_key: str = ""
    fingerprint: str = ""
    """SHA-256 of the server's certificate, hexadecimal; when set it replaces the check against the CAs."""
    server_hostname: str = ""
    """Name for SNI and certificate check; default: the host."""
    access_token: str = field(default="", repr=False)
    token_source: TokenSource | None = field(default=None, repr=False)
    """Instead of an ``access_token`` that is written down."""
    connect_timeout: float = 30.0
    handshake_timeout: float = 30.0
    reply_timeout: float = 120.0
    session_timeout: float = 3600.0
    retry_count_max: int = 2
    retry_delay_min: float = 10.0
    retry_delay_max: float = 600.0
    pipelining: bool | None = None
    """``None``: as the server's CAPA says."""

    retention: Retention = "delete"
    retention_days: float | None = None
    """With ``retention="delete"``: delete only this many days after the mail was durably stored."""
    max_messages: int | None = None
    max_bytes: int | None = None
    max_message_bytes: int | None = None
    poll_interval: float = 60.0
    polling_windows: PollingWindows = PollingWindows()

    application: str = "MAIL"
    extract_file: bool = True
    multiple_attachments: MultipleAttachments = "recover"
    unzip: bool = False
    user_message_limit: int = 254
    subject_delimiter: str = "//XFB"
    error_mail_disposal: ErrorMailDisposal = "recover"
    acknowledgment_option: AcknowledgmentOption = "ack_by_monitor"
    acknowledge_after: AcknowledgeAfter = "stored"
    acknowledge_partners: AddressPatterns = AddressPatterns()
    trusted_partners: AddressPatterns = AddressPatterns()
    receipts_per_hour: int = 1000
    """To one address. Far above what a partner sends in an hour, far below what a loop makes of it."""
    receipt_retry_count_max: int = 30
    """Four days and some hours, with delays that double from one minute to four hours (RFC 5321 §4.5.4.1)."""
    receipt_sender: str = ""
    smtp_conn_id: str = "smtp_default"
    local_site: LocalSite = LocalSite()
    smime: Smime | None = None
    """``None``: what is protected is neither opened nor verified."""
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not self.name:
            raise ConfigurationError("a site needs a name: the id of its Airflow connection.", field="name")
        Application(self.application)
        one_of("security", self.security, Security)
        one_of("auth", self.auth, Auth)
        one_of("retention", self.retention, Retention)
        one_of("multiple_attachments", self.multiple_attachments, MultipleAttachments)
        one_of("error_mail_disposal", self.error_mail_disposal, ErrorMailDisposal)
        one_of("acknowledgment_option", self.acknowledgment_option, AcknowledgmentOption)
        one_of("acknowledge_after", self.acknowledge_after, AcknowledgeAfter)
        if len(self.alternates) > MAX_ALTERNATES:
            raise ConfigurationError(
                f"at most {MAX_ALTERNATES} alternates, not {len(self.alternates)}.", field="alternates"
            )
        for name in ("connect_timeout", "handshake_timeout", "reply_timeout", "session_timeout"):
            at_least(name, getattr(self, name), 0.001)
        counts = ("retry_count_max", "receipt_retry_count_max", "user_message_limit")
        for name in (*counts, "retry_delay_min", "retention_days"):
            at_least(name, getattr(self, name), 0)
        at_least("retry_delay_max", self.retry_delay_max, self.retry_delay_min)
        for name in ("max_messages", "max_bytes", "max_message_bytes", "poll_interval", "receipts_per_hour"):
            at_least(name, getattr(self, name), 1)
        if self.receipt_sender and not _ADDRESS.fullmatch(self.receipt_sender):
            raise ConfigurationError(
                f"receipt_sender={self.receipt_sender!r} is not an address.", field="receipt_sender"
            )
        if not self.subject_delimiter:
            raise ConfigurationError("subject_delimiter must not be empty.", field="subject_delimiter")

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The main address, then its alternates, in the order they are tried."""
        return (self.address, *self.alternates)

    @property
    def own_address(self) -> str:
        """The address mails come to: the Local Site's, else the login where it is one; ``""`` when neither says it."""
        login = self.login.removeprefix("recent:")  # Gmail: and show the mails of thirty days
        return self.local_site.mail_address or (login if _LOGIN_IS_ADDRESS.fullmatch(login) else "")

    @property
    def receipts_need(self) -> str:
        """What is to be set so that receipts speak for us whatever a partner writes; ``""`` when nothing is."""
        if self.own_address or self.acknowledgment_option == "not_to_ack":
            return ""
        return (
            "The connection does not say which address is ours: its login is none. Set mail_address to the address it "
            "receives at; until then receipts have the address in To, and wait where there is not one."
        )

    @property
    def domain(self) -> str:
        """The name our identifiers end in."""
        return self.local_site.host_name or self.own_address.rpartition("@")[2] or "localhost"
