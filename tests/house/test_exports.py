"""What is public is named on purpose, is there, and says what it is."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest

import airflow_pop3_gateway

NAMES = [
    module.name
    for module in pkgutil.walk_packages(airflow_pop3_gateway.__path__, "airflow_pop3_gateway.")
    if not module.name.endswith("__main__")
]


def public(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Functions and classes that a module defines and does not hide, and what those classes offer."""
    for name, item in vars(module).items():
        if name.startswith("_") or getattr(item, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(item) or inspect.isclass(item):
            yield name, item
        if inspect.isclass(item):
            for inner, member in vars(item).items():
                if not inner.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                    yield f"{name}.{inner}", getattr(item, inner)


def test_what_is_public_says_what_it_is() -> None:
    """A method may leave it to the one it fulfils: what a word means is said once, wherever the word is introduced."""
    offered = [(name, *one) for name in NAMES for one in public(importlib.import_module(name))]
    said = {where.split(".")[1] for _, where, item in offered if "." in where and inspect.getdoc(item)}
    silent = [f"{name}.{where}" for name, where, item in offered if not inspect.getdoc(item)]
    assert [where for where in silent if where.split(".")[-1] not in said] == []


@pytest.mark.parametrize("name", NAMES)
def test_what_is_exported_is_there(name: str) -> None:
    module = importlib.import_module(name)
    exported = getattr(module, "__all__", [])
    assert len(exported) == len(set(exported))
    assert [one for one in exported if not hasattr(module, one)] == []


@pytest.mark.parametrize("room", ["operators"])
def test_everything_for_dags_is_importable_from_one_place(room: str) -> None:
    offered = importlib.import_module(f"airflow_pop3_gateway.{room}").__all__
    assert set(offered) <= set(importlib.import_module("airflow_pop3_gateway.sdk").__all__)
