"""Fetch mail when it comes: the mailbox rings, the run empties it, and each record gets a run of its own."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG

from airflow_pop3_gateway.sdk import (
    POP3_RETRY_POLICY,
    AcknowledgeOperator,
    ClassifyOperator,
    HandOnOperator,
    RetrieveOperator,
    mailbox,
)

DOC = """
### Fetch mail when it comes

The triggerer looks at the mailbox of the connection `edi_inbox` every `poll_interval` seconds (one minute, unless the
connection says otherwise). When there is mail that was never stored, this DAG runs, and empties the whole mailbox.

* The event is a doorbell: it carries counts. Nothing is lost when one is lost, for it rings again while mail is left.
* `hand_on` starts one run of `pop3_each_record` for every record that was not processed yet.
* Switch the DAG off and nobody looks at the mailbox any more.
"""

# [START on_mail]
with DAG(
    "pop3_on_mail",
    schedule=[mailbox("edi_inbox")],
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 5, "retry_policy": POP3_RETRY_POLICY},
    doc_md=DOC,
    tags=["pop3"],
):
    retrieve = RetrieveOperator(task_id="retrieve", pop3_conn_id="edi_inbox")
    classify = ClassifyOperator(task_id="classify", retrieved=retrieve.output)
    acknowledge = AcknowledgeOperator(task_id="acknowledge", classified=classify.output)
    classify >> HandOnOperator(task_id="hand_on", application="MAIL")
# [END on_mail]
