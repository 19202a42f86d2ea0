"""Files within a part: in a ``winmail.dat``, and uuencoded in a text as agents before MIME wrote it.

Strategy: the decoded octets of a part that may hold files are kept beside what becomes of the part, up to
``Limits.unpack_bytes`` for the whole mail, and looked into when the verdict on the mail stands. What is found
becomes a further file of the transfer; TYPE, FILE_NAME and the part itself stay what they are.

Invariant: nothing raises; what is damaged is left where it is, with a defect; time is linear in what was kept.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from airflow_pop3_gateway.mail import tnef
from airflow_pop3_gateway.mail.parts import Part
from airflow_pop3_gateway.mail.words import decode_octets

MOST_FILES = 200
"""Files that are taken out of one part; what has more is no letter but an archive."""

_WORD = b"begin "
_BEGIN = re.compile(rb"^begin [0-7]{3,4} +([^\r\n]{1,998}?)[ \t]*\r?\n", re.MULTILINE)

Found = tuple[str, bytes | memoryview]
"""A name as it stands there, and octets."""


def looks_like_tnef(part: Part) -> bool:
    """Outlook's wrapper, by its type or its usual name."""
    return part.content_type in tnef.CONTENT_TYPES or (part.name or "").lower() == "winmail.dat"


class Kept:
    """The octets of a part that may hold files.

    :param text: keep from the first word that may begin a file; :ivar octets: what was kept.
    """

    def __init__(self, part: Part, text: bool) -> None:
        self.part = part
        self.octets = bytearray()
        self._text = text
        self._before = b"\n" if text else None

    def feed(self, decoded: bytes) -> None:
        """Take decoded octets."""
        if self._before is not None:
            data = self._before + decoded
            at = data.find(_WORD)
            if at < 0:
                self._before = data[-len(_WORD) :]
                return
            self._before, decoded = None, data[max(0, at - 1) :]
        self.octets += decoded

    def files(self) -> tuple[list[Found], str]:
        """What is in it, and the code of a defect or ``""``."""
        if self._before is not None:
            return [], ""
        return from_text(bytes(self.octets)) if self._text else from_tnef(bytes(self.octets))


def from_tnef(octets: bytes) -> tuple[list[Found], str]:
    """The files in a winmail.dat; of a damaged one nothing is believed."""
    try:
        found = tnef.attachments(octets)
    except ValueError:
        return [], "tnef-broken"
    files: list[Found] = [(one.name, one.data) for one in found if one.data is not None]
    return files[:MOST_FILES], "" if len(files) == len(found) <= MOST_FILES else "tnef-partly"


def from_text(octets: bytes) -> tuple[list[Found], str]:
    """The uuencoded files in a text that are whole from ``begin`` to ``end``."""
    files: list[Found] = []
    at, left, room = 0, False, len(octets)
    while (begin := _BEGIN.search(octets, at)) is not None:
        content = _block(octets, begin.end(), room)
        if content is None or len(files) == MOST_FILES:
            left, at = True, begin.end() if content is None else len(octets)
        else:
            data, at = content
            room -= len(data)
            files.append((decode_octets(begin[1]), data))
    return files, "uuencode-in-text" if left else ""


def _block(octets: bytes, at: int, room: int) -> tuple[bytes, int] | None:
    """The file whose lines begin at ``at`` and where they end; ``None``: they are no whole file.

    :param room: octets it may have: a line of one character can say it is 45, and real files shrink.
    """
    out: list[bytes] = []
    for line, after in _lines(octets, at):
        if line.rstrip(b" \t") == b"end":
            return b"".join(out), after
        if line in (b"", b"`", b" "):
            continue
        if not 0x20 < line[0] <= 0x60:
            return None
        count = line[0] - 0x20
        if len(line) <= 2 + (count + 2) // 3 * 4:  # whole groups filled with anything, and a checksum
            line = line[: (count * 4 + 5) // 3]
        try:
            out.append(binascii.a2b_uu(line))
        except binascii.Error:
            return None
        room -= len(out[-1])
        if room < 0:
            return None
    return None


def _lines(octets: bytes, at: int) -> Iterator[tuple[bytes, int]]:
    while at < len(octets):
        end = octets.find(b"\n", at)
        end = len(octets) if end < 0 else end
        yield octets[at:end].rstrip(b"\r"), end + 1
        at = end + 1
