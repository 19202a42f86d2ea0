"""What verbs do to the process they run in, and tests must not leave behind.

Airflow sends its log to the output it finds when it is imported: that must not be what one of the tests looks at.
"""

from __future__ import annotations

import airflow.sdk  # noqa: F401
import pytest


@pytest.fixture(autouse=True)
def process_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """A verb says "server" to Airflow; the test takes it back."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")
