"""Octets of a header field become text: unfolding, charsets, encoded words, addresses, dates.

Strategy: octets stay octets until somebody asks; pure ASCII takes the short way. What declares no charset, or one
nobody knows, is read as UTF-8 with every octet that is not UTF-8 taken as Windows-1252, so nothing is lost and
nothing raises.

Invariant: every function takes any octets and returns in time linear in their number; text that leaves this
module has no control characters.
"""

from __future__ import annotations

import binascii
import codecs
import functools
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_tz

FALLBACK = "airflow_pop3_gateway.windows_1252"
_JAPANESE = "airflow_pop3_gateway.rows_of_vendors"

# Codecs that do something else than map octets to characters, or do it in quadratic time.
_NOT_CHARSETS = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
)
# As mail readers take them (the Encoding Standard of WHATWG says so too): agents name a set and use a wider one.
_WIDER = {
    "big5": "big5hkscs",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso2022_jp": "iso2022_jp_ext",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "shift_jis": "cp932",
    "tis-620": "cp874",
}
_LABELS = {
    "iso-8859-6-e": "iso8859-6",
    "iso-8859-6-i": "iso8859-6",
    "iso-8859-8-e": "iso8859-8",
    "iso-8859-8-i": "iso8859-8",
    "windows-31j": "cp932",
    "x-mac-cyrillic": "mac-cyrillic",
    "x-mac-roman": "mac-roman",
}
_MARKS = {
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}
_CODE_PAGE = re.compile(r"(?:x-)?(?:windows|win|cp|ibm|ms)[-_ ]?(\d{3,5})")
_FOLD = re.compile(rb"[\r\n]+[ \t]*")
# A question mark may stand in a word, in spite of RFC 2047 §4.2; what begins another word may not.
_WORD = re.compile(rb"=\?([^?\s]*)\?([bBqQ])\?((?:[^?=]|=(?!\?[^=])|\?(?!=))*)\?=")
_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/=]+")
_ADDRESS_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"?|<[^>]*>?|[(),;:\\]|[^"<(),;:\\]+')
_TEXT_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[("]|[^"(]+')
_COMMENT_TOKEN = re.compile(r"[()]|\\.?|[^()\\]+")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"( *)')
_AROUND = re.compile(r" ?([.@]) ?")
_PLAIN_ADDRESS = rb"[!#-'*+./0-9=?A-Z^_`a-z{|}~-]+@[!#-'*+./0-9=?A-Z^_`a-z{|}~-]+"
_ONE_ADDRESS = re.compile(rb"(" + _PLAIN_ADDRESS + rb")|[^<>\"(),;:\\]*<(" + _PLAIN_ADDRESS + rb")>")
_DATE = re.compile(
    rb"\s*(?:[A-Za-z]{3,9},?\s*)?(\d{1,2})[\s-]([A-Za-z]{3})[a-z]*\.?[\s-](\d{4})\s(\d{1,2}):(\d\d)(?::(\d\d))?"
    rb"\s*(?:([+-])(\d\d):?(\d\d)|GMT|UTC?|Z)?(?=\s*(?:\(|$))"
)
_HALF_OF_THE_DAY = re.compile(r"(?i)(?<=\d) ?([ap])m\b")
_MONTHS = {
    name: number
    for number, name in enumerate(
        (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"), 1
    )
}
_LONGEST_DATE = 200


def _windows_1252(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    octets = error.object[error.start : error.end]
    return octets.decode("cp1252", "replace").replace("\ufffd", "?"), error.end


def _rows_of_vendors(error: UnicodeError) -> tuple[str, int]:
    """Two octets of JIS or EUC-JP: one of the characters NEC and IBM added, such as a number in a circle."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    high = 0x80 if error.encoding.startswith("euc") else 0
    pair = error.object[error.start : error.start + 2 if high else error.end]
    row, cell = (octet - high for octet in pair) if len(pair) == 2 else (0, 0)
    if not (0x21 <= row <= 0x7E and 0x21 <= cell <= 0x7E):
        return "\ufffd", error.end
    lead = (row + 1 >> 1) + (0x70 if row < 0x5F else 0xB0)  # as Windows-31J writes them
    trail = cell + (0x7E if not row % 2 else 0x20 if cell > 0x5F else 0x1F)
    return bytes((lead, trail)).decode("cp932", "replace"), error.start + 2


codecs.register_error(FALLBACK, _windows_1252)
codecs.register_error(_JAPANESE, _rows_of_vendors)


@functools.lru_cache(maxsize=256)
def charset_codec(charset: str) -> str | None:
    """The Python codec of a charset label, or ``None`` when there is none that maps octets to characters."""
    label = charset.strip().strip("\"'").lower()
    page = _CODE_PAGE.fullmatch(label)
    for spelling in (label, _LABELS.get(label) or (f"cp{page[1]}" if page else label.removeprefix("x-"))):
        try:
            name = codecs.lookup(spelling).name
            if name in _NOT_CHARSETS:
                return None
            b"x".decode(name, "replace")
        except (LookupError, ValueError):
            continue
        return _WIDER.get(name, name)
    return None


def with_byte_order(codec: str, octets: bytes) -> str:
    """The codec of a text that begins with these octets: without a mark the little end comes first (WHATWG)."""
    return f"{codec}-le" if codec in _MARKS and not octets.startswith(_MARKS[codec]) else codec


def errors_of(codec: str) -> str:
    """How a codec treats what it does not know: vendors' characters are known, all else is U+FFFD."""
    return _JAPANESE if codec.startswith(("iso2022_jp", "euc_ji", "euc_jp")) else "replace"


def decode_octets(octets: bytes, charset: str = "") -> str:
    """Octets in a declared charset as text; ``us-ascii``, nothing and the unknown are UTF-8 with the fallback."""
    codec = charset_codec(charset) if charset else None
    if codec is None or codec == "ascii":
        return octets.decode("utf-8", FALLBACK)
    return octets.decode(with_byte_order(codec, octets), errors_of(codec))


def printable(text: str) -> str:
    """Control characters become spaces; the ends are bare."""
    if not text.isprintable():
        text = "".join(
            " " if character < " " or "\x7f" <= character <= "\x9f" else character for character in text
        )
        text = text.encode("utf-8", "replace").decode()
    return text.strip()


def unfold(raw: bytes) -> bytes:
    """A field body on one line (RFC 5322 §2.2.3); each fold becomes one space."""
    if b"\n" in raw or b"\r" in raw:
        raw = _FOLD.sub(b" ", raw)
    return raw.strip()


def _word_octets(encoding: bytes, payload: bytes) -> bytes:
    if encoding in b"qQ":
        return binascii.a2b_qp(payload, header=True)
    clean = payload.replace(b"=", b"")
    if len(clean) % 4 == 1:
        clean = clean[:-1]
    return binascii.a2b_base64(clean + b"=" * (-len(clean) % 4))


def _octets_of(words: list[tuple[bytes, bytes]]) -> bytes:
    """The octets of neighbouring words; base64 that was cut within a quad goes on in the next word."""
    words = [(way, _NOT_BASE64.sub(b"", payload) if way in b"bB" else payload) for way, payload in words]
    if len(words) > 1 and all(way in b"bB" for way, _ in words):
        whole = b"".join(payload for _, payload in words)
        if any(len(payload) % 4 for _, payload in words) and not len(whole) % 4 and b"=" not in whole[:-2]:
            words = [(b"b", whole)]
    return b"".join(_word_octets(way, payload) for way, payload in words)


def decode_words(raw: bytes, charset: str = "") -> str:
    """Text with its encoded words (RFC 2047) replaced, wherever they stand; neighbours in one charset go together.

    :param charset: of octets outside of the words that are not UTF-8.
    """
    if b"=?" not in raw:
        return _decode_raw(raw, charset)
    pieces = _WORD.split(raw)
    out = [_decode_raw(pieces[0], charset)]
    pending: list[tuple[bytes, bytes]] = []
    for at in range(1, len(pieces), 4):
        label, encoding, payload, gap = pieces[at : at + 4]
        pending.append((encoding, payload))
        last = at + 4 >= len(pieces)
        if last or gap.strip() or pieces[at + 4].lower() != label.lower():
            out.append(decode_octets(_octets_of(pending), label.partition(b"*")[0].decode("latin-1")))
            pending.clear()
            if last or gap.strip():
                out.append(_decode_raw(gap, charset))
    return "".join(out)


def _decode_raw(octets: bytes, charset: str) -> str:
    """Octets of a field that says nothing of a charset: UTF-8, or else as the text of the mail is written."""
    if not charset or octets.isascii():
        return decode_octets(octets)
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return decode_octets(octets, "" if charset_codec(charset) == "utf-8" else charset)


def text_of(raw: bytes, charset: str = "") -> str:
    """An unstructured field body as a person reads it (RFC 5322, 2047, 6532).

    :param charset: of raw octets that are not UTF-8; agents before RFC 6532 wrote them as they wrote the text.
    """
    flat = unfold(raw)
    if flat.isascii() and b"=?" not in flat:
        return printable(flat.decode("ascii"))
    return printable(decode_words(flat, charset))


def without_comments(text: str) -> str:
    """A structured field body without the comments that may stand between any two of its words (RFC 5322 §3.2.2)."""
    if "(" not in text:
        return text
    kept: list[str] = []
    depth = at = 0
    while at < len(text):
        found = (_COMMENT_TOKEN if depth else _TEXT_TOKEN).match(text, at)
        assert found is not None
        token, at = found[0], found.end()
        if token == "(":
            depth += 1
        elif depth:
            depth -= token == ")"
        else:
            kept.append(token)
    return " ".join("".join(kept).split())


def _mailboxes(text: str) -> Iterator[tuple[str, str]]:
    """Yield (bare text, angle address) of every mailbox; comments nest without recursion (RFC 5322 §3.4).

    A name with an empty address, as mail systems write it, is no mailbox.
    """
    bare: list[str] = []
    angle, depth, at = "", 0, 0
    while at < len(text):
        found = (_COMMENT_TOKEN if depth else _ADDRESS_TOKEN).match(text, at)
        assert found is not None
        token, at = found[0], found.end()
        if token == "(":
            depth += 1
        elif token == ")":
            depth = max(0, depth - 1)
        elif depth:
            continue
        elif token in ",;":
            yield "".join(bare), angle
            bare, angle = [], ""
        elif token == ":":
            bare, angle = [], ""  # the name of a group
        elif token[0] == "<":
            if angle:  # the comma between two was forgotten
                yield "".join(bare), angle
                bare = []
            angle = token.strip("<>")
            bare = bare if angle.strip() else []
        elif token[0] == '"' and not _QUOTED.fullmatch(token):  # never closed: the mark means nothing
            if not angle:
                yield from _mailboxes("".join(bare) + token.replace('"', " "))
            bare = []
        elif token != "\\":
            bare.append(token)
    yield "".join(bare), angle


def addresses_of(raw: bytes) -> tuple[str, ...]:
    """The plain ``addr-spec`` of every mailbox in an address field, in order; groups are flattened."""
    one = _ONE_ADDRESS.fullmatch(raw.strip())
    if one is not None:
        return ((one[1] or one[2]).decode("ascii"),)
    flat = unfold(raw)
    text = decode_octets(flat) if b"<" in flat else decode_words(flat)
    found: list[str] = []
    for bare, angle in _mailboxes(text):
        found += _plain_addresses(angle.rpartition(":")[2] if angle.startswith("@") else angle or bare)
    return tuple(found)


def _plain_addresses(text: str) -> list[str]:
    """One address without the comments and spaces that once could stand in it (RFC 5322 §4.4).

    Where words are left, those that are addresses: who forgot a comma, or the brackets.
    """
    if "(" in text:
        text = next(_mailboxes(text.replace("<", " ")))[0]
    text = printable(text).strip("<>")
    if '"' in text:
        bare = _QUOTED.sub(lambda name: "" if name[1] else name[0], text)
        text = bare if "@" in bare[1:] else text
    if '"' not in text:
        text = _AROUND.sub(r"\1", " ".join(text.split()))
    words = text.split() if '"' not in text else [text]
    return [word for word in words if "@" in word] or ([text] if text else [])


def date_of(raw: bytes) -> str | None:
    """A date-time (RFC 5322 §3.3, obsolete forms too) as RFC 3339 in UTC, or ``None``."""
    raw = raw[:_LONGEST_DATE]
    match = _DATE.match(raw)
    try:
        if match is not None:
            day, month, year, hour, minute, second, sign, hours, minutes = match.groups()
            stamp = datetime(  # noqa: DTZ001 - without a zone until it is UTC
                int(year), _MONTHS[month.lower()], int(day), int(hour), int(minute), min(59, int(second or 0))
            )
            if sign and (hours != b"00" or minutes != b"00"):
                offset = timedelta(hours=int(hours), minutes=int(minutes))
                stamp = stamp - offset if sign == b"+" else stamp + offset
        else:
            text = " ".join(decode_octets(raw).split())
            half = _HALF_OF_THE_DAY.search(text)  # which the library would take for the zone
            fields = parsedate_tz(_HALF_OF_THE_DAY.sub("", text) if half else text)
            if fields is None:
                return None
            year, hour = fields[0], fields[3]
            if year < 1000:  # three digits (RFC 5322 §4.3)
                year += 1900
            if half and hour <= 12:
                hour = hour % 12 + (12 if half[1] in "pP" else 0)
            stamp = datetime(year, fields[1], fields[2], hour, fields[4], min(59, fields[5]))  # noqa: DTZ001
            stamp -= timedelta(seconds=fields[9] or 0)
    except (ValueError, TypeError, LookupError, OverflowError):
        return None
    return f"{stamp.isoformat()}Z"
