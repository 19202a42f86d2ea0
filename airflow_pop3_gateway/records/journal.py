"""The journal of a maildrop: a line of a manifest, an entry of a ledger, what a person decided.

The first two are written and read by the ten thousand, so they are structs of msgspec: their JSON form is their
fields, and the collector of garbage is not asked to look at them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from airflow_pop3_gateway.records.jsonable import Jsonable
from airflow_pop3_gateway.records.transfer import Raw

MANIFEST_SCHEMA = "airflow-pop3-gateway/manifest/1"
LEDGER_SCHEMA = "airflow-pop3-gateway/ledger/1"
SUSPENSION_SCHEMA = "airflow-pop3-gateway/suspension/1"
DISMISSAL_SCHEMA = "airflow-pop3-gateway/dismissal/1"
LedgerState = Literal["COMMITTED", "DELETE_PENDING", "DELETED", "KEPT"]


class ManifestEntry(msgspec.Struct, frozen=True, gc=False):
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

    @property
    def raw(self) -> Raw:
        """Where the octets lie, as the record says it."""
        place = (self.site, self.batch, self.index, self.uidl, self.segment, self.offset, self.length)
        return Raw(*place, self.sha256)


class LedgerEntry(msgspec.Struct, frozen=True, gc=False):
    """What is known of one UIDL of a site.

    :ivar stored_at: when it was retrieved; :ivar gone_since: first session that no longer listed it.
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
        return msgspec.structs.replace(self, state=state)


class Suspension(Jsonable, frozen=True):
    """A site that is not polled (Gateway: *stop_site -pm*): ``suspended/<site>.json``."""

    schema: str
    site: str
    since: str
    by: str
    reason: str = ""


class Dismissal(Jsonable, frozen=True):
    """A mail in quarantine that needs nobody any more: ``dismissed/<yyyy>/<mm>/<dd>/<local ident>.json``."""

    schema: str
    site: str
    local_ident: str
    record: str
    at: str
    by: str
    reason: str = ""
