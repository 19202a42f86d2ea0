"""A MIME entity in memory: its header, its body, and what protects it.

Invariant: octets that were signed are taken out and handed on unchanged; a header that is written anew has valid fields
and nothing else, so that nothing of the protected mail's header can be read as content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Literal

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.mail.encodings import decoder_for
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.mail.mime import MimeParser
from airflow_pop3_gateway.mail.parts import Part
from airflow_pop3_gateway.records import Defect
from airflow_pop3_gateway.smime.ber import broken

OPAQUE = ("application/pkcs7-mime", "application/x-pkcs7-mime")
SIGNATURE = ("application/pkcs7-signature", "application/x-pkcs7-signature")
UNNAMED = ("application/octet-stream", "smime.p7m")
"""Agents that do not know the type send this (RFC 8551 §3.9)."""

_BODY = re.compile(rb"\r?\n\r?\n")
_LINE_END = re.compile(rb"[\r\n]+[ \t]*")
_BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")


def protection_of(head: Head) -> Literal["detached", "opaque"] | None:
    """How S/MIME protects an entity, by its header; ``None``: it does not."""
    kind = head.content_type
    if kind.value == "multipart/signed":
        return "detached" if (kind.get("protocol") or "").lower() in SIGNATURE else None
    name = (head.disposition.get("filename") or kind.get("name") or "").lower()
    return "opaque" if kind.value in OPAQUE or (kind.value, name) == UNNAMED else None


def canonical(octets: bytes) -> bytes:
    """Every line end CRLF (RFC 8551 §3.1.1)."""
    return _BARE.sub(b"\r\n", octets)


def body_of(mail: bytes) -> tuple[int, int]:
    """Where the header block ends and where the body begins."""
    if mail.startswith((b"\r\n", b"\n")):
        return 0, mail.index(b"\n") + 1
    found = _BODY.search(mail)
    return (found.start(), found.end()) if found else (len(mail), len(mail))


class Entity:
    """One entity. :raises LimitExceeded: its header is too long."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        end, self._body = body_of(octets)
        self.head = Head.from_bytes(octets[:end])

    @property
    def body(self) -> bytes:
        """What follows the header."""
        return self.octets[self._body :]

    @property
    def decoded(self) -> bytes:
        """The body without its transfer encoding."""
        decoder = decoder_for(self.head.encoding)
        return decoder.feed(self.body) + decoder.finish()

    def detached(self, limits: Limits) -> tuple[bytes, bytes]:
        """What a multipart/signed signs, and the signature.

        :raises MailRefused: it has not these two parts and no other: what stands beside them nobody signed.
        """
        handler = _Signed(limits)
        parser = MimeParser(handler)
        parser.feed(self.octets)
        parser.close()
        if handler.parts != 2 or not handler.signature:
            raise broken("a multipart/signed is not of content and signature")
        return b"".join(handler.content), bytes(handler.signature)

    def within(self, outer: Entity) -> bytes:
        """The mail whose content this is: the other fields are those of the protected mail."""
        return b"".join([*outer._fields(content=False), *self._fields(content=True), b"\r\n", self.body])

    def _fields(self, content: bool) -> Iterator[bytes]:
        """The fields that say what the content is, or all others, each a line that nobody reads otherwise."""
        for name, value in self.head.fields:
            if (name.startswith(b"content-") or name == b"mime-version") is content:
                yield b"%b: %b\r\n" % (name.title(), _LINE_END.sub(b" ", value.strip()))


class _Signed:
    """What the parser tells of a multipart/signed."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._decode: Callable[[memoryview], bytes] = bytes
        self._part: Part | None = None
        self.parts = 0
        self.content: list[bytes] = []
        self.signature = bytearray()

    def begin(self, head: Head) -> Limits:
        """Its structure is of interest."""
        return self._limits

    def start(self, part: Part) -> None:
        """Find the signature."""
        if part.parent is None or part.parent.parent is not None:
            return
        self.parts += 1
        if self.parts == 2 and part.content_type in SIGNATURE:
            self._part, self._decode = part, decoder_for(part.head.encoding).feed

    def data(self, part: Part, piece: memoryview) -> None:
        """Keep the signature."""
        if part is self._part:
            self.signature += self._decode(piece)

    def enclosed(self, part: Part, piece: bytes) -> None:
        """Keep what was signed."""
        if part.kind == "multipart" and part.parent is None:
            self.content.append(piece)

    def end(self, part: Part) -> None:
        """Nothing hangs on it."""

    def defect(self, defect: Defect) -> None:
        """It is noted when the mail is understood."""
