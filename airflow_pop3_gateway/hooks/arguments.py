"""Arguments of operators and sensors, looked at while the DAG is parsed.

Invariant: what can be known to be wrong then is refused then, with the task's id and the argument's name.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import BaseOperator

from airflow_pop3_gateway.errors import ConfigurationError

A_BASE_PATH = "a URL, as file:///… or s3://connection_id@bucket/prefix"
A_MAILBOX = "the id of a connection of type pop3"


def refuse_unless(
    operator: BaseOperator, name: str, value: Any, kind: type | tuple[type, ...], meaning: str
) -> None:
    """Refuse an argument of a wrong type while the DAG is parsed; what another task will bring is not known then.

    :raises ConfigurationError: naming the task, the argument and what it must be.
    """
    promised = hasattr(value, "resolve")
    if value is not None and not promised and not isinstance(value, kind):
        raise ConfigurationError(
            f"Task {operator.task_id!r}: {name} must be {meaning}, not {value!r:.80}.", field=name
        )
