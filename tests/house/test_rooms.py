"""The rooms of the package know each other in one direction only, and each stays small enough to be read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "airflow_pop3_gateway"

STOREYS = (
    {"errors", "get_provider_info", "uris"},
    {"partners", "windows"},
    {"records", "config"},
    {"pop3", "mail", "testing"},
    {"acks", "smime", "store"},
    {"gateway"},
    {"hooks"},
    {"triggers"},
    {"assets"},
    {"operators", "sensors"},
    {"demo", "ui", "verbs"},
    {"cli", "plugin", "sdk"},
    {"__main__"},
)
"""A room may import what stands in a storey above it, never its neighbours: ``testing`` is no neighbour by accident,
an oracle that shares the parser shares its bugs."""

LEVEL = {room: level for level, storey in enumerate(STOREYS) for room in storey}

WAITING = {"asyncio", "logging", "select", "selectors", "socket", "ssl", "threading", "time"}
OUTSIDE = {"asyncio", "boto3", "fsspec", "poplib", "s3fs", "smtplib", "socket", "ssl", "upath"}
FOREIGN = {
    **{
        f"pop3.{thought}": WAITING
        for thought in ("commands", "dialogues", "inbox", "opening", "replies", "sasl", "wire")
    },
    "pop3.blocking": {"asyncio", f"{PACKAGE}.pop3.aio"},
    "pop3.aio": {"select", "socket", f"{PACKAGE}.pop3.blocking"},
    "mail": OUTSIDE | {"logging", "time"},
    "acks": OUTSIDE | {"logging", "time"},
    "smime": OUTSIDE | {"logging", "time"},
    "store": {"asyncio", "boto3", "s3fs", "smtplib", "ssl", "upath"},
    "gateway": OUTSIDE,
}
"""What a room or a module must not import from elsewhere: the wire does not wait, the letter is not sent, the order of
steps opens nothing by itself."""

ARGUED: dict[str, str] = {}
"""Modules above 400 lines, and why they are not two."""


def modules(package: Path) -> Iterator[tuple[str, Path]]:
    """Dotted name below the package, and file, of every module; a room's own ``__init__`` has the room's name."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(path: Path) -> Iterator[str]:
    """Every module that is imported anywhere in a file, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import hides the room it comes from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


def room_of(name: str) -> str:
    return name.removeprefix(f"{PACKAGE}.").split(".")[0]


def test_every_room_has_its_storey(package: Path) -> None:
    assert {room_of(name) for name, _ in modules(package) if name} <= LEVEL.keys()


def test_rooms_know_only_the_storeys_above(package: Path) -> None:
    for name, path in modules(package):
        for imported in imports(path):
            room = room_of(imported)
            if within(imported, PACKAGE) and room in LEVEL and room != room_of(name):
                assert LEVEL[room] < LEVEL[room_of(name)], f"{name} imports {imported}"


def test_the_package_itself_imports_nothing(package: Path) -> None:
    assert list(imports(package / "__init__.py")) == []


def test_nothing_above_the_hooks_knows_airflow(package: Path) -> None:
    for name, path in modules(package):
        if name and LEVEL[room_of(name)] < LEVEL["hooks"]:
            assert not [one for one in imports(path) if within(one, "airflow")], f"{name} imports Airflow"


def test_only_the_demo_needs_the_practice_servers(package: Path) -> None:
    """They come with the extra ``testing``; production is installed without it."""
    for name, path in modules(package):
        if room_of(name) not in ("testing", "demo"):
            assert not [one for one in imports(path) if within(one, f"{PACKAGE}.testing")], name


def test_no_room_reaches_outside_for_what_it_is_given(package: Path) -> None:
    for name, path in modules(package):
        for scope, forbidden in FOREIGN.items():
            if within(name, scope):
                found = {one for one in imports(path) for module in forbidden if within(one, module)}
                assert not found, f"{name} imports {found}"


def test_the_rules_name_modules_that_exist(package: Path) -> None:
    """A rule for a module that was renamed guards nothing."""
    assert FOREIGN.keys() <= {name for name, _ in modules(package)}


def test_no_module_shadows_one_of_the_standard_library(root: Path) -> None:
    """Airflow puts the folder of the DAGs on the path: a module ``email`` there would be everybody's."""
    folders = (root / "airflow_pop3_gateway", root / "dags", root / "tests")
    names = {path.stem for folder in folders for path in folder.rglob("*")}
    assert not names & {"calendar", "email", "http", "queue"}


def test_modules_stay_readable(package: Path) -> None:
    lines = {str(path.relative_to(package)): path.read_text().count("\n") for _, path in modules(package)}
    assert {name for name, count in lines.items() if count > 600} == set()
    assert {name for name, count in lines.items() if count > 400} == ARGUED.keys()


def test_every_module_opens_with_its_law(package: Path) -> None:
    silent = [name for name, path in modules(package) if not ast.get_docstring(ast.parse(path.read_text()))]
    assert silent == []
