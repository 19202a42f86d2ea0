"""What is written down, as frozen dataclasses with a JSON form both ways.

Strategy: one class for each kind of line or object of the storage layout (``docs/reference/layout.md``); field
names are the Gateway's words in lower case where the Gateway has one. :meth:`Jsonable.to_json` leaves out nothing,
so a reader never guesses a default; :meth:`Jsonable.from_json` ignores what it does not know, so an older reader
survives a newer writer.

Invariant: ``from_json(to_json(x)) == x``; every value is JSON-plain; times are RFC 3339 strings in UTC; a field
whose name Python keeps for itself ends in an underscore here and not in JSON (``from_``).
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

RECORD_SCHEMA = "airflow-pop3-gateway/transfer-record/1"
MANIFEST_SCHEMA = "airflow-pop3-gateway/manifest/1"
LEDGER_SCHEMA = "airflow-pop3-gateway/ledger/1"
OUTBOX_SCHEMA = "airflow-pop3-gateway/outbox/1"
SUSPENSION_SCHEMA = "airflow-pop3-gateway/suspension/1"

TransferType = Literal["XFER", "MSG", "EERP"]
RecordState = Literal["ENDED", "CANCELED"]
LedgerState = Literal["COMMITTED", "DELETE_PENDING", "DELETED", "KEPT"]
ReceiptState = Literal["PENDING", "SENT", "REFUSED"]
Outcome = Literal[
    "processed", "warning", "displayed", "dispatched", "failed", "deleted", "unsupported", "none"
]
"""What a receipt says became of a mail; ``unsupported`` is no answer of ours to give, ``none`` that none is given."""
Layer = Literal["signed", "encrypted", "compressed"]
LeafOutcome = Literal["file", "user_message", "report", "alternative", "ignored", "within_recover", "refused"]

J = TypeVar("J", bound="Jsonable")


def _plain(value: Any) -> Any:
    if type(value) in _SCALARS:
        return value
    if isinstance(value, Jsonable):
        return value.to_json()
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


_SCALARS = frozenset((str, int, float, bool, type(None)))


def _revive(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return tuple(_revive(arguments[0], item) for item in value)
    if isinstance(kind, type) and issubclass(kind, Jsonable):
        return kind.from_json(value)
    for argument in arguments:
        if isinstance(argument, type) and issubclass(argument, Jsonable):
            return argument.from_json(value)
    return value


def _is_plain(kind: Any) -> bool:
    """Whether the JSON form of a value of this type is the value."""
    arguments = typing.get_args(kind)
    nothing = isinstance(kind, type) and issubclass(kind, Jsonable)
    return not nothing and typing.get_origin(kind) is not tuple and all(map(_is_plain, arguments))


_FIELDS: dict[type, tuple[tuple[str, str, Any], ...]] = {}


def _fields(cls: Any) -> tuple[tuple[str, str, Any], ...]:
    """Of each field: its name, its key in JSON, and its type where a value of it has to be revived."""
    fields = _FIELDS.get(cls)
    if fields is None:
        hints = typing.get_type_hints(cls)
        names = [item.name for item in dataclasses.fields(cls)]
        fields = _FIELDS[cls] = tuple(
            (name, name.rstrip("_"), None if _is_plain(hints[name]) else hints[name]) for name in names
        )
    return fields


class Jsonable:
    """Gives a frozen dataclass its JSON form."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON-plain values, one item a field, in the order of the fields."""
        plain = {}
        for name, key, _ in _fields(type(self)):
            value = getattr(self, name)
            plain[key] = value if type(value) in _SCALARS else _plain(value)
        return plain

    @classmethod
    def from_json(cls: type[J], data: Mapping[str, Any]) -> J:
        """The inverse of :meth:`to_json`; unknown keys are ignored.

        :raises TypeError: when a field without a default is missing.
        """
        return cls(
            **{
                name: data[key] if kind is None else _revive(kind, data[key])
                for name, key, kind in _fields(cls)
                if key in data
            }
        )


def digest_key(*words: str) -> str:
    """The key of an identity: 40 hexadecimal digits of SHA-256 over the words, each with its length before it."""
    text = "".join(f"{len(word)}:{word}" for word in words)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40]


@dataclass(frozen=True)
class Defect(Jsonable):
    """Something wrong in a mail that did not stop it.

    :ivar code: a word of ``docs/reference/reasons.md``; :ivar where: the part's path (``"1.2"``, ``""`` for the
        mail); :ivar detail: what was found, free of control characters.
    """

    code: str
    where: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Reason(Jsonable):
    """Why a mail was not taken as a transfer. :ivar code: a word of ``docs/reference/reasons.md``."""

    code: str
    detail: str = ""


@dataclass(frozen=True)
class StoredFile(Jsonable):
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


@dataclass(frozen=True)
class Leaf(Jsonable):
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


@dataclass(frozen=True)
class ReportedRecipient(Jsonable):
    """One recipient of a DSN (RFC 3464 §2.3), field values with their address type removed."""

    final_recipient: str = ""
    original_recipient: str = ""
    action: str = ""
    status: str = ""
    diagnostic_code: str = ""
    remote_mta: str = ""


@dataclass(frozen=True)
class Report(Jsonable):
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
    fields: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ManifestEntry(Jsonable):
    """One mail of a batch: a line of ``manifest.jsonl``.

    ``offset`` and ``length`` address the exact wire octets in the segment. ``list_size`` is what LIST claimed.
    ``head_sha256`` is over the header block with its empty line: what TOP n 0 proves later without a download.
    ``headers`` are a few raw fields for people who query the layout; the classification reads the mail itself.
    """

    schema: str
    site: str
    batch: str
    index: int
    uidl: str
    segment: str
    offset: int
    length: int
    sha256: str
    head_sha256: str
    list_size: int
    retrieved_at: str
    headers: Mapping[str, str]

    @property
    def local_ident(self) -> str:
        """The Gateway's *local ident*: unique for every mail that was ever stored."""
        return f"{self.batch}-{self.index:06d}"


@dataclass(frozen=True, slots=True)
class LedgerEntry(Jsonable):
    """What is known of one UIDL of a site.

    :ivar stored_at: when the manifest was committed; :ivar gone_since: first session that no longer listed it.
    """

    state: LedgerState
    batch: str
    index: int
    list_size: int
    sha256: str
    head_sha256: str
    stored_at: str
    gone_since: str | None = None
    why: str = ""

    def become(self, state: LedgerState) -> LedgerEntry:
        """The same in another state."""
        return LedgerEntry(
            state,
            self.batch,
            self.index,
            self.list_size,
            self.sha256,
            self.head_sha256,
            self.stored_at,
            self.gone_since,
            self.why,
        )


@dataclass(frozen=True)
class Raw(Jsonable):
    """Where the exact octets of a mail lie in the spool."""

    site: str
    batch: str
    index: int
    uidl: str
    segment: str
    offset: int
    length: int
    sha256: str


@dataclass(frozen=True)
class Rejected(Jsonable):
    """The request that was canceled before RECOVER took its place (Gateway: the CANCELED record)."""

    xfer_ident: str
    reason: Reason
    state: RecordState = "CANCELED"
    duplicate_of: str | None = None


@dataclass(frozen=True)
class AcknowledgmentRequest(Jsonable):
    """A receipt the sender asked for, and what we decided (RFC 8098 §2.1).

    :ivar ack_to: notification addresses (Gateway: *ack_to*); :ivar decision: ``send``, ``wait`` for an answer or
        ``deny``; :ivar why: the rule that decided; :ivar receipts: keys in the outbox, of ``wait`` once it is answered.
    """

    ack_to: tuple[str, ...]
    decision: Literal["send", "wait", "deny"]
    why: str = ""
    receipts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Signer(Jsonable):
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


@dataclass(frozen=True)
class Protection(Jsonable):
    """What protected a mail. :ivar layers: outermost first; :ivar ciphers: of the encryptions, in the same order."""

    layers: tuple[Layer, ...]
    ciphers: tuple[str, ...] = ()
    signers: tuple[Signer, ...] = ()


@dataclass(frozen=True)
class Acknowledges(Jsonable):
    """Which transfer of ours a report is about; all empty: none of ours.

    :ivar key: of the sent transfer; :ivar matched_by: how it was found, as ``acks.correlate`` names it.
    """

    key: str = ""
    xfer_ident: str = ""
    matched_by: str = ""


@dataclass(frozen=True)
class TransferRecord(Jsonable):
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
    xfb: Mapping[str, str] = dataclasses.field(default_factory=dict)
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
    protection: Protection | None = None
    mic: str | None = None
    rule: str = ""
    auto_submitted: bool = False
    defects: tuple[Defect, ...] = ()
    leaves: tuple[Leaf, ...] = ()

    def summary(self) -> dict[str, Any]:
        """The line of ``transfers/….jsonl``: everything but the evidence."""
        left_out = {"leaves": len(self.leaves), "defects": len(self.defects)}
        return {
            key: left_out[key] if key in left_out else _plain(getattr(self, name))
            for name, key, _ in _fields(type(self))
        }


@dataclass(frozen=True)
class Receipt(Jsonable):
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


@dataclass(frozen=True)
class Retrieved(Jsonable):
    """What one session brought: the small reference that travels by XCom.

    :ivar batch: the batch of this session, ``None`` when nothing new was stored; :ivar batches: every batch of the
        site that still waits to be classified, this one included; :ivar more: mail is left because of a bound;
        :ivar held: why no session was opened (suspended, outside the polling windows), ``""`` when one was.
    """

    site: str
    batch: str | None = None
    batches: tuple[str, ...] = ()
    messages: int = 0
    octets: int = 0
    deleted: int = 0
    kept: int = 0
    known: int = 0
    refused: int = 0
    too_large: int = 0
    more: bool = False
    interrupted: str = ""
    held: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Classified(Jsonable):
    """What one classification brought: counts, and where the lines are.

    :ivar transfers: keys of the ``transfers/….jsonl`` objects; :ivar types: TYPE → count; :ivar applications:
        Application → count; :ivar by_application: Application → ``messages``, ``files``, ``octets`` and ``types`` of its
        records that were not canceled; :ivar receipts: acknowledgments put into the outbox for these batches.
    """

    site: str
    batches: tuple[str, ...] = ()
    transfers: tuple[str, ...] = ()
    messages: int = 0
    files: int = 0
    octets: int = 0
    types: Mapping[str, int] = dataclasses.field(default_factory=dict)
    applications: Mapping[str, int] = dataclasses.field(default_factory=dict)
    by_application: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    recovered: int = 0
    duplicates: int = 0
    canceled: int = 0
    receipts: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class HandedOn(Jsonable):
    """What one sweep found for those who process the records of an Application.

    :ivar consumer: who processes them; :ivar keys: of the records that are handed on now; :ivar waiting: handed on
        before and not processed yet; :ivar more: records are left for the next sweep because of its bound.
    """

    application: str
    consumer: str
    keys: tuple[str, ...] = ()
    waiting: int = 0
    more: bool = False


@dataclass(frozen=True)
class Acknowledged(Jsonable):
    """What one run of the outbox brought.

    :ivar sent: accepted by the relay; :ivar refused: refused for good, or given up; :ivar postponed: still pending,
        because the relay said "later" or another worker is at it; :ivar limited: still pending, because enough went to
        their addresses within the hour.
    """

    site: str
    sent: int = 0
    refused: int = 0
    postponed: int = 0
    limited: int = 0


@dataclass(frozen=True)
class Replayed(Jsonable):
    """What one replay found.

    :ivar differences: mails that would be something else now; :ivar report: key of the lines.
    """

    site: str
    batches: int = 0
    messages: int = 0
    differences: int = 0
    report: str | None = None


@dataclass(frozen=True)
class Purged(Jsonable):
    """What one purge removed."""

    site: str
    batches: int = 0
    unfinished: int = 0
    receipts: int = 0
    requests: int = 0


@dataclass(frozen=True)
class Suspension(Jsonable):
    """A site that is not polled (Gateway: *stop_site -pm*): ``suspended/<site>.json``."""

    schema: str
    site: str
    since: str
    by: str
    reason: str = ""


@dataclass(frozen=True)
class SiteStatus(Jsonable):
    """How a site stands (Gateway: *status_site*).

    :ivar held: why no session begins now, ``""`` when one may; :ivar last_batch: of the last session that stored mail;
        :ivar ledger: LedgerState → count; :ivar refusals: mails the server did not give in the last session.
    """

    site: str
    address: str
    login: str
    held: str
    polling_windows: str
    last_batch: str | None
    waiting_batches: tuple[str, ...] = ()
    pending_receipts: int = 0
    refused_receipts: int = 0
    waiting_requests: int = 0
    ledger: Mapping[str, int] = dataclasses.field(default_factory=dict)
    refusals: int = 0
