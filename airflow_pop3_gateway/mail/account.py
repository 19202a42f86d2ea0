"""The account of one part: what goes through it, who gets the decoded octets, and what is written down of it.

Strategy: octets are decoded once, counted and digested once, and handed to at most one taker: a file, the message
text, or what is kept of a report.

Invariant: every part that is no multipart with parts has one account, and every account becomes one leaf of the record.
"""

from __future__ import annotations

import hashlib

from airflow_pop3_gateway.mail.classify import Role
from airflow_pop3_gateway.mail.encodings import Decoder
from airflow_pop3_gateway.mail.files import File
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.mail.names import MAGIC_OCTETS, contradicts, sniff
from airflow_pop3_gateway.mail.parts import Part
from airflow_pop3_gateway.mail.text import MessageText
from airflow_pop3_gateway.mail.unpack import Kept
from airflow_pop3_gateway.mail.zips import Zip
from airflow_pop3_gateway.records import Leaf, LeafOutcome, StoredFile

_NO_HEAD = Head([])

OUTCOMES: dict[Role, tuple[LeafOutcome, str]] = {
    "file": ("file", ""),
    "text": ("ignored", "further-text"),
    "variant": ("alternative", ""),
    "related": ("ignored", "shown-inline"),
    "signature": ("ignored", "signature"),
    "report": ("report", "report"),
    "absent": ("refused", "content-elsewhere"),
    "enclosed": ("ignored", "within-enclosed-mail"),
    "structure": ("ignored", "no-parts"),
}
"""What becomes of a part by its role, and why, unless something else is decided."""


class Account:
    """One part, open or ended.

    :ivar number: its place among the parts as they began; :ivar file, text, capture: who takes the decoded octets;
        :ivar kept, zip: keep them besides, for there are files within; :ivar key: of the published file.
    """

    file: File | None = None
    text: MessageText | None = None
    capture: bytearray | None = None
    kept: Kept | None = None
    zip: Zip | None = None
    key: str | None = None
    octets = size = 0
    sniffed: str | None = None
    _first = b""

    def __init__(self, part: Part, role: Role, decoder: Decoder, number: int) -> None:
        self.part = part
        self.number = number
        self.role = role
        self.outcome, self.why = OUTCOMES[role]
        self._decoder = decoder
        self._digest = hashlib.sha256()

    def feed(self, piece: bytes | memoryview) -> None:
        """Octets of the part as they were sent."""
        self.octets += len(piece)
        decoded = self._decoder.feed(piece)
        if decoded:
            self._hand_on(decoded)

    def _hand_on(self, decoded: bytes) -> None:
        if self.size < MAGIC_OCTETS:
            self._first += decoded[: MAGIC_OCTETS - self.size]
        self.size += len(decoded)
        self._digest.update(decoded)
        if self.kept is not None:
            self.kept.feed(decoded)
        if self.zip is not None:
            self.zip.feed(decoded)
        if self.file is not None:
            self.file.write(decoded)
        elif self.text is not None:
            self.text.write(decoded)
        elif self.capture is not None:
            self.capture += decoded

    def forget_head(self) -> None:
        """Keep of the header what the record says of it: a mail may have ten thousand, of a megabyte each."""
        part = self.part
        self._said = part.head.disposition.value, part.head.encoding
        if part.parent is not None:
            part.head = _NO_HEAD

    def finish(self) -> set[str]:
        """The part has ended. :returns: codes of its defects."""
        if rest := self._decoder.finish():
            self._hand_on(rest)
        self.sha256 = self._digest.hexdigest()
        self.sniffed = sniff(self._first)
        defects = set(self._decoder.defects)
        if self.sniffed and contradicts(self.part.content_type, self.sniffed):
            defects.add("type-differs")
        return defects

    def stored(self) -> StoredFile | None:
        """The published file, ``None`` when none was."""
        if self.file is None or self.key is None:
            return None
        return self.file.stored(self.key, self.size, self.sha256)

    def leaf(self) -> Leaf:
        """What the record says of the part."""
        part = self.part
        disposition, encoding = self._said
        return Leaf(
            part.path or "1",
            part.content_type,
            disposition,
            part.name,
            encoding,
            self.octets,
            self.size,
            self.sha256,
            self.outcome,
            self.why,
            self.key,
            self.sniffed,
        )
