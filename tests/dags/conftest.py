"""A migrated metadata database, made once."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.fixture(scope="session")
def database() -> None:
    """Airflow's database in the home of the tests; takes some ten seconds."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], capture_output=True, check=True)
