"""One node of the structure of a mail: what its header says it is, and where it stands.

Invariant: what a part is follows from its own header and the part above it; nothing here looks at octets of a body.
"""

from __future__ import annotations

import re
from typing import Literal

from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.mail.words import unfold

Kind = Literal["leaf", "multipart", "message"]

LONGEST_BOUNDARY = 1_000
"""Octets. RFC 2046 allows 70; what is longer than a line is no boundary."""

_BOUNDARY = re.compile(rb'[\s;]boundary\s*=\s*(?:"((?:[^"\\]|\\.)+)"|([^\s;"]+))', re.IGNORECASE)
_ESCAPED = re.compile(rb'\\(["\\])')
_ENCLOSED = ("message/rfc822", "message/global", "message/news")
_PLAIN_ENCODINGS = ("7bit", "8bit", "binary", "7-bit", "8-bit")


class Part:
    """One node of the structure.

    :ivar path: IMAP-like number; :ivar enclosed: an enclosed mail is above; :ivar children: parts seen directly below;
        :ivar first: Content-Type of the first.
    :ivar boundary: of a multipart, ``b""`` where it is missing, empty or longer than a line.
    :ivar name: the file name the sender gave: Content-Disposition first, then Content-Type; ``None`` when empty.
    """

    __slots__ = (
        "boundary",
        "children",
        "content_type",
        "depth",
        "enclosed",
        "first",
        "head",
        "kind",
        "name",
        "parent",
        "path",
    )

    def __init__(self, head: Head, parent: Part | None) -> None:
        self.head = head
        self.parent = parent
        self.children = 0
        self.first = ""
        self.depth: int = parent.depth + 1 if parent else 0
        self.enclosed: bool = parent is not None and (parent.enclosed or parent.kind == "message")
        media = head.media
        if media is not None:
            self.content_type = media.value
        else:
            digest = parent is not None and parent.content_type == "multipart/digest"
            self.content_type = "message/rfc822" if digest else "text/plain"
        self.kind: Kind = "leaf"
        self.boundary = b""
        if self.content_type.startswith("multipart/"):
            self.boundary = _boundary(head)
            self.kind = "multipart" if self.boundary else "leaf"
        elif self.content_type in _ENCLOSED and head.encoding in _PLAIN_ENCODINGS:
            self.kind = "message"
        given = head.disposition.get("filename") or head.content_type.get("name")
        self.name = given or head.disposition.get("name") or None
        self.path = self._path()

    def _path(self) -> str:
        if self.parent is None:
            return "" if self.kind == "multipart" else "1"
        self.parent.children += 1
        self.parent.first = self.parent.first or self.content_type
        if self.parent.kind == "message" and self.kind == "multipart":
            return self.parent.path
        return f"{self.parent.path}.{self.parent.children}" if self.parent.path else str(self.parent.children)


def _boundary(head: Head) -> bytes:
    text = head.content_type.get("boundary")
    octets = text.rstrip().encode("utf-8", "replace") if text else b""
    field = head.get("content-type") or b""
    as_given = b"=" + octets in field or b'="' + octets in field
    if not as_given and (given := _BOUNDARY.search(field)):  # it was read as text, and it is octets
        octets = _ESCAPED.sub(rb"\1", unfold(given[1] or given[2])).rstrip()
    return octets if len(octets) <= LONGEST_BOUNDARY else b""
