"""Every bound on a mail, as a connection says it: at the bound the mail is taken, past it quarantined by its name."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import Connection
from support.maildrop import Maildrop, attachment, letter, multipart, text

from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.gateway import classify
from airflow_pop3_gateway.gateway.quarantine import quarantined, release
from airflow_pop3_gateway.hooks.connection import site_from
from airflow_pop3_gateway.records import TransferRecord
from airflow_pop3_gateway.store import layout

Open = Callable[..., Maildrop]


def zipped(*files: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return out.getvalue()


def nested(depth: int) -> bytes:
    part = text(b"innermost\r\n")
    for level in range(depth):
        head = f"Content-Type: multipart/mixed; boundary=n{level}\r\n\r\n--n{level}\r\n".encode()
        part = head + part + f"\r\n--n{level}--\r\n".encode()
    return part


LONG_HEADER = letter(1).replace(b"Subject: 1", b"Subject: " + b"x" * 200)
MANY_FIELDS = b"X-Field: y\r\n" * 10 + letter(1)
LONG_LINE = letter(1, b"x" * 500 + b"\r\n")
NESTED = multipart(1, nested(4))
SOME_PARTS = multipart(1, *[text(b"a")] * 5)
INSIDE = zipped(("a.txt", b"a" * 3000), ("b.txt", b"b" * 2000))
ZIP = multipart(1, attachment(b"a.zip", INSIDE))
ZIP_IN_ZIP = multipart(1, attachment(b"a.zip", zipped(("inner.zip", INSIDE))))

QUARANTINING: dict[str, tuple[bytes, int]] = {
    "header_bytes": (LONG_HEADER, LONG_HEADER.index(b"\r\n\r\n") + 2),
    "header_count": (MANY_FIELDS, 13),
    "line_bytes": (LONG_LINE, 501),  # the carriage return is one of the line
    "depth": (NESTED, 5),
    "parts": (SOME_PARTS, 6),
    "message_bytes": (LONG_LINE, len(LONG_LINE)),
    "zip_ratio": (ZIP, -(-5000 // len(INSIDE))),
    "zip_members": (ZIP, 2),
    "zip_depth": (ZIP_IN_ZIP, 2),
    "zip_bytes": (ZIP, 5000),
}
"""A mail, and the bound at which it is taken."""

OTHERS = {"name_bytes", "report_bytes", "unpack_bytes"}
"""Past these something is cut short or left where it is: there is nothing wrong with the mail."""

PROTECTED = {"smime_bytes", "smime_layers"}
"""These need keys: ``test_protection`` and the tests of ``smime``."""


def limits_of(**bounds: int) -> Limits:
    """As they come out of the JSON of a connection."""
    extra = json.dumps({"limits": bounds})
    connection = Connection(conn_id="edi", conn_type="pop3", host="h", login="edi", password="p", extra=extra)
    return site_from(connection).limits


def classified(drop: Maildrop, **options: Any) -> list[TransferRecord]:
    drop.poll()
    result = classify(drop.setup(**options).site, drop.store)
    keys = [json.loads(line)["key"] for key in result.transfers for line in drop.store.read(key).splitlines()]
    return [TransferRecord.from_json(json.loads(drop.store.read(layout.record(key)))) for key in keys]


def test_every_bound_is_here() -> None:
    assert {bound.name for bound in dataclasses.fields(Limits)} == QUARANTINING.keys() | OTHERS | PROTECTED


@pytest.mark.parametrize("name", QUARANTINING)
def test_at_the_bound_a_mail_is_taken(maildrop: Open, name: str) -> None:
    mail, bound = QUARANTINING[name]
    first, second = classified(maildrop(mail, letter(2)), limits=limits_of(**{name: bound}), unzip=True)
    assert first.rejected is None and second.rejected is None


@pytest.mark.parametrize("name", QUARANTINING)
def test_past_the_bound_it_is_quarantined_and_the_batch_goes_on(maildrop: Open, name: str) -> None:
    mail, bound = QUARANTINING[name]
    drop = maildrop(mail, letter(2))
    first, second = classified(drop, limits=limits_of(**{name: bound - 1}), unzip=True)
    assert first.rejected is not None and first.rejected.reason.code == name
    assert (first.type, first.file_name, first.unpacked) == ("XFER", "RECOVER", ())
    assert [drop.store.read(file.path) for file in first.files] == [mail]
    folder = first.files[0].path.rpartition("/")[0]
    assert drop.store.names(folder) == ["RECOVER.eml"], "nothing was stored before the bound was passed"
    assert (second.type, second.rejected) == ("MSG", None)

    assert [line["local_ident"] for line in quarantined(drop.store, drop.site)] == [first.local_ident]
    drop.setup(limits=limits_of(**{name: bound}))
    (released,) = release(drop.site, drop.store, [first.local_ident], now=drop.now)
    assert released.rejected is None and list(quarantined(drop.store, drop.site)) == []


def test_a_name_is_as_long_as_the_bound_allows(maildrop: Open) -> None:
    mail = multipart(1, attachment(b"n" * 40 + b".txt", b"x"))
    (record,) = classified(maildrop(mail), limits=limits_of(name_bytes=20))
    assert record.file_name == "n" * 16 + ".txt" and record.files[0].original_name == "n" * 40 + ".txt"


@pytest.mark.parametrize("past", [0, 1])
def test_a_report_is_read_up_to_the_bound(maildrop: Open, past: int) -> None:
    fields = b"Reporting-MTA: dns; a\r\n\r\nFinal-Recipient: rfc822; a@b\r\nAction: failed\r\n"
    status = b"Content-Type: message/delivery-status\r\n\r\n" + fields
    mail = multipart(1, status).replace(b"multipart/mixed", b"multipart/report")
    (record,) = classified(maildrop(mail), limits=limits_of(report_bytes=len(fields) - past))
    assert record.type == "EERP" and record.rejected is None
    assert ("report-too-long" in {defect.code for defect in record.defects}) == bool(past)


@pytest.mark.parametrize("past", [0, 1])
def test_files_in_a_text_are_looked_for_up_to_the_bound(maildrop: Open, past: int) -> None:
    body = b"begin 644 x.txt\r\n#86)C\r\n`\r\nend\r\n"
    (record,) = classified(maildrop(letter(1, body)), limits=limits_of(unpack_bytes=len(body) + 1 - past))
    assert record.type == "MSG" and record.rejected is None
    assert [file.name for file in record.unpacked] == ["x.txt"][past:]
    assert ("unpack-limit" in {defect.code for defect in record.defects}) == bool(past)
