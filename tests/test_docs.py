"""What the pages say is what the code does: code blocks, tables, links."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path

import pytest
from airflow.sdk import DAG

from airflow_pop3_gateway import operators
from airflow_pop3_gateway.cli import VERBS
from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.gateway.peek import Look
from airflow_pop3_gateway.get_provider_info import CONNECTION_FIELDS
from airflow_pop3_gateway.records import Acknowledged, Classified, HandedOn, Purged, Retrieved
from airflow_pop3_gateway.records.asked import Answered
from airflow_pop3_gateway.records.sent import Sent
from airflow_pop3_gateway.sensors import Pop3MailSensor

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
BLOCK = re.compile(r"(?:<!-- from (\S+): (\w+) -->\n)?^```python\n(.*?)^```", re.M | re.S)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def identity(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=identity)
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", PAGES, ids=identity)
def test_python_in_a_page_is_python_and_samples_are_the_samples(path: Path) -> None:
    for file, mark, code in BLOCK.findall(path.read_text()):
        ast.parse(code)
        if file:
            source = (ROOT / file).read_text()
            assert code == source.split(f"# [START {mark}]\n")[1].split(f"# [END {mark}]")[0]


@pytest.mark.parametrize("path", PAGES, ids=identity)
def test_python_in_a_page_runs_as_it_stands(path: Path) -> None:
    """In the order of the page, each block in a DAG of its own; the sample DAGs have tests of theirs."""
    names: dict[str, object] = {}
    for number, (file, _, code) in enumerate(BLOCK.findall(path.read_text())):
        if not file:
            with DAG(f"block_{number}", schedule=None):
                exec(compile(code, f"{path.name}, block {number}", "exec"), names)  # noqa: S102


def test_every_option_of_a_connection_is_in_the_reference() -> None:
    text = page("reference/connection.md")
    options = text.partition("\n## ")[0]
    for name, field in CONNECTION_FIELDS.items():
        (row,) = re.findall(rf"^\| `{name}` \|.*$", options, re.M)
        schema = field["schema"]
        assert field["description"] in row
        assert all(f"`{word}`" in row for word in schema.get("enum", ()))
        if (default := schema.get("default")) is not None:
            assert f"| `{default if isinstance(default, str) else json.dumps(default)}` |" in row
    for name, bound in Limits.__dataclass_fields__.items():
        assert f"| `{name}` | {bound.default:,} |" in text


@pytest.mark.parametrize(
    ("operator", "result"),
    [
        (operators.RetrieveOperator, Retrieved),
        (operators.ClassifyOperator, Classified),
        (operators.HandOnOperator, HandedOn),
        (operators.AcknowledgeOperator, Acknowledged),
        (operators.AnswerOperator, Answered),
        (operators.PurgeOperator, Purged),
        (operators.SendTransferOperator, Sent),
    ],
)
def test_every_argument_and_result_of_an_operator_is_in_the_reference(operator: type, result: type) -> None:
    head, _, rest = page("reference/operators.md").partition(f"## {operator.__name__}")
    section = rest.partition("\n## ")[0]
    arguments = [name for name in inspect.signature(operator).parameters if name not in ("kwargs", "args")]
    for name in arguments:
        assert f"`{name}`" in section or f"`{name}`" in head
    for name in result.__struct_fields__:  # type: ignore[attr-defined]
        assert f"`{name}`" in section, name


def test_every_argument_and_result_of_the_sensor_is_in_the_reference() -> None:
    section = page("reference/assets.md").partition("## Pop3MailSensor")[2].partition("\n## ")[0]
    arguments = [name for name in inspect.signature(Pop3MailSensor).parameters if name != "kwargs"]
    for name in (*arguments, *Look.__struct_fields__):
        assert f"`{name}`" in section, name


def test_every_verb_and_option_is_in_the_reference() -> None:
    text = page("reference/cli.md")
    for verb in VERBS:
        section = text.partition(f"## {verb.name}")[2].partition("\n## ")[0]
        assert section
        for argument in verb.arguments:
            assert not argument.flags[0].startswith("-") or f"`{argument.flags[0]}`" in section
