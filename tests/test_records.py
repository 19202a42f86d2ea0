"""What is written down reads back, and the documentation names every field of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from airflow_pop3_gateway import records
from airflow_pop3_gateway.records import (
    AcknowledgmentRequest,
    Defect,
    Jsonable,
    Leaf,
    LedgerEntry,
    ManifestEntry,
    Raw,
    Reason,
    Rejected,
    Report,
    ReportedRecipient,
    StoredFile,
    TransferRecord,
    digest_key,
)

LAYOUT = (Path(__file__).parents[1] / "docs" / "reference" / "layout.md").read_text()
FULL = TransferRecord(
    schema=records.RECORD_SCHEMA,
    key="k",
    local_ident="b-000001",
    type="EERP",
    file_name="MAIL",
    state="ENDED",
    protocol="POP3",
    originator="edi",
    destination="login",
    application="MAIL",
    from_="p@partner.example",
    to=("a@us.example", "b@us.example"),
    cc=(),
    subject="s",
    date=None,
    xfer_ident="<1@partner.example>",
    xfer_ident_source="message-id",
    raw=Raw("edi", "b", 1, "uidl", "segment-0000.eml", 0, 9, "0"),
    created_at="2026-11-23T08:00:00.000Z",
    xfb={"appli": "MAIL"},
    files=(StoredFile("files/a", "a", None, "text/plain", 1, "0"),),
    rejected=Rejected("<1@partner.example>", Reason("duplicate-octets"), duplicate_of="k0"),
    acknowledgment=AcknowledgmentRequest(("p@partner.example",), "send", "ack_by_monitor", ("r",)),
    report=Report("dsn", "negative", recipients=(ReportedRecipient(action="failed"),), fields={"a": "b"}),
    defects=(Defect("bad-date"),),
    leaves=(Leaf("1", "text/plain", "", None, "7bit", 1, 1, "0", "user_message"),),
)


def test_a_record_survives_json() -> None:
    assert TransferRecord.from_json(json.loads(json.dumps(FULL.to_json()))) == FULL


def test_an_older_reader_survives_a_newer_writer() -> None:
    assert TransferRecord.from_json({**FULL.to_json(), "invented_later": 1}) == FULL


def test_a_record_without_its_necessary_fields_is_no_record() -> None:
    with pytest.raises(TypeError):
        TransferRecord.from_json({"schema": records.RECORD_SCHEMA})


def test_the_summary_counts_the_evidence() -> None:
    line = FULL.summary()
    assert (line["leaves"], line["defects"]) == (1, 1)
    assert {key: line[key] for key in line.keys() - {"leaves", "defects"}} == {
        key: value for key, value in FULL.to_json().items() if key not in ("leaves", "defects")
    }


@pytest.mark.parametrize("kind", [TransferRecord, ManifestEntry, LedgerEntry])
def test_the_layout_page_names_every_field(kind: Any) -> None:
    fields = msgspec.structs.fields(kind)
    names = {field.name.rstrip("_") for field in fields}
    assert {name for name in names if f"`{name}`" not in LAYOUT} == set()


def test_every_result_and_record_is_json_plain_by_its_types() -> None:
    kinds = [kind for kind in vars(records).values() if isinstance(kind, type) and issubclass(kind, Jsonable)]
    assert len(kinds) > 15
    for kind in kinds:
        assert msgspec.json.schema(kind)["$defs"], "a type without a JSON form raises"


def test_a_key_depends_on_every_word_and_on_where_words_end() -> None:
    assert len(digest_key("a", "b")) == 40
    assert len({digest_key("a", "b"), digest_key("ab"), digest_key("ab", ""), digest_key("b", "a")}) == 4
