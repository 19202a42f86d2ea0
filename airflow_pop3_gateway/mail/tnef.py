"""The files in a ``winmail.dat``: what Outlook wraps attachments in (MS-OXTNEF).

Strategy: attributes are read one after another; of an attachment only its names and its octets are looked at.
Everything else, the text of the message in Outlook's own format included, stays in the file it came in. Written here
because the parsers there are believe the counts they read, and turn a hundred octets into hours of work.

Invariant: time and memory are linear in the octets given, whatever they say about themselves; what cannot be read
raises :class:`ValueError` and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_pop3_gateway.mail.words import decode_octets

SIGNATURE = b"\x78\x9f\x3e\x22"
CONTENT_TYPES = ("application/ms-tnef", "application/vnd.ms-tnef")

_ATTRIBUTE = struct.Struct("<BII")
_NUMBER = struct.Struct("<I")
_PROPERTY = struct.Struct("<HH")
_OEM_CODEPAGE, _BEGIN, _TITLE, _DATA, _PROPERTIES = 0x69007, 0x69002, 0x18010, 0x6800F, 0x69005
_FIXED = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 10: 4, 11: 4, 20: 8, 64: 8, 72: 16}
_OBJECT, _STRING, _UNICODE, _BINARY = 0x0D, 0x1E, 0x1F, 0x102
_MULTIPLE, _NAMED = 0x1000, 0x8000
_CONTENT, _LONG_NAME, _SHORT_NAME = 0x3701, 0x3707, 0x3704


@dataclass
class Attachment:
    """One file. :ivar data: ``None`` for what is no file but, for example, a mail in Outlook's own format."""

    name: str = ""
    data: memoryview | None = None


def attachments(octets: bytes) -> list[Attachment]:
    """What is attached, in order.

    :raises ValueError: the octets are no TNEF, damaged or cut short.
    """
    if octets[:4] != SIGNATURE:
        raise ValueError("no TNEF signature")
    found: list[Attachment] = []
    codepage = "cp1252"
    for attribute, data in _attributes(memoryview(octets)[6:]):
        if attribute == _BEGIN:
            found.append(Attachment())
        elif attribute == _OEM_CODEPAGE and len(data) >= 4:
            codepage = f"cp{_NUMBER.unpack_from(data)[0]}"
        elif found and attribute == _TITLE:
            found[-1].name = found[-1].name or _text(bytes(data), codepage)
        elif found and attribute == _DATA:
            found[-1].data = data
        elif found and attribute == _PROPERTIES:
            _add_properties(found[-1], data, codepage)
    return found


def _text(octets: bytes, codepage: str) -> str:
    return decode_octets(octets.partition(b"\0")[0], codepage)


def _attributes(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at < len(data):
        if at + _ATTRIBUTE.size > len(data):
            raise ValueError("cut short in the head of an attribute")
        level, attribute, length = _ATTRIBUTE.unpack_from(data, at)
        start = at + _ATTRIBUTE.size
        at = start + length + 2
        if level not in (1, 2) or at > len(data):
            raise ValueError(f"attribute {attribute:#x} is not of this format, or cut short")
        value = data[start : start + length]
        if sum(value) & 0xFFFF != int.from_bytes(data[at - 2 : at], "little"):
            raise ValueError(f"attribute {attribute:#x} is damaged")
        yield attribute, value


def _add_properties(attachment: Attachment, data: memoryview, codepage: str) -> None:
    try:
        for name, kind, value in _properties(data):
            if name == _CONTENT and kind == _BINARY:
                attachment.data = value
            elif name in (_LONG_NAME, _SHORT_NAME) and (name == _LONG_NAME or not attachment.name):
                octets = bytes(value)
                text = octets.decode("utf-16-le", "replace").rstrip("\0") if kind == _UNICODE else ""
                attachment.name = text or _text(octets, codepage)
    except struct.error:
        raise ValueError("the properties of an attachment are cut short") from None


def _properties(data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Name, type and value; each takes at least four octets, whatever the count says."""
    (count,), at = _NUMBER.unpack_from(data), 4
    while count and at < len(data):
        count -= 1
        kind, name = _PROPERTY.unpack_from(data, at)
        at += 4
        if name >= _NAMED:
            named = _NUMBER.unpack_from(data, at + 16)[0]
            length = _NUMBER.unpack_from(data, at + 20)[0] if named else 0
            at += 24 + (length + 3 & ~3)
        multiple, kind = kind & _MULTIPLE, kind & ~_MULTIPLE
        values = 1
        if multiple or kind in (_OBJECT, _STRING, _UNICODE, _BINARY):
            values = _NUMBER.unpack_from(data, at)[0]
            at += 4
        while values:
            values -= 1
            length = _FIXED.get(kind, -1)
            if length < 0:
                if kind not in (_OBJECT, _STRING, _UNICODE, _BINARY):
                    raise ValueError(f"a property of unknown type {kind:#x}")
                length = _NUMBER.unpack_from(data, at)[0]
                at += 4
            if at + length > len(data):
                raise ValueError("a property is cut short")
            yield name, kind, data[at : at + length]
            at += length + 3 & ~3
