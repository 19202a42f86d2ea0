"""What the page for users' own tests shows runs as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "howto" / "testing.md"
MODULES = Path(__file__).resolve().parents[2] / "airflow_pop3_gateway" / "testing"


def test_the_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

    exec(compile(example, str(PAGE), "exec"), {})  # noqa: S102


def test_every_module_has_its_row() -> None:
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE))

    assert named == {file.stem for file in MODULES.glob("[!_]*.py")}
