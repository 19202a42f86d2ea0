"""A mail of ours before it goes: what is asked for becomes what is written down and what is sent.

Strategy: the sources are read once for their size and digest, which the record and SIZE (RFC 1870) need, and once more
while they are sent; what differs then is noticed before the mail is complete. The mail is header fields and one
:class:`~airflow_pop3_gateway.mail.compose.Entity`, so that a protection may put another entity in its place.

Invariant: the same request under the same *xfer ident* gives the same record, and without encryption the same octets.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Literal

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.errors import ConfigurationError, SourceChanged
from airflow_pop3_gateway.mail import compose
from airflow_pop3_gateway.mail.compose import Chunks, Entity
from airflow_pop3_gateway.mail.fields import Field, Mailbox, address_list, further, unstructured
from airflow_pop3_gateway.mail.headers import Head, write_subject
from airflow_pop3_gateway.records import StoredFile
from airflow_pop3_gateway.sent import SENT_SCHEMA, SentRecipient, SentTransfer, key_of
from airflow_pop3_gateway.store import layout

SendOption = Literal["to_ack", "not_to_ack"]


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
