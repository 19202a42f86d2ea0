"""What is known of one mail that came in: the transfer record and its parts, and the receipt that answers it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from airflow_pop3_gateway.records.jsonable import Jsonable, as_json

RECORD_SCHEMA = "airflow-pop3-gateway/transfer-record/1"
OUTBOX_SCHEMA = "airflow-pop3-gateway/outbox/1"
TransferType = Literal["XFER", "MSG", "EERP"]
RecordState = Literal["ENDED", "CANCELED"]
ReceiptState = Literal["PENDING", "SENT", "REFUSED"]
Outcome = Literal[
    "processed", "warning", "displayed", "dispatched", "failed", "deleted", "unsupported", "none"
]
"""What a receipt says became of a mail; ``unsupported`` is no answer of ours to give, ``none`` that none is given."""
Layer = Literal["signed", "encrypted", "compressed"]
LeafOutcome = Literal["file", "user_message", "report", "alternative", "ignored", "within_recover", "refused"]


class Defect(Jsonable, frozen=True):
    """Something wrong in a mail that did not stop it.

    :ivar code: a word of ``docs/reference/reasons.md``; :ivar where: the part's path (``"1.2"``, ``""`` for the
        mail); :ivar detail: what was found, free of control characters.
    """

    code: str
    where: str = ""
    detail: str = ""


class Reason(Jsonable, frozen=True):
    """Why a mail was not taken as a transfer. :ivar code: a word of ``docs/reference/reasons.md``."""

    code: str
    detail: str = ""


class StoredFile(Jsonable, frozen=True):
    """A file that was extracted, or the whole mail.

    :ivar path: key below the base path; :ivar name: the safe name; :ivar original_name: the partner's, decoded, or
        ``None`` where there was none; :ivar size: octets; :ivar sha256: of the decoded octets.
    """

    path: str
    name: str
    original_name: str | None
    content_type: str
    size: int
    sha256: str


class Leaf(Jsonable, frozen=True):
    """One MIME leaf, accounted for.

    :ivar path: IMAP-like part number, ``"1"`` for a mail of one part; :ivar octets: encoded length on the wire,
        header excluded; :ivar size: decoded length; :ivar outcome: what became of it; :ivar why: the rule or the
        reason; :ivar file: the key of the stored file where there is one.
    """

    path: str
    content_type: str
    disposition: str
    name: str | None
    encoding: str
    octets: int
    size: int
    sha256: str
    outcome: LeafOutcome
    why: str = ""
    file: str | None = None
    sniffed_type: str | None = None


class ReportedRecipient(Jsonable, frozen=True):
    """One recipient of a DSN (RFC 3464 §2.3), field values with their address type removed."""

    final_recipient: str = ""
    original_recipient: str = ""
    action: str = ""
    status: str = ""
    diagnostic_code: str = ""
    remote_mta: str = ""


class Report(Jsonable, frozen=True):
    """An acknowledgment that came in: a DSN (RFC 3464) or an MDN (RFC 8098).

    :ivar verdict: ``positive``, ``negative`` or ``undefined`` by the Gateway's rules: a failed DSN is negative and
        any other DSN proves nothing; only a positive MDN is certain.
    """

    kind: Literal["dsn", "mdn"]
    verdict: Literal["positive", "negative", "undefined"]
    original_message_id: str = ""
    envelope_id: str = ""
    reporting: str = ""
    disposition: str = ""
    recipients: tuple[ReportedRecipient, ...] = ()
    fields: Mapping[str, str] = msgspec.field(default_factory=dict)


class Raw(Jsonable, frozen=True):
    """Where the exact octets of a mail lie in the spool."""

    site: str
    batch: str
    index: int
    uidl: str
    segment: str
    offset: int
    length: int
    sha256: str


class Rejected(Jsonable, frozen=True):
    """The request that was canceled before RECOVER took its place (Gateway: the CANCELED record)."""

    xfer_ident: str
    reason: Reason
    state: RecordState = "CANCELED"
    duplicate_of: str | None = None


class AcknowledgmentRequest(Jsonable, frozen=True):
    """A receipt the sender asked for, and what we decided (RFC 8098 §2.1).

    :ivar ack_to: notification addresses (Gateway: *ack_to*); :ivar decision: ``send``, ``wait`` for an answer or
        ``deny``; :ivar why: the rule that decided; :ivar receipts: keys in the outbox, of ``wait`` once it is answered.
    """

    ack_to: tuple[str, ...]
    decision: Literal["send", "wait", "deny"]
    why: str = ""
    receipts: tuple[str, ...] = ()


class Signer(Jsonable, frozen=True):
    """Who signed a mail (RFC 8551), by a signature that fits; without ``sha256`` nobody knows the certificate.

    :ivar subject: of the certificate (RFC 4514); :ivar serial, sha256: hexadecimal; :ivar emails: addresses it is for;
        :ivar digest: algorithm; :ivar trusted: the signer is the partner the mail comes from; :ivar why: else why not;
        :ivar signed_at: when the signer says it was.
    """

    subject: str
    serial: str
    sha256: str
    emails: tuple[str, ...]
    digest: str
    trusted: bool
    why: str = ""
    signed_at: str | None = None


class Protection(Jsonable, frozen=True):
    """What protected a mail. :ivar layers: outermost first; :ivar ciphers: of the encryptions, in the same order."""

    layers: tuple[Layer, ...]
    ciphers: tuple[str, ...] = ()
    signers: tuple[Signer, ...] = ()


class Acknowledges(Jsonable, frozen=True):
    """Which transfer of ours a report is about; all empty: none of ours.

    :ivar key: of the sent transfer; :ivar matched_by: how it was found, as ``acks.correlate`` names it.
    """

    key: str = ""
    xfer_ident: str = ""
    matched_by: str = ""


class TransferRecord(Jsonable, frozen=True):
    """One message, for good: ``records/<kk>/<key>.json``. Its exclusive creation is the duplicate check."""

    schema: str
    key: str
    local_ident: str
    type: TransferType
    file_name: str
    state: RecordState
    protocol: str
    originator: str
    destination: str
    application: str
    from_: str
    to: tuple[str, ...]
    cc: tuple[str, ...]
    subject: str
    date: str | None
    xfer_ident: str
    xfer_ident_source: Literal["message-id", "header-hash"]
    raw: Raw
    created_at: str
    file_type: str | None = None
    xfb: Mapping[str, str] = msgspec.field(default_factory=dict)
    user_message: str | None = None
    user_message_file: str | None = None
    files: tuple[StoredFile, ...] = ()
    unpacked: tuple[StoredFile, ...] = ()
    evidence: tuple[StoredFile, ...] = ()
    rejected: Rejected | None = None
    disposal: Literal["leave", "delete", "recover"] | None = None
    acknowledgment: AcknowledgmentRequest | None = None
    report: Report | None = None
    acknowledges: Acknowledges | None = None
    replaces: str | None = None
    released_at: str | None = None
    protection: Protection | None = None
    mic: str | None = None
    rule: str = ""
    auto_submitted: bool = False
    defects: tuple[Defect, ...] = ()
    leaves: tuple[Leaf, ...] = ()

    def line(self) -> bytes:
        """The line of ``transfers/….jsonl``: everything but the evidence, which is counted."""
        values = dict(zip(_KEYS, msgspec.structs.astuple(self), strict=True))
        return as_json({**values, "leaves": len(self.leaves), "defects": len(self.defects)})

    def summary(self) -> dict[str, Any]:
        """The same as a dictionary of JSON-plain values."""
        return dict(json.loads(self.line()))


_KEYS = tuple(field.encode_name for field in msgspec.structs.fields(TransferRecord))


class Receipt(Jsonable, frozen=True):
    """An acknowledgment of ours in the outbox: ``outbox/<key>.json``; one for each message and recipient.

    :ivar message: the finished MDN, base64, so that a retry sends the same octets with the same Message-ID.
    :ivar failures: each attempt the relay postponed: when, and its words; :ivar next_attempt_at: not before.
    """

    schema: str
    key: str
    state: ReceiptState
    record: str
    site: str
    smtp_conn_id: str
    mail_from: str
    recipient: str
    message_id: str
    message: str
    created_at: str
    sent_at: str | None = None
    attempts: int = 0
    last_error: str = ""
    failures: tuple[str, ...] = ()
    next_attempt_at: str | None = None
