"""What the tests of the house read: the checkout, its tracked files and its modules."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def package() -> Path:
    """The folder of the package."""
    return ROOT / "airflow_pop3_gateway"


@pytest.fixture(scope="session")
def tracked() -> Sequence[Path]:
    """Every file that git knows and that is there; skips outside a checkout, where nothing could be published."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]
