"""Every error says what to do next, travels between processes, and stands in the tree that opens its module."""

from __future__ import annotations

import inspect
import pickle
import re
from collections.abc import Iterator
from typing import get_args

import pytest

from airflow_pop3_gateway import errors
from airflow_pop3_gateway.errors import Disposition, GatewayError

CLASSES = [item for item in vars(errors).values() if inspect.isclass(item) and issubclass(item, GatewayError)]

each = pytest.mark.parametrize("error", CLASSES, ids=lambda error: error.__name__)


def told() -> Iterator[tuple[str, str | None, set[str]]]:
    """Each line of the tree: the class, its parent, its kin among the builtins."""
    assert errors.__doc__ is not None
    branch: list[tuple[int, str]] = []
    for line in errors.__doc__.splitlines():
        found = re.fullmatch(r"( {4,})([A-Z]\w+)(?: +\((\w+)\))?(?: {2,}.*)?", line)
        if found:
            depth = len(found[1])
            branch = [(level, name) for level, name in branch if level < depth]
            yield found[2], branch[-1][1] if branch else None, {found[3]} if found[3] else set()
            branch.append((depth, found[2]))


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    real = []
    for error in CLASSES:
        ours = [base for base in error.__bases__ if issubclass(base, GatewayError)]
        kin = {base.__name__ for base in error.__bases__ if base not in ours} - {"Exception"}
        real.append((error.__name__, ours[0].__name__ if ours else None, kin))
    assert list(told()) == real


@each
def test_it_travels_with_its_facts(error: type[GatewayError]) -> None:
    """Airflow carries errors between processes."""
    facts = {"host": "pop.example.com", "attempts": 3, "tried": ["a", "b"]}
    for name, kind in inspect.get_annotations(error).items():
        if "ClassVar" not in kind:
            facts[name] = "value"
    there = pickle.loads(pickle.dumps(error("What happened, and what to do.", **facts)))
    assert type(there) is error
    assert there.message == str(there) == "What happened, and what to do."
    assert there.facts == facts
    assert {name: getattr(there, name) for name in facts} == facts


@each
def test_it_says_whether_the_same_call_may_succeed_later(error: type[GatewayError]) -> None:
    assert error.disposition in get_args(Disposition)
    assert error.retriable is (error.disposition in ("retry", "reconnect"))


@each
def test_it_says_what_it_means(error: type[GatewayError]) -> None:
    assert error.__doc__
    assert error.__doc__ not in [base.__doc__ for base in error.__bases__]
