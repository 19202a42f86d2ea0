"""Small mails of our own making, each with what it must be beside it (``tests/data/mail``).

What real mail does and no standard allows: each was found in a test collection of an established mail package.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_pop3_gateway.acks import parse_report
from airflow_pop3_gateway.mail.extract import Policy, Understanding

LETTERS = Path(__file__).parents[1] / "data" / "mail"
POLICY = Policy(multiple_attachments="extract")


def described(understanding: Understanding, files: dict[str, bytes]) -> dict[str, Any]:
    """Everything an expectation may name."""
    head = understanding.head
    report = parse_report(understanding.captured)
    return {
        "type": understanding.type,
        "rule": understanding.rule,
        "file_name": understanding.file_name,
        "content_type": head.content_type.value,
        "subject": head.subject,
        "from_": head.from_,
        "from_system": head.from_system,
        "to": list(head.to),
        "date": head.date,
        "message_id": head.message_id,
        "user_message": understanding.user_message,
        "files": {name: octets.decode() for name, octets in files.items()},
        "defects": sorted({defect.code for defect in understanding.defects}),
        "rejected": understanding.rejected.code if understanding.rejected else None,
        "report": report
        and report.to_json()
        | {"recipients": [[one.final_recipient, one.action, one.status] for one in report.recipients]},
    }


@pytest.mark.parametrize("name", sorted(path.stem for path in LETTERS.glob("*.eml")))
def test_a_letter_is_what_is_said_beside_it(desk, name: str) -> None:
    expected = json.loads((LETTERS / f"{name}.json").read_text(encoding="utf-8"))
    understanding = desk.understand((LETTERS / f"{name}.eml").read_bytes(), POLICY)
    found = described(understanding, desk.files)
    why, report = expected.pop("why"), expected.get("report")
    if report:
        found["report"] = {key: found["report"][key] for key in report}
    assert {key: found[key] for key in expected} == expected, why


def test_every_letter_has_its_expectation_and_every_expectation_its_letter() -> None:
    assert {path.stem for path in LETTERS.glob("*.eml")} == {path.stem for path in LETTERS.glob("*.json")}
