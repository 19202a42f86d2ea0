"""The tour goes the whole way, and tells when something is not as expected."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

from airflow_pop3_gateway.demo import tour
from airflow_pop3_gateway.demo.surroundings import Surroundings
from airflow_pop3_gateway.testing import letters

ROOT = Path(__file__).parents[2]


def rows(text: str) -> list[list[str]]:
    """The first four columns of the table of mails: letter, TYPE, FILE_NAME, APPLICATION."""
    names = set(tour.EXPECTED)
    cells = (line.split("  ") for line in text.splitlines())
    return [[cell.strip() for cell in row if cell.strip()][:4] for row in cells if row[0] in names]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_tour_ends_well_and_the_readme_shows_what_it_prints() -> None:
    """Forty seconds: Airflow makes a database and runs the sample DAG twice."""
    program = [sys.executable, "-m", "airflow_pop3_gateway", "demo"]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    printed = rows(done.stdout)
    assert [row[0] for row in printed] == list(letters.one_of_every_kind())
    assert "receipts sent          1          1" in done.stdout
    readme = rows((ROOT / "README.md").read_text(encoding="utf-8"))
    assert readme
    assert all(row in printed for row in readme)


def test_every_letter_has_its_expectation() -> None:
    assert list(tour.EXPECTED) == list(letters.one_of_every_kind())


def test_a_run_that_does_nothing_is_not_taken_for_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pretend(*_: object, **__: object) -> int:
        return 0

    monkeypatch.setattr(Surroundings, "airflow", pretend)
    assert tour.run(argparse.Namespace(keep=str(tmp_path))) == 1
    output = capsys.readouterr().out
    assert "NOT AS EXPECTED: every mail has its record" in output
    assert "NOT AS EXPECTED: the maildrop is empty" in output


def test_the_end_of_airflows_log_is_shown_when_a_command_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, log: TextIO) -> int:
        print("the reason", file=log)
        return 1

    monkeypatch.setattr(Surroundings, "airflow", fail)
    assert tour.run(argparse.Namespace(keep=str(tmp_path))) == 1
    output = capsys.readouterr().out
    assert "the reason" in output
    assert "airflow db migrate ended with exit code 1" in output


def test_nothing_of_another_airflow_is_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://production")
    with Surroundings(tmp_path, {"orders": []}) as around:
        environment = around.environment()
    assert "production" not in str(environment)
    assert environment["AIRFLOW_HOME"] == str(tmp_path)
