"""Airflow sends its log to the output it finds when it is imported: that must not be what one of the tests looks at."""

from __future__ import annotations

import airflow.sdk  # noqa: F401
