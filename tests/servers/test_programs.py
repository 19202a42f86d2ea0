"""A server that is not installed is said to be missing: a skipped test here, a failed one in CI."""

from __future__ import annotations

import pytest
from support.programs import program


def test_a_missing_server_skips_locally(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)

    with pytest.raises(pytest.skip.Exception, match="apt-get install no-such-package"):
        program("no-such-server", "no-such-package")


def test_a_missing_server_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")

    with pytest.raises(pytest.fail.Exception, match="apt-get install no-such-package"):
        program("no-such-server", "no-such-package")
