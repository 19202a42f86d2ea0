"""A mail of ours before it goes: what is asked for becomes what is written down and what is sent.

Strategy: the sources are read once for their size and digest, which the record and SIZE (RFC 1870) need, and once more
while they are sent; what differs then is noticed before the mail is complete. The mail is header fields and one
:class:`~airflow_pop3_gateway.mail.compose.Entity`, so that a protection may put another entity in its place.

Invariant: the same request under the same *xfer ident* gives the same record, and without encryption the same octets.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Literal

import msgspec

from airflow_pop3_gateway.config import Limits, one_of
from airflow_pop3_gateway.errors import ConfigurationError, SourceChanged
from airflow_pop3_gateway.mail import compose
from airflow_pop3_gateway.mail.compose import Chunks, Entity
from airflow_pop3_gateway.mail.fields import Field, Mailbox, address_list, further, unstructured
from airflow_pop3_gateway.mail.headers import XFB_FIELDS, Head, write_subject
from airflow_pop3_gateway.records import StoredFile, digest_key
from airflow_pop3_gateway.records.sent import SENT_SCHEMA, SentRecipient, SentTransfer, date_of_xfer_ident
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.store.sent import key_of

SendOption = Literal["to_ack", "not_to_ack"]
MOST_MESSAGE = 1 << 20
"""Characters of a user message: it stands in the record."""
BUILT_ONLY = ("message", "file", "subject", "xfb", "headers", "protect")
"""Arguments of a mail that is built, without meaning for a ready-made one."""
_LIMITS = Limits()


@dataclass(frozen=True)
class Source:
    """A file that can be read more than once.

    :ivar url: where it lies; :ivar name: what the recipients see; :ivar content_type: of an attachment;
    :ivar octets: its octets in pieces, best of :data:`~airflow_pop3_gateway.mail.compose.READ` octets each.
    """

    url: str
    name: str
    octets: Chunks
    content_type: str = "application/octet-stream"


@dataclass(frozen=True)
class Protected:
    """What a protection (S/MIME) made of an entity.

    :ivar entity: that goes in its place; :ivar mic: a signed receipt must repeat it; :ivar fields: to be added to the
        header of the mail.
    """

    entity: Entity
    mic: str | None = None
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True)
class SendRequest:
    """A transfer that is asked for: a file, a message, both, or a ready-made mail.

    :ivar local_ident: the same for the same request, however often it is made: :func:`local_ident`.
    :ivar from_: who sends, and whom the acknowledgments are addressed to.
    :ivar to: with ``cc`` and ``bcc``: for a ready-made mail they only name the recipients of the envelope.
    :ivar xfb: parameters to be written into the subject: ``appli``, ``org``, ``dest``, ``filename``.
    :ivar ready_made: a whole mail, sent as it is.
    :ivar headers: further fields of the header.
    :ivar ack_within: until when the acknowledgment is expected, from now on.
    :ivar asked_by: the task, as the record has it.
    :ivar protect: signs or encrypts what was built; not for a ready-made mail.
    """

    local_ident: str
    smtp_conn_id: str
    from_: Mailbox
    to: tuple[Mailbox, ...] = ()
    cc: tuple[Mailbox, ...] = ()
    bcc: tuple[Mailbox, ...] = ()
    subject: str = ""
    xfb: Mapping[str, str] = dataclasses.field(default_factory=dict)
    delimiter: str = "//XFB"
    message: str | None = None
    file: Source | None = None
    ready_made: Source | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    acknowledgment_option: SendOption = "to_ack"
    ack_within: timedelta | None = None
    asked_by: Mapping[str, str] = dataclasses.field(default_factory=dict)
    protect: Callable[[Entity], Protected] | None = None

    def __post_init__(self) -> None:
        one_of("acknowledgment_option", self.acknowledgment_option, SendOption)
        built = [name for name in BUILT_ONLY if getattr(self, name)]
        if self.ready_made is not None and built:
            raise ConfigurationError(
                f"{', '.join(built)}: a ready-made mail is sent as it is; leave them out.", field=built[0]
            )
        if self.ready_made is None and self.file is None and self.message is None:
            raise ConfigurationError("there is no file, message or ready_made to be sent.", field="file")
        if not (self.to or self.cc or self.bcc):
            raise ConfigurationError(
                "there is no recipient: no argument and no default names one.", field="to"
            )
        if self.ready_made is None and not (self.subject or self.xfb):
            raise ConfigurationError(
                "a mail that is built needs a subject, or xfb parameters.", field="subject"
            )
        if unknown := self.xfb.keys() - set(XFB_FIELDS):
            raise ConfigurationError(
                f"xfb: {', '.join(sorted(unknown))} is none of {', '.join(XFB_FIELDS)}.", field="xfb"
            )
        if len(self.message or "") > MOST_MESSAGE:
            raise ConfigurationError(
                f"the message has more than {MOST_MESSAGE} characters; send it as a file.", field="message"
            )

    @property
    def recipients(self) -> tuple[SentRecipient, ...]:
        """Everybody it goes to, each once."""
        rows: dict[str, SentRecipient] = {}
        for field in ("to", "cc", "bcc"):
            for box in getattr(self, field):
                rows.setdefault(box.address.lower(), SentRecipient(box.address, field))
        return tuple(rows.values())


@dataclass(frozen=True)
class Outgoing:
    """A mail that can go.

    :ivar transfer: its record; :ivar octets: the mail with CRLF line ends; :ivar size: their number;
    :ivar eight_bit: whether one of them has its eighth bit set.
    """

    transfer: SentTransfer
    octets: Chunks
    size: int
    eight_bit: bool


def local_ident(*words: str) -> str:
    """The transfer's number, of what asks for it: the words that name a task's run, or one word of the user's."""
    return digest_key("transfer", *words)[:20]


def prepare(request: SendRequest, xfer_ident: str) -> Outgoing:
    """Read the sources once, and say what goes.

    :raises ConfigurationError: for something that cannot go by mail.
    """
    if request.ready_made is not None:
        return _ready_made(request, request.ready_made, xfer_ident)
    date = date_of_xfer_ident(xfer_ident)
    parts = []
    files: tuple[StoredFile, ...] = ()
    if request.message is not None:
        parts.append(compose.text(request.message))
    if request.file is not None:
        file = _survey(request.file, request.file.octets())
        files = (file,)
        content = _checked(request.file, file)
        parts.append(compose.attachment(file.name, file.content_type, file.size, content))
    boundary = f"=_xfer_{hashlib.sha256(xfer_ident.encode()).hexdigest()[:32]}"
    entity = compose.mixed(parts, boundary) if files else parts[0]
    protected = request.protect(entity) if request.protect else Protected(entity)
    fields = [
        *_header(request, xfer_ident, date),
        *protected.fields,
        *further(request.headers.items()),
        ("MIME-Version", "1.0"),
        *protected.entity.fields,
    ]
    whole = Entity(tuple(fields), protected.entity.body, protected.entity.size)
    transfer = _transfer(request, xfer_ident, "XFER" if files else "MSG")
    transfer = msgspec.structs.replace(
        transfer,
        message_id=xfer_ident,
        subject=request.subject,
        requested=("dsn", "mdn") if request.acknowledgment_option == "to_ack" else (),
        files=files,
        mic=protected.mic,
    )
    return Outgoing(transfer, whole.octets, whole.length, eight_bit=not whole.head.isascii())


def _header(request: SendRequest, xfer_ident: str, date: datetime) -> list[Field]:
    subject = write_subject(request.subject, delimiter=request.delimiter, **request.xfb)
    fields = [("From", request.from_.field)]
    fields.append(("To", address_list(request.to) if request.to else "undisclosed-recipients:;"))
    if request.cc:
        fields.append(("Cc", address_list(request.cc)))
    fields += [unstructured("Subject", subject), ("Date", format_datetime(date)), ("Message-ID", xfer_ident)]
    if request.acknowledgment_option == "to_ack":
        fields.append(("Disposition-Notification-To", f"<{request.from_.address}>"))
    return fields


def _transfer(request: SendRequest, xfer_ident: str, kind: Literal["XFER", "MSG"]) -> SentTransfer:
    date = date_of_xfer_ident(xfer_ident)
    within = request.ack_within if request.acknowledgment_option == "to_ack" else None
    return SentTransfer(
        schema=SENT_SCHEMA,
        key=key_of(xfer_ident),
        local_ident=request.local_ident,
        xfer_ident=xfer_ident,
        message_id="",
        type=kind,
        smtp_conn_id=request.smtp_conn_id,
        from_=request.from_.address,
        recipients=request.recipients,
        subject="",
        created_at=layout.timestamp(date),
        ready_made=request.ready_made is not None,
        ack_deadline=None if within is None else layout.timestamp(date + within),
        application=request.xfb.get("appli", ""),
        xfb=dict(request.xfb),
        user_message=request.message,
        asked_by=dict(request.asked_by),
    )


def _ready_made(request: SendRequest, source: Source, xfer_ident: str) -> Outgoing:
    """A mail that is not ours: only its identity, its subject and whether it is 7-bit are looked at."""
    look = _Look()
    file = _survey(source, source.octets(), look)
    transfer = msgspec.structs.replace(
        _transfer(request, xfer_ident, "XFER"),
        message_id=look.head.message_id,
        subject=look.head.subject,
        requested=("dsn",) if request.acknowledgment_option == "to_ack" else (),
        files=(msgspec.structs.replace(file, content_type="message/rfc822"),),
    )
    octets = _checked(source, file)
    return Outgoing(transfer, lambda: compose.with_crlf(octets()), look.size, look.eight_bit)


class _Look:
    """What is seen of a ready-made mail while it is read."""

    def __init__(self) -> None:
        self.size = 0
        self.eight_bit = False
        self._block = bytearray()
        self._complete = False

    def follow(self, octets: Iterable[bytes]) -> None:
        for piece in compose.with_crlf(octets):
            self.size += len(piece)
            self.eight_bit = self.eight_bit or not piece.isascii()
            if not self._complete and len(self._block) <= _LIMITS.header_bytes:
                self._block += piece
                self._complete = b"\r\n\r\n" in self._block

    @property
    def head(self) -> Head:
        """Its header. :raises ConfigurationError: when it has none."""
        head = Head.from_bytes(bytes(self._block).partition(b"\r\n\r\n")[0], _LIMITS)
        if not head.fields:
            raise ConfigurationError(
                "what is to be sent has no header, so it is no mail.", field="ready_made"
            )
        return head


def _survey(source: Source, octets: Iterable[bytes], look: _Look | None = None) -> StoredFile:
    """Size and digest of a source."""
    digest = hashlib.sha256()
    size = 0

    def counted() -> Iterator[bytes]:
        nonlocal size
        for piece in octets:
            size += len(piece)
            digest.update(piece)
            yield piece

    if look is not None:
        look.follow(counted())
    else:
        for _ in counted():
            pass
    return StoredFile(source.url, source.name, source.name, source.content_type, size, digest.hexdigest())


def _checked(source: Source, file: StoredFile) -> Chunks:
    """The octets of a source, as long as they are those of the survey."""

    def octets() -> Iterator[bytes]:
        digest = hashlib.sha256()
        size = 0
        for piece in source.octets():
            size += len(piece)
            digest.update(piece)
            if size > file.size:
                break
            yield piece
        if size != file.size or digest.hexdigest() != file.sha256:
            raise SourceChanged(
                f"{source.url} changed while it was being sent; nothing was sent.", url=source.url
            )

    return octets
