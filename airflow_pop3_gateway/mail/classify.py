"""What kind of mail is this: the Gateway's table and our decisions where it is silent, as data.

Two tables, each read from the top, the first row that fits decides. ``ROLES`` says what one part is for, as soon as
it starts; ``RULES`` says what the whole mail is, when it has ended. ``docs/reference/classification.md`` has a line
for every rule, and a test compares.

Invariant: every mail gets exactly one rule; a rule with a reason means RECOVER; nothing else decides on types.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import msgspec

from airflow_pop3_gateway.mail.parts import Part
from airflow_pop3_gateway.records import TransferType

Role = Literal["file", "text", "variant", "related", "signature", "report", "absent", "enclosed", "structure"]
FileName = Literal["of-the-file", "of-the-application", "recover", "whole"]

NOTIFICATIONS = (
    "message/delivery-status",
    "message/global-delivery-status",
    "message/disposition-notification",
    "message/global-disposition-notification",
)
REPORT_PARTS = (*NOTIFICATIONS, "message/feedback-report")
RETURNED_HEADERS = ("text/rfc822-headers", "message/rfc822-headers", "message/global-headers")
_TOLD = (*REPORT_PARTS, *RETURNED_HEADERS)
CAPTURED = (*_TOLD, "message/rfc822", "message/global")
SIGNATURES = ("application/pgp-signature", "application/pkcs7-signature", "application/x-pkcs7-signature")
SMIME = ("application/pkcs7-mime", "application/x-pkcs7-mime")
SMIME_BY_NAME = ("application/octet-stream", "smime.p7m")  # RFC 8551 §3.9
SMIME_ENCRYPTED = ("enveloped-data", "authenveloped-data")
PGP_ENCRYPTED = ("multipart/encrypted", "application/pgp-encrypted")
ABSENT = ("message/partial", "message/external-body")


def within(part: Part, content_type: str) -> bool:
    """Whether a part of this type is above."""
    above = part.parent
    while above is not None:
        if above.content_type == content_type:
            return True
        above = above.parent
    return False


def _attached(part: Part) -> bool:
    return part.head.disposition.value == "attachment"


def smime_type_of(part: Part) -> str:
    """What an S/MIME part says is in it (RFC 8551 §3.2.2), ``unsaid`` where it does not; ``""`` of every other part."""
    if part.content_type not in SMIME and (part.content_type, (part.name or "").lower()) != SMIME_BY_NAME:
        return ""
    return (part.head.content_type.get("smime-type") or "unsaid").lower()


def _variant(part: Part) -> bool:
    """Another form of what stands beside it; the half of a file that only a Macintosh reads is one (RFC 1740)."""
    parent = part.parent
    if parent is None or _attached(part):
        return False
    half = parent.content_type == "multipart/appledouble" and part.content_type == "application/applefile"
    return half or parent.content_type == "multipart/alternative"


_PAGES = ("text/html", "multipart/alternative", "multipart/mixed")


def _related(part: Part) -> bool:
    """Not the root of a multipart/related whose root is a page that can show it (RFC 2387)."""
    parent = part.parent
    if parent is None or parent.content_type != "multipart/related" or _attached(part):
        return False
    if root := parent.head.content_type.get("start"):
        page = (parent.head.content_type.get("type") or _PAGES[0]).lower() in _PAGES
        return page and part.head.text("content-id") != root
    return parent.children > 1 and parent.first in _PAGES


def _signature(part: Part) -> bool:
    return (
        part.parent is not None
        and part.parent.content_type == "multipart/signed"
        and part.content_type in SIGNATURES
    )


def _text(part: Part) -> bool:
    return (
        part.content_type.startswith("text/")
        and not _attached(part)
        and (part.parent is None or part.name is None)
    )


ROLES: tuple[tuple[Role, Callable[[Part], bool]], ...] = (
    ("enclosed", lambda part: part.enclosed),
    ("structure", lambda part: part.content_type.startswith("multipart/")),
    ("absent", lambda part: part.content_type in ABSENT),
    (
        "report",
        lambda part: part.content_type in _TOLD and part.parent is not None,
    ),
    ("report", lambda part: within(part, "multipart/report")),
    ("signature", _signature),
    ("text", lambda part: part.content_type in ("text/plain", "text/html") and _text(part)),
    ("variant", _variant),
    ("related", _related),
    ("text", _text),
    ("file", lambda part: True),
)


def role_of(part: Part) -> Role:
    """What a part is for, by its own header and where it stands."""
    for role, fits in ROLES:
        if fits(part):
            return role
    raise AssertionError("the last row fits every part")


class Shape(msgspec.Struct):
    """What was seen of a mail, all that the rules look at.

    :ivar content_type: of the mail; :ivar carried: the same, or what a multipart/signed carries; :ivar smime_type: what
        is in it, where that is S/MIME: as its octets prove, else as it says.
    """

    content_type: str = "text/plain"
    carried: str = "text/plain"
    smime_type: str = ""
    parts: int = 0
    files: int = 0
    has_text: bool = False
    has_notification: bool = False
    absent: str = ""
    pgp_encrypted: bool = False
    marked: bool = False
    several: bool = False
    """The Application takes several attachments."""

    @property
    def multipart(self) -> bool:
        """The mail has the structure its type promises."""
        return self.content_type.startswith("multipart/")


@dataclass(frozen=True)
class Rule:
    """A row: TYPE, where FILE_NAME comes from, and the reason when the mail is not taken."""

    id: str
    type: TransferType
    file_name: FileName
    fits: Callable[[Shape], bool]
    reason: str = ""


WHOLE_MAIL = Rule("whole-mail", "XFER", "whole", lambda shape: True)
LIMIT = Rule("limit", "XFER", "recover", lambda shape: True)

RULES: tuple[Rule, ...] = (
    Rule("multipart-report", "EERP", "of-the-application", lambda shape: shape.carried == "multipart/report"),
    Rule(
        "multipart-notification",
        "EERP",
        "of-the-application",
        lambda shape: shape.multipart and shape.has_notification,
    ),
    Rule(
        "message-partial",
        "XFER",
        "recover",
        lambda shape: shape.absent == "message/partial",
        "message-partial",
    ),
    Rule(
        "external-body",
        "XFER",
        "recover",
        lambda shape: shape.absent == "message/external-body",
        "external-body",
    ),
    Rule("encrypted-pgp", "XFER", "recover", lambda shape: shape.pgp_encrypted, "encrypted"),
    Rule("smime-signed", "XFER", "recover", lambda shape: shape.smime_type == "signed-data", "signed-opaque"),
    Rule(
        "smime-encrypted", "XFER", "recover", lambda shape: shape.smime_type in SMIME_ENCRYPTED, "encrypted"
    ),
    Rule(
        "multipart-alternative",
        "MSG",
        "of-the-application",
        lambda shape: shape.content_type == "multipart/alternative" and not shape.files,
    ),
    Rule(
        "multipart-without-parts",
        "XFER",
        "recover",
        lambda shape: shape.multipart and not shape.parts,
        "no-parts",
    ),
    Rule("multipart-one-file", "XFER", "of-the-file", lambda shape: shape.multipart and shape.files == 1),
    Rule(
        "multipart-several-files",
        "XFER",
        "of-the-file",
        lambda shape: shape.multipart and shape.files > 1 and shape.several,
    ),
    Rule(
        "multipart-too-many-files",
        "XFER",
        "recover",
        lambda shape: shape.multipart and shape.files > 1,
        "multiple-attachments",
    ),
    Rule(
        "multipart-without-file",
        "MSG",
        "of-the-application",
        lambda shape: shape.multipart and shape.has_text,
    ),
    Rule("multipart-empty", "XFER", "recover", lambda shape: shape.multipart, "nothing-to-extract"),
    Rule(
        "text-as-attachment",
        "XFER",
        "of-the-file",
        lambda shape: shape.content_type.startswith("text/") and shape.marked,
    ),
    Rule("text", "MSG", "of-the-application", lambda shape: shape.content_type.startswith("text/")),
    Rule("unknown-format", "XFER", "recover", lambda shape: True, "unknown-format"),
)


def rule_of(shape: Shape) -> Rule:
    """What the whole mail is."""
    for rule in RULES:
        if rule.fits(shape):
            return rule
    raise AssertionError("the last rule fits every mail")
