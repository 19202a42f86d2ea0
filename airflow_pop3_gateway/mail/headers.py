"""The header block: its fields, what they mean to us, the identity of a mail, the ``//XFB`` subject.

Strategy: one regular expression over the whole block finds the fields; a single field is decoded when somebody
asks for it, because most are never looked at.

Invariant: any octets make a :class:`Head`; only a passed bound raises. The first field of a name counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from itertools import islice
from typing import Any, Generic, Literal, TypeVar, overload

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import ConfigurationError, LimitExceeded
from airflow_pop3_gateway.mail.parameters import Parameters, parse_parameters
from airflow_pop3_gateway.mail.words import addresses_of, date_of, text_of, unfold
from airflow_pop3_gateway.records import Defect, digest_key

_FIELD = re.compile(rb"^([^\x00-\x20\x7f:]+)[ \t]*:[ \t]*(.*(?:\n[ \t].*)*)", re.MULTILINE)
_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]+/[a-z0-9!#$&^_.+*-]+")  # RFC 6838 §4.2, and multipart/*
_MESSAGE_ID = re.compile(rb"<[^<>]+>")
_PLAIN_MESSAGE_ID = re.compile(rb"<[!-;=?-~]{1,996}>")
_ONCE = (b"from", b"to", b"subject", b"date", b"message-id", b"content-type", b"content-transfer-encoding")
_HASHED = ("date", "from", "to", "cc", "bcc", "subject")
_AUTOMATS = (b"x-autoreply", b"x-autoreply-from", b"x-autorespond", b"x-mail-autoreply")
_MISSING = Parameters("", {})
_DEFAULT_LIMITS = Limits()
LONGEST_MESSAGE_ID = 998
"""Octets: a line of RFC 5322. What is longer identifies nothing and would not fit into a receipt."""

XFB_FIELDS = ("appli", "org", "dest", "filename")
_XFB = re.compile(r"(?:^|(?<=[\s;]))(appli|org|dest|filename)\s?=", re.IGNORECASE)


T = TypeVar("T")


class _Once(Generic[T]):
    """A property that is computed once; a third of the cost of the library's, which locks (5,000 heads a second)."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> _Once[T]: ...
    @overload
    def __get__(self, instance: Head, owner: type) -> T: ...
    def __get__(self, instance: Head | None, owner: type) -> _Once[T] | T:
        if instance is None:
            return self
        value = self._compute(instance)
        instance.__dict__[self._name] = value
        return value


class Head:
    """A header block, understood as far as it was asked.

    :ivar fields: ``(lower-case name, raw body without its last line end)`` in order.
    """

    def __init__(self, fields: list[tuple[bytes, bytes]]) -> None:
        self.fields = fields
        self._first = dict(reversed(fields))

    @classmethod
    def from_bytes(cls, block: bytes, limits: Limits = _DEFAULT_LIMITS) -> Head:
        """Parse a block, with or without its closing empty line.

        :raises LimitExceeded: more octets or fields than ``limits`` allow.
        """
        if len(block) > limits.header_bytes:
            raise LimitExceeded(
                f"a header block has more than {limits.header_bytes} octets",
                limit="header_bytes",
                value=limits.header_bytes,
            )
        lines = block.count(b"\n")
        if not lines:
            block = block.replace(b"\r", b"\n")
            lines = block.count(b"\n")
        if lines < limits.header_count:
            return cls([(name.lower(), value) for name, value in _FIELD.findall(block)])
        matches = islice(_FIELD.finditer(block), limits.header_count + 1)
        fields = [(match[1].lower(), match[2]) for match in matches]
        if len(fields) > limits.header_count:
            raise LimitExceeded(
                f"a header block has more than {limits.header_count} fields",
                limit="header_count",
                value=limits.header_count,
            )
        return cls(fields)

    def get(self, name: str) -> bytes | None:
        """The raw body of the first field of this name, or ``None``."""
        return self._first.get(name.lower().encode())

    def get_all(self, name: str) -> tuple[bytes, ...]:
        """The raw bodies of all fields of this name."""
        wanted = name.lower().encode()
        return tuple(value for key, value in self.fields if key == wanted)

    def text(self, name: str) -> str:
        """The decoded body of the first field of this name, ``""`` when there is none."""
        raw = self.get(name)
        if raw is None:
            return ""
        return text_of(raw) if raw.isascii() else text_of(raw, self.content_type.get("charset") or "")

    def addresses(self, field: str) -> tuple[str, ...]:
        """Every ``addr-spec`` of all fields of this name."""
        key = field.encode()
        if key not in self._first:
            return ()
        if len(self._first) == len(self.fields):
            return addresses_of(self._first[key])
        return tuple(address for name, raw in self.fields if name == key for address in addresses_of(raw))

    @_Once
    def subject(self) -> str:
        """The subject as a person reads it, ``//XFB`` parameters included."""
        return self.text("subject")

    @_Once
    def from_(self) -> str:
        """The address of the first author, ``""`` when there is none."""
        found = self.addresses("from")
        return found[0] if found else ""

    @_Once
    def to(self) -> tuple[str, ...]:
        """Addresses of the To fields."""
        return self.addresses("to")

    @_Once
    def cc(self) -> tuple[str, ...]:
        """Addresses of the Cc fields."""
        return self.addresses("cc")

    @_Once
    def bcc(self) -> tuple[str, ...]:
        """Addresses of the Bcc fields."""
        return self.addresses("bcc")

    @_Once
    def date(self) -> str | None:
        """The Date field as RFC 3339 in UTC, or ``None`` when it is missing or is no date."""
        raw = self._first.get(b"date")
        return date_of(raw) if raw is not None else None

    @_Once
    def message_id(self) -> str:
        """The Message-ID with its brackets, ``""`` when it is missing, empty or longer than a line."""
        return message_id_of(self._first.get(b"message-id", b""))

    @_Once
    def media(self) -> Parameters | None:
        """Content-Type with a valid ``type/subtype``, or ``None``: the default of the place applies (RFC 2045 §5.2)."""
        raw = self._first.get(b"content-type")
        if raw is None:
            return None
        found = parse_parameters(raw)
        if _MEDIA_TYPE.fullmatch(found.value):
            return found
        kind = _MEDIA_TYPE.match(found.value.lstrip("\"'"))
        return Parameters(kind[0], found.parameters) if kind else None

    @_Once
    def content_type(self) -> Parameters:
        """Content-Type; ``text/plain`` where it is missing or no type. Its parameters count in any case."""
        if self.media is not None:
            return self.media
        return Parameters("text/plain", parse_parameters(self._first.get(b"content-type", b"")).parameters)

    @_Once
    def disposition(self) -> Parameters:
        """Content-Disposition (RFC 2183); value ``""`` where it is missing."""
        raw = self._first.get(b"content-disposition")
        return parse_parameters(raw) if raw is not None else _MISSING

    @_Once
    def encoding(self) -> str:
        """Content-Transfer-Encoding, lower case, ``7bit`` where it is missing."""
        raw = self._first.get(b"content-transfer-encoding")
        return parse_parameters(raw).value.strip("\"',") or "7bit" if raw is not None else "7bit"

    @property
    def auto_submitted(self) -> bool:
        """RFC 3834: Auto-Submitted says anything but ``no``; Microsoft's and the words before the RFC count too."""
        submitted = self.get("auto-submitted")
        if submitted is not None and parse_parameters(submitted).value not in ("", "no"):
            return True
        if self.text("precedence").lower() in ("auto_reply", "auto-reply"):
            return True
        suppress = self.text("x-auto-response-suppress").lower()
        return "all" in suppress or "rn" in suppress or any(name in self._first for name in _AUTOMATS)

    @property
    def is_list(self) -> bool:
        """The mail came through a mailing list or in bulk (RFC 2919, RFC 2369)."""
        if any(name.startswith(b"list-") for name in self._first):
            return True
        return self.text("precedence").lower() in ("bulk", "list", "junk")

    @property
    def from_system(self) -> bool:
        """A mail system wrote this, not a person or program behind an address (RFC 5321 §4.5.5)."""
        author, return_path = self._first.get(b"from", b""), self._first.get(b"return-path", b"")
        if author.rstrip().endswith(b"<>") or return_path.rstrip().endswith(b"<>"):
            return True
        return self.from_.partition("@")[0].lower() in ("mailer-daemon", "postmaster")

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What is wrong in the fields we rely on."""
        found = []
        if len(self._first) < len(self.fields):
            counts = Counter(name for name, _ in self.fields if name in _ONCE)
            if twice := sorted(name.decode() for name, count in counts.items() if count > 1):
                found.append(Defect("duplicate-header", detail=", ".join(twice)))
        if b"content-type" in self._first and self.media is None:
            found.append(Defect("bad-content-type", detail=self.text("content-type")[:100]))
        if b"date" in self._first and self.date is None:
            found.append(Defect("bad-date", detail=self.text("date")[:100]))
        return tuple(found)


def message_id_of(raw: bytes) -> str:
    """The first ``<…>`` of a field body without white space; what has no brackets stays as its agent wrote it."""
    raw = raw.strip()
    if _PLAIN_MESSAGE_ID.fullmatch(raw):
        return raw.decode("ascii")
    raw = unfold(raw)
    match = _MESSAGE_ID.search(raw)
    octets = b"".join((match[0] if match else raw).split())
    if not octets.strip(b"<>") or len(octets) > LONGEST_MESSAGE_ID:
        return ""
    return text_of(octets)


def identity(head: Head) -> tuple[str, Literal["message-id", "header-hash"]]:
    """What makes a mail the same mail again (Gateway: *xfer_ident*).

    The Message-ID; where it is missing, a digest of Date, From, To, Cc, Bcc and Subject with white space evened out.
    """
    if head.message_id:
        return head.message_id, "message-id"
    words = (b" ".join((head.get(name) or b"").split()).decode("latin-1") for name in _HASHED)
    return digest_key(*words), "header-hash"


def split_subject(subject: str, delimiter: str = "//XFB") -> tuple[str, dict[str, str]]:
    """Take the Gateway's parameters off a subject: ``//XFB appli=…; ORG=…; DEST=… FILENAME=…``.

    Names in any case and order, semicolons forgotten or not. Text behind the delimiter that names no parameter is
    no parameter block: the subject stays as it is.

    :returns: the subject without the block, and ``{appli, org, dest, filename}`` as far as given.
    """
    at = subject.upper().rfind(delimiter.upper())
    if at < 0:
        return subject, {}
    block = subject[at + len(delimiter) :]
    names = list(_XFB.finditer(block))
    if not names:
        return subject, {}
    found: dict[str, str] = {}
    for index, match in enumerate(names):
        end = names[index + 1].start() if index + 1 < len(names) else len(block)
        value = block[match.end() : end].partition(";")[0].strip()
        if value:
            found.setdefault(match[1].lower(), value)
    return subject[:at].rstrip(), found


def write_subject(
    subject: str,
    *,
    appli: str = "",
    org: str = "",
    dest: str = "",
    filename: str = "",
    delimiter: str = "//XFB",
) -> str:
    """The inverse of :func:`split_subject`; without parameters the subject as it is.

    :raises ConfigurationError: when a value has a semicolon, a line end or reads like a further parameter.
    """
    given = {"appli": appli, "ORG": org, "DEST": dest, "FILENAME": filename}
    for name, value in given.items():
        if ";" in value or not value.isprintable() or _XFB.search(value):
            raise ConfigurationError(f"{name}={value!r} cannot travel in a subject.", field=name.lower())
    block = "; ".join(f"{name}={value}" for name, value in given.items() if value)
    return f"{subject} {delimiter} {block}".strip() if block else subject
