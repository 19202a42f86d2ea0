"""Header fields of mails we write: addresses, texts, parameters; each folded, and ASCII wherever it can be.

Strategy: an argument becomes a :class:`Mailbox` or is refused before anything is sent; text that is not ASCII is
encoded (RFC 2047, RFC 2231), a domain becomes its A-label. Only the part of an address before its ``@`` may stay as
it is (RFC 6532): whoever sends it must find a server with SMTPUTF8.

Invariant: no argument can add a field or a command; lines stay below 998 octets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.header import Header
from urllib.parse import quote

import idna

from airflow_pop3_gateway.errors import ConfigurationError

Field = tuple[str, str]
"""Name and folded body of a header field."""

MOST_RECIPIENTS = 1000
"""Of one mail: ten times what every server must take (RFC 5321 §4.5.3.1.8)."""
MOST_CHARACTERS = 2000
"""Of a field of free text, or of an address with its name."""
_LOCAL_PART_OCTETS = 64
_DOMAIN_OCTETS = 255
_LIST = re.compile(r'(?:"(?:[^"\\]|\\.)*"|<[^>]*>|[^",;<])+')
_NAMED = re.compile(r"(.*?)\s*<([^<>]*)>\s*", re.DOTALL)
_ADDRESS = re.compile(
    r'((?:[^\s"(),:;<>@\[\\\]]+)|"(?:[ !#-\[\]-~]|\\[ -~])*")@([^\s"(),:;<>@\[\\\]]+|\[[0-9A-Fa-fIPv.:]+\])'
)
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")
_OURS = re.compile(
    r"(?i)(?:from|sender|to|cc|bcc|subject|date|message-id|mime-version|return-path|received|content-.*|disposition-.*)"
)
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")
_CRLF = "\r\n"
_WORD = 70
_PIECE = 60  # characters of one section of a parameter


@dataclass(frozen=True)
class Mailbox:
    """An address, with the name of its owner where it was given."""

    address: str
    name: str = ""

    @classmethod
    def parse(cls, text: str, argument: str) -> Mailbox:
        """Read ``address`` or ``Name <address>``.

        :raises ConfigurationError: when it is neither.
        """
        text = text.strip()
        named = _NAMED.fullmatch(text)
        name, address = (named[1].strip(), named[2].strip()) if named else ("", text)
        found = _ADDRESS.fullmatch(address)
        if (
            found is None
            or not text.isprintable()
            or len(text) > MOST_CHARACTERS
            or len(found[1].encode()) > _LOCAL_PART_OCTETS
        ):
            raise ConfigurationError(f"{argument}: {text!r:.200} is not a mail address.", field=argument)
        if name[:1] == name[-1:] == '"':
            name = re.sub(r"\\(.)", r"\1", name[1:-1])
        return cls(f"{found[1]}@{_ascii_domain(found[2], argument)}", name)

    @property
    def field(self) -> str:
        """As it stands in a header."""
        if not self.name:
            return self.address
        if not self.name.isascii():
            return f"{Header(self.name, 'utf-8', maxlinelen=70).encode(linesep=_CRLF)} <{self.address}>"
        if _ATOMS.fullmatch(self.name):
            return f"{self.name} <{self.address}>"
        return '"' + re.sub(r'(["\\])', r"\\\1", self.name) + f'" <{self.address}>'


def _ascii_domain(domain: str, argument: str) -> str:
    if domain.isascii():
        ascii_domain = domain
    else:
        try:
            ascii_domain = idna.encode(domain, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise ConfigurationError(
                f"{argument}: {domain!r} is not a domain: {error}", field=argument
            ) from None
    if len(ascii_domain) > _DOMAIN_OCTETS:
        raise ConfigurationError(f"{argument}: {domain!r:.80} is too long for a domain.", field=argument)
    return ascii_domain


def mailboxes(value: str | Iterable[str] | None, argument: str) -> tuple[Mailbox, ...]:
    """Addresses of an argument: a text with commas between them, or a list.

    :raises ConfigurationError: for one that is no address, and for more than :data:`MOST_RECIPIENTS`.
    """
    texts = [value] if isinstance(value, str) else list(value or ())
    found = [
        Mailbox.parse(one, argument) for text in texts for one in _LIST.findall(str(text)) if one.strip()
    ]
    if len(found) > MOST_RECIPIENTS:
        raise ConfigurationError(
            f"{argument}: {len(found)} addresses; one mail goes to {MOST_RECIPIENTS} at most.", field=argument
        )
    return tuple(found)


def address_list(boxes: Sequence[Mailbox]) -> str:
    """The body of a To or Cc field, one address a line."""
    return f",{_CRLF} ".join(box.field for box in boxes)


def unstructured(name: str, text: str) -> Field:
    """A field of free text, folded; encoded (RFC 2047) where it is not ASCII, could not be folded, or would be read as
    encoded.

    :raises ConfigurationError: for a control character, and beyond :data:`MOST_CHARACTERS`.
    """
    if not text.isprintable() or len(text) > MOST_CHARACTERS:
        raise ConfigurationError(
            f"{name}: {text!r:.200} has a control character, or more than {MOST_CHARACTERS} characters.",
            field=name.lower(),
        )
    plain = text.isascii() and "=?" not in text and max(map(len, text.split(" "))) <= _WORD
    charset = "us-ascii" if plain else "utf-8"
    return name, Header(text, charset, header_name=name, maxlinelen=76).encode(linesep=_CRLF)


def further(fields: Iterable[tuple[str, str]]) -> list[Field]:
    """Fields a user adds.

    :raises ConfigurationError: for a name that is none, or is written by the gateway itself.
    """
    added = []
    for name, text in fields:
        if not _FIELD_NAME.fullmatch(name) or _OURS.fullmatch(name):
            raise ConfigurationError(f"headers: {name!r:.80} is not a field to be set here.", field="headers")
        added.append(unstructured(name, text))
    return added


def parameter(name: str, value: str) -> str:
    """``; name=value`` on a line of its own; RFC 2231 where the value is not ASCII, or long."""
    if value.isascii() and len(value) <= _PIECE:
        return f";{_CRLF} {name}=" + '"' + re.sub(r'(["\\])', r"\\\1", value) + '"'
    pieces = [""]
    for character in value:
        encoded = quote(character, safe="!#$&+-.^_`{|}~")
        if len(pieces[-1]) + len(encoded) > _PIECE:
            pieces.append("")
        pieces[-1] += encoded
    pieces[0] = f"utf-8''{pieces[0]}"
    if len(pieces) == 1:
        return f";{_CRLF} {name}*={pieces[0]}"
    return "".join(f";{_CRLF} {name}*{number}*={piece}" for number, piece in enumerate(pieces))
