"""What our errors mean to Airflow: retry, or fail at once.

Invariant: the one place that turns an error into ``AirflowFailException``; an error that may pass by itself goes
through unchanged, so that Airflow's own retries and retry policies decide about it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from airflow.sdk.exceptions import AirflowFailException

from airflow_pop3_gateway.errors import GatewayError


@contextlib.contextmanager
def told_to_airflow() -> Iterator[None]:
    """Around the work of a task.

    :raises AirflowFailException: for an error that another attempt cannot mend; its cause is the error itself.
    """
    try:
        yield
    except GatewayError as error:
        if error.retriable:
            raise
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error
