"""What is written down, as frozen structs with a JSON form both ways.

Strategy: one class for each kind of line or object of the storage layout (``docs/reference/layout.md``); field
names are the Gateway's words in lower case where the Gateway has one. :meth:`Jsonable.to_json` leaves out nothing,
so a reader never guesses a default; :meth:`Jsonable.from_json` ignores what it does not know, so an older reader
survives a newer writer.

Invariant: ``from_json(to_json(x)) == x``; every value is JSON-plain; times are RFC 3339 strings in UTC; a field
whose name Python keeps for itself ends in an underscore here and not in JSON (``from_``).
"""

from airflow_pop3_gateway.records.journal import (
    DISMISSAL_SCHEMA,
    LEDGER_SCHEMA,
    MANIFEST_SCHEMA,
    SUSPENSION_SCHEMA,
    Dismissal,
    LedgerEntry,
    LedgerState,
    ManifestEntry,
    Suspension,
)
from airflow_pop3_gateway.records.jsonable import (
    Jsonable,
    as_json,
    digest_key,
)
from airflow_pop3_gateway.records.results import (
    Acknowledged,
    Classified,
    HandedOn,
    Purged,
    Replayed,
    Retrieved,
    SiteStatus,
)
from airflow_pop3_gateway.records.transfer import (
    OUTBOX_SCHEMA,
    RECORD_SCHEMA,
    Acknowledges,
    AcknowledgmentRequest,
    Defect,
    Layer,
    Leaf,
    LeafOutcome,
    Outcome,
    Protection,
    Raw,
    Reason,
    Receipt,
    ReceiptState,
    RecordState,
    Rejected,
    Report,
    ReportedRecipient,
    Signer,
    StoredFile,
    TransferRecord,
    TransferType,
)

__all__ = [
    "DISMISSAL_SCHEMA",
    "LEDGER_SCHEMA",
    "MANIFEST_SCHEMA",
    "OUTBOX_SCHEMA",
    "RECORD_SCHEMA",
    "SUSPENSION_SCHEMA",
    "Acknowledged",
    "Acknowledges",
    "AcknowledgmentRequest",
    "Classified",
    "Defect",
    "Dismissal",
    "HandedOn",
    "Jsonable",
    "Layer",
    "Leaf",
    "LeafOutcome",
    "LedgerEntry",
    "LedgerState",
    "ManifestEntry",
    "Outcome",
    "Protection",
    "Purged",
    "Raw",
    "Reason",
    "Receipt",
    "ReceiptState",
    "RecordState",
    "Rejected",
    "Replayed",
    "Report",
    "ReportedRecipient",
    "Retrieved",
    "Signer",
    "SiteStatus",
    "StoredFile",
    "Suspension",
    "TransferRecord",
    "TransferType",
    "as_json",
    "digest_key",
]
