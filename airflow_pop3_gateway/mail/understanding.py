"""What is asked of a mail, and what it is: the two ends of :func:`~airflow_pop3_gateway.mail.extract.understand`.

Invariant: a value; nothing here reads a mail or writes a file.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.records import Defect, Leaf, Reason, StoredFile, TransferType


class Policy(msgspec.Struct, frozen=True):
    """What the chosen Application wants.

    :ivar application: its name, FILE_NAME of messages; :ivar extract_file: ``False`` keeps the whole mail undecoded;
        :ivar user_message_limit: characters of text that stay in the record; :ivar unzip: take out what is in zips.
    """

    application: str = "MAIL"
    extract_file: bool = True
    multiple_attachments: Literal["recover", "extract"] = "recover"
    user_message_limit: int = 254
    unzip: bool = False
    limits: Limits = Limits()


class Captured(msgspec.Struct, frozen=True):
    """A machine-readable part of a report, decoded, or the header block of the returned mail."""

    content_type: str
    data: bytes
    path: str


class Understanding(msgspec.Struct, frozen=True):
    """What a mail is. With ``rejected`` nothing stays published: the gateway applies *error_mail_disposal*.

    :ivar rule: id in ``classify.RULES``; :ivar unpacked: files within a part; :ivar evidence: what was signed and the
        signature; :ivar noted: what is wrong in the parts; :ivar octets: of the whole mail. Its digest is not taken
        here: it costs as much as all the rest together, and who gives the octets knows it.
    """

    head: Head
    type: TransferType
    file_name: str
    rule: str
    octets: int
    leaves: tuple[Leaf, ...] = ()
    files: tuple[StoredFile, ...] = ()
    unpacked: tuple[StoredFile, ...] = ()
    evidence: tuple[StoredFile, ...] = ()
    user_message: str | None = None
    user_message_file: str | None = None
    noted: tuple[Defect, ...] = ()
    rejected: Reason | None = None
    captured: tuple[Captured, ...] = ()

    @property
    def defects(self) -> tuple[Defect, ...]:
        """What is wrong in the header and in the parts."""
        return (*self.head.defects, *self.noted)

    @property
    def attachments(self) -> tuple[Leaf, ...]:
        """What a person calls attached: parts with a name, marked as attachment, or taken as a file.

        Also those within an enclosed mail; not what a report says to machines, and not what is elsewhere.
        """
        return tuple(
            leaf
            for leaf in self.leaves
            if (leaf.name or leaf.disposition == "attachment" or leaf.why == "attachment")
            and leaf.why not in ("notification", "content-elsewhere")
        )
