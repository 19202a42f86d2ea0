"""The reference pages name every rule, reason and defect there is, and none that is not."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_pop3_gateway import mail
from airflow_pop3_gateway.config import Limits
from airflow_pop3_gateway.mail import account, classify

PACKAGE = Path(mail.__file__).parent.parent
PAGES = PACKAGE.parent / "docs" / "reference"
COMPOSED = {"duplicate-message-id", "duplicate-header-hash", "mail-error"}  # by the gateway, from two words


def section(page: str, title: str) -> set[str]:
    """The codes in the first column of a section's table."""
    text = (PAGES / page).read_text().split(f"\n## {title}")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def calls() -> Iterator[ast.Call]:
    for module in PACKAGE.rglob("*.py"):
        yield from (node for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Call))


def texts(node: ast.AST) -> set[str]:
    """The strings an argument can be."""
    if isinstance(node, ast.IfExp):
        return texts(node.body) | texts(node.orelse)
    if isinstance(node, ast.Tuple):
        return {text for element in node.elts for text in texts(element)}
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def first_arguments(name: str) -> set[str]:
    found: set[str] = set()
    for call in calls():
        if isinstance(call.func, ast.Name) and call.func.id == name and call.args:
            found |= texts(call.args[0])
    return found


def noted() -> set[str]:
    """What decoders and texts add to their ``defects``."""
    found: set[str] = set()
    for call in calls():
        function = call.func
        if (
            isinstance(function, ast.Attribute)
            and function.attr == "add"
            and "defects" in ast.dump(function.value)
        ):
            found |= texts(call.args[0])
    return found


def refusals(room: str) -> set[str]:
    """The codes of every MailRefused that is raised in a room."""
    trees = (ast.parse(path.read_text()) for path in (PACKAGE / room).glob("*.py"))
    calls = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        keyword.value.value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "MailRefused"
        for keyword in call.keywords
        if keyword.arg == "code" and isinstance(keyword.value, ast.Constant)
    }


def returned(module: str, function: str) -> set[str]:
    tree = ast.parse((PACKAGE / module).read_text())
    [body] = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == function]
    found: set[str] = set()
    for node in ast.walk(body):
        if isinstance(node, ast.Return) and node.value is not None:
            found |= texts(node.value)
    return found


def test_every_rule_is_in_the_table_in_its_order() -> None:
    text = (PAGES / "classification.md").read_text().split("## The rules")[1].split("\n## ")[0]
    expected = [rule.id for rule in (classify.WHOLE_MAIL, classify.LIMIT, *classify.RULES)]
    assert re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE) == expected


def test_the_type_and_file_name_of_every_rule_are_those_of_the_table() -> None:
    words = {
        "of-the-file": "file's",
        "of-the-application": "Application",
        "recover": "RECOVER",
        "whole": "`.eml`",
    }
    text = (PAGES / "classification.md").read_text()
    for rule in (classify.WHOLE_MAIL, classify.LIMIT, *classify.RULES):
        [line] = [line for line in text.splitlines() if line.startswith(f"| `{rule.id}` |")]
        *_, kind, name = line.strip("| ").split(" | ")
        assert kind.split()[0] == rule.type and words[rule.file_name] in name, rule.id


def test_every_reason_of_a_rejection_is_listed() -> None:
    rules = {rule.reason for rule in classify.RULES if rule.reason}
    limits = {bound.name for bound in dataclasses.fields(Limits)} - {
        "name_bytes",
        "report_bytes",
        "unpack_bytes",
    }
    assert section("reasons.md", "Why a mail was not taken") == rules | limits | first_arguments(
        "Reason"
    ) | COMPOSED | refusals("smime") | refusals("gateway")


def test_every_defect_is_listed() -> None:
    looks = (("unpack", "from_tnef"), ("unpack", "from_text"), ("zips", "look"))
    within = {code for module, function in looks for code in returned(f"mail/{module}.py", function)} - {""}
    assert section("reasons.md", "What was wrong") == first_arguments("Defect") | noted() | within


def test_every_reason_of_a_leaf_is_listed() -> None:
    why = {why for _, why in account.OUTCOMES.values() if why}
    assert section("reasons.md", "Why a part") == why | {"attachment", "notification", "whole-mail"}


def test_every_reason_of_an_acknowledgment_is_listed() -> None:
    decided = {
        "ack_by_monitor",
        "ack_by_user",
        "after-processing",
        "no-own-address",
        "not_to_ack",
        "partner-not-listed",
        "unknown-options",
    }
    listed = section("reasons.md", "Why an acknowledgment")
    assert listed == returned("acks/asking.py", "deny_reason") | decided


@pytest.mark.parametrize("page", ["classification.md", "reasons.md"])
def test_no_code_is_listed_twice_in_one_table(page: str) -> None:
    for table in (PAGES / page).read_text().split("\n## ")[1:]:
        codes = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
        assert len(codes) == len(set(codes))
