"""What our errors mean to Airflow: retry, fail at once, or skip where a sensor may fail softly.

Invariant: the one place that turns an error into ``AirflowFailException``; an error that may pass by itself goes
through unchanged, so that Airflow's own retries and retry policies decide about it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

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


@contextlib.contextmanager
def softly(sensor: BaseSensorOperator) -> Iterator[None]:
    """Around the looks of a sensor that defers.

    Airflow heeds ``soft_fail`` and ``never_fail`` only once it has deferred, and then without a word about the reason.

    :raises AirflowSkipException: instead of a failure, where the sensor has one of the two.
    """
    try:
        yield
    except AirflowFailException as error:
        if sensor.soft_fail or sensor.never_fail:
            raise AirflowSkipException(str(error)) from error
        raise
