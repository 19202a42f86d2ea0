"""A header field that is a value with parameters (RFC 2045 §5.1, RFC 2231): Content-Type, Content-Disposition.

Strategy: one regular expression knows what nearly every agent writes, where nothing needs to be undone; whatever it
does not know is read piece by piece.

Invariant: as in ``words``, and both ways give the same.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

import msgspec

from airflow_pop3_gateway.mail.words import decode_octets, decode_words, printable

_BLANK = r"[ \t\r\n]"
_PLAIN = (
    r"[!#-'*-:<->@-\[\]-~]"  # no space, and nothing that a comment, an escape or an encoded word begins with
)
_GIVEN = rf'(?:{_PLAIN}+|"{_PLAIN}+(?: {_PLAIN}+)*")'
_USUAL = re.compile(
    rf"([\w.+/-]+)(?:{_BLANK}*;{_BLANK}*[a-z-]{{1,40}}={_GIVEN})*{_BLANK}*(?:;{_BLANK}*)?",
    re.ASCII | re.IGNORECASE,
)
_USUAL_PARAMETER = re.compile(r"([A-Za-z-]+)=(?:\"([^\"]+)\"|([^; \t\r\n]+))")
_SPACES = re.compile(r"[\x00-\x1f\x7f][\x00-\x20\x7f]*| [\x00-\x20\x7f]+")  # all but a single space
_VALUE = re.compile(r" ?(?:\([^()]*\) ?)?([^ ;(]*)")
_PARAMETER = re.compile(
    r'(?<![^ ;"])([^ =;"]{1,40})(?: ?\([^()]*\))? ?= ?(?:\([^()]*\) ?(?="))?(?:"([^"\\]*(?:\\.[^"\\]*)*)"?|'
    r"([^;]*?)(?=;|$| (?:charset|name|filename|boundary|format|type|report-type|micalg|protocol)\*?=))",
    re.IGNORECASE,
)
_SECTION = re.compile(r"([^*]+)(?:\*(\d{1,4}))?(\*)?\Z")
_CHARSET_TOO_LATE = re.compile(
    r"(?:utf-8|us-ascii|iso-8859-\d{1,2}|windows-125\d)'[a-z-]{0,10}'", re.IGNORECASE
)
_COMMENT_AFTER = re.compile(r" ?\(.*\Z")
_CACHED_LENGTH = 48  # octets: what names a file or a boundary is longer, and never comes again


class Parameters(msgspec.Struct, frozen=True):
    """A value with parameters (RFC 2045 §5.1, RFC 2231), such as Content-Type or Content-Disposition.

    :ivar value: lower case, ``""`` when there was none; :ivar parameters: lower-case name → decoded value, the
        first of each name.
    """

    value: str
    parameters: Mapping[str, str]

    def get(self, name: str) -> str | None:
        """The decoded value of a parameter, or ``None``."""
        return self.parameters.get(name)


_WHOLE = -1
"""The number of a value that is extended and not cut: it needs no sections."""


def _continued(sections: dict[int, tuple[bool, str]]) -> str:
    charset, octets = "", []
    for at, number in enumerate([_WHOLE] if _WHOLE in sections else sorted(sections)):
        extended, value = sections[number]
        if extended and (
            value.count("'") >= 2 if at == 0 else not charset and _CHARSET_TOO_LATE.match(value)
        ):
            charset, _, value = value.split("'", 2)
        octets.append(unquote_to_bytes(value.encode("latin-1")) if extended else value.encode("latin-1"))
    whole = b"".join(octets)
    return printable(
        decode_words(decode_octets(whole, charset).encode("utf-8", "replace") if charset else whole)
    )


def parse_parameters(raw: bytes) -> Parameters:
    """Read a value and its parameters, forgiving missing quotes and semicolons, raw 8-bit and encoded words."""
    return _parse_short(raw) if len(raw) <= _CACHED_LENGTH else _parse(raw)


def _parse(raw: bytes) -> Parameters:
    text = raw.decode("latin-1")
    usual = _USUAL.fullmatch(text)
    if usual is None:
        return _parse_piece_by_piece(text)
    found = _USUAL_PARAMETER.findall(text, usual.end(1))
    return Parameters(
        usual[1].lower(), {name.lower(): quoted or token for name, quoted, token in reversed(found)}
    )


_parse_short = functools.lru_cache(maxsize=512)(_parse)


def _parse_piece_by_piece(text: str) -> Parameters:
    flat = _SPACES.sub(" ", text).strip()
    value = _VALUE.match(flat)
    assert value is not None
    parameters: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[bool, str]]] = {}
    kind, end = value[1].lower(), value.end()
    if "=" in kind:  # the value was forgotten, the parameters were not
        kind, end = "", 0
    if end < len(flat):
        for name, quoted, token in _PARAMETER.findall(flat, end):
            section = _SECTION.match(printable(name.lower()))
            if section is None:
                continue
            plain = quoted.replace('\\"', '"').replace("\\\\", "\\") if quoted else token.strip()
            name = section[1]
            if section[2] is not None or section[3]:
                number = _WHOLE if section[2] is None else int(section[2])
                sections.setdefault(name, {}).setdefault(number, (bool(section[3]), plain))
            elif name not in parameters:
                if not quoted and name not in ("name", "filename"):
                    plain = _COMMENT_AFTER.sub("", plain)
                if plain.isascii() and "=?" not in plain:
                    parameters[name] = printable(plain)
                else:
                    parameters[name] = printable(decode_words(plain.encode("latin-1")))
    for name, found in sections.items():
        if name not in parameters or min(found) <= 0:
            parameters[name] = _continued(found)
    return Parameters(printable(kind), parameters)
