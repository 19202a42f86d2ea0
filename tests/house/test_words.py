"""What is published reads well anywhere: no path of one machine, no note to ourselves, no word nobody else knows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

NOT_OURS_TO_SAY = {
    "a path of one machine": rf"(?<![\w.}}])/({'work'}|{'root'}|home)/",
    "a note to ourselves": rf"\b({'TO' + 'DO'}|{'FIX' + 'ME'}|{'X' * 3})\b",
    "a number that only we can look up": rf"\b{'iss' + 'ue'}s? #?\d",
}
TEXT = {"", ".cfg", ".css", ".html", ".js", ".md", ".py", ".sh", ".toml", ".txt"}


@pytest.mark.parametrize("what", NOT_OURS_TO_SAY)
def test_nothing_published_holds(what: str, tracked: Sequence[Path], root: Path) -> None:
    found = []
    for path in tracked:
        if (
            path.suffix in TEXT
            and path.relative_to(root).parts[:2] != ("tests", "data")
            and path != Path(__file__)
        ):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if re.search(NOT_OURS_TO_SAY[what], line):
                    found.append(f"{path.relative_to(root)}:{number}: {line.strip()}")
    assert found == []


def test_documents_that_are_mentioned_exist(tracked: Sequence[Path], root: Path) -> None:
    """In docstrings and in documents; a relative link is read from where it stands."""
    lost = []
    for path in tracked:
        if path.suffix not in (".py", ".md") or path.relative_to(root).parts[:2] == ("tests", "data"):
            continue
        text = path.read_text()
        named = {(root, name) for name in re.findall(r"\bdocs/[\w/-]+\.md\b", text)}
        if path.suffix == ".md":
            named = {(path.parent, name) for name in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)}
        lost += [f"{path.relative_to(root)}: {name}" for base, name in named if not (base / name).exists()]
    assert sorted(lost) == []


def test_chores_that_documents_name_exist(tracked: Sequence[Path], root: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))
    for path in tracked:
        if path.suffix == ".md":
            for words in re.findall(r"`make ([a-z ]+)`", path.read_text()):
                assert set(words.split()) <= targets, f"{path.relative_to(root)}: make {words}"
