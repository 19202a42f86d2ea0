"""Application rules and Applications from files, for every verb that classifies.

Invariant: imports no Airflow; a file that makes no sense is a typed error that names the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from airflow_pop3_gateway.config import Application
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway.applications import Chooser, Rules, applications_of, proposed_application

T = TypeVar("T")


def rules_of(file: str | None) -> Chooser:
    """Rules as JSON, a list of objects; without a file the proposed Application stays.

    :raises ConfigurationError: when the file cannot be read or its rows make no sense.
    """
    return _read(file, "rules", Rules.of) if file else proposed_application


def applications_in(file: str | None) -> dict[str, Application]:
    """Applications with options of their own as JSON, a list of objects; none without a file.

    :raises ConfigurationError: when the file cannot be read or its rows make no sense.
    """
    return _read(file, "applications", applications_of) if file else {}


def _read(file: str, field: str, read: Callable[[Any], T]) -> T:
    try:
        return read(json.loads(Path(file).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:  # ConfigurationError is a ValueError
        raise ConfigurationError(f"{file}: {error}", field=field) from None
