"""Receive files, process them, and acknowledge each mail with what really became of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, task, task_group
from airflow.sdk.exceptions import AirflowFailException

from airflow_pop3_gateway.sdk import (
    POP3_RETRY_POLICY,
    AcknowledgeOperator,
    AnswerOperator,
    ClassifyOperator,
    RetrieveOperator,
    transfers_of,
)

DOC = """
### Receive, process, acknowledge with the real outcome

A partner who asks for an acknowledgment hears whether his file was *processed*, not merely whether it came. The
connection `partners` says `acknowledge_after: processed`, so each request waits until its `answer` task has seen
how `process` ended: a positive receipt when it succeeded, a negative one with a text when it failed for good.

* **A task that is tried again answers nothing yet**: `answer` runs when `process` has come to its end.
* The first answer to a mail stays. Run anything again: nothing is sent twice.
* Mails that ask for no receipt go the same way; their `answer` does nothing.
* A request that only a person may answer is left alone; see the DAG `pop3_approve_receipts`.
* Put your own work into `process`. Raise `AirflowFailException` when another attempt cannot help.
"""

# [START acknowledge_outcome]
with DAG(
    "pop3_acknowledge_outcome",
    schedule=timedelta(minutes=5),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 5, "retry_policy": POP3_RETRY_POLICY},
    doc_md=DOC,
    tags=["pop3"],
):
    retrieve = RetrieveOperator(task_id="retrieve", pop3_conn_id="partners")
    classify = ClassifyOperator(task_id="classify", retrieved=retrieve.output)

    @task
    def transfers(classified: dict[str, Any]) -> list[dict[str, Any]]:
        """What the tasks below need of each mail."""
        needed = ("originator", "local_ident", "base_path", "files")
        return [{name: line[name] for name in needed} for line in transfers_of(classified)]

    @task_group
    def handle(transfer: dict[str, Any]) -> None:
        """One mail."""

        @task
        def process(transfer: dict[str, Any]) -> int:
            """Read the files; an empty one is no order."""
            octets = [len(ObjectStoragePath(file["url"]).read_bytes()) for file in transfer["files"]]
            if 0 in octets:
                raise AirflowFailException("A file is empty.")
            return sum(octets)

        process(transfer) >> AnswerOperator(
            task_id="answer",
            transfer=transfer,
            processed_by=["handle.process"],
            text="A file could not be processed. Please correct it and send it again.",
            trigger_rule="all_done",
        )

    handle.expand(transfer=transfers(classify.output)) >> AcknowledgeOperator(
        task_id="acknowledge", pop3_conn_id="partners", trigger_rule="all_done"
    )
# [END acknowledge_outcome]
