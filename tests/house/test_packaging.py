"""What is installed is what is here, and everything it needs is declared and pinned."""

from __future__ import annotations

import ast
import configparser
import fnmatch
import importlib.metadata
import re
import sys
from pathlib import Path

import pytest

import airflow_pop3_gateway
from airflow_pop3_gateway.get_provider_info import get_provider_info

NAME = "airflow-pop3-gateway"


@pytest.fixture(scope="module")
def setup(root: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(root / "setup.cfg")
    return parser


def normal(name: str) -> str:
    """The one spelling of a distribution's name, without extras and versions (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[^\w.-]", name.strip(), maxsplit=1)[0]).lower()


def requirements(setup: configparser.ConfigParser, *extras: str) -> set[str]:
    """Distributions that are declared for an installation with these extras."""
    text = setup["options"]["install_requires"]
    lines = "\n".join([text, *(setup["options.extras_require"][extra] for extra in extras)])
    return {normal(line) for line in lines.splitlines() if line.strip()}


def brought() -> dict[str, set[str]]:
    """Top-level module → distributions that have it; Python 3.10's own list leaves out most wheels."""
    found: dict[str, set[str]] = {}
    for distribution in importlib.metadata.distributions():
        for top in {file.parts[0].removesuffix(".py") for file in distribution.files or ()}:
            found.setdefault(top, set()).add(normal(distribution.metadata["Name"]))
    return found


def test_the_version_is_said_once() -> None:
    assert importlib.metadata.version(NAME) == airflow_pop3_gateway.__version__


def test_the_changelog_tells_of_this_version(root: Path) -> None:
    assert f"\n## {airflow_pop3_gateway.__version__}" in (root / "CHANGELOG.md").read_text()


def test_airflow_finds_the_provider() -> None:
    (point,) = importlib.metadata.distribution(NAME).entry_points.select(group="apache_airflow_provider")
    assert point.load() is get_provider_info
    assert point.load()()["package-name"] == NAME


def test_every_folder_and_file_of_the_package_is_shipped(
    package: Path, setup: configparser.ConfigParser
) -> None:
    patterns = setup["options.package_data"]["airflow_pop3_gateway"].split()
    for path in package.rglob("*"):
        if "__pycache__" not in path.parts and path.is_file():
            assert (path.parent / "__init__.py").exists() or path.suffix != ".py", (
                f"{path.parent} is no package"
            )
            name = str(path.relative_to(package))
            assert path.suffix == ".py" or any(fnmatch.fnmatch(name, one) for one in patterns), name


def test_what_is_imported_is_declared(package: Path, setup: configparser.ConfigParser) -> None:
    """Nothing is there only because something else happens to bring it; the extras are for practice alone."""
    distributions = brought()
    for path in package.rglob("*.py"):
        practice = path.relative_to(package).parts[0] in ("testing", "demo")
        declared = requirements(setup, *(["demo"] if practice else []))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                top = name.split(".")[0]
                if top in sys.stdlib_module_names or top == package.name:
                    continue
                if name.startswith("airflow.providers."):
                    by = {f"apache-airflow-providers-{name.split('.')[2]}"}
                else:
                    by = distributions.get(top, set())
                assert by & declared, f"{path.relative_to(package)} imports {name}, which nothing declares"


def test_every_requirement_is_pinned(root: Path, setup: configparser.ConfigParser) -> None:
    lines = (root / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.!+]+( ; .+)?", pin)] == []
    assert requirements(setup, *setup["options.extras_require"]) <= {normal(pin) for pin in pins}


def test_the_tour_needs_what_the_practice_servers_and_s3_need(setup: configparser.ConfigParser) -> None:
    extras = {name: set(text.split()) for name, text in setup["options.extras_require"].items()}
    assert extras["demo"] == extras["s3"] | extras["testing"]


def test_the_build_needs_nothing_but_setuptools(root: Path) -> None:
    """All metadata stands in setup.cfg."""
    lines = (root / "pyproject.toml").read_text().splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[build-system]"]
