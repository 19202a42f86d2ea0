"""Application rules from a file, for every verb that classifies.

Invariant: imports no Airflow; a file that makes no sense is a typed error that names the file.
"""

from __future__ import annotations

import json
from pathlib import Path

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway.applications import Chooser, Rules, proposed_application


def rules_of(file: str | None) -> Chooser:
    """Rules as JSON, a list of objects; without a file the proposed Application stays.

    :raises ConfigurationError: when the file cannot be read or its rows make no sense.
    """
    if not file:
        return proposed_application
    try:
        return Rules.of(json.loads(Path(file).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:  # ConfigurationError is a ValueError
        raise ConfigurationError(f"{file}: {error}", field="rules") from None
