"""Receive mails, and let a person decide in Airflow's UI who gets a receipt."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG

from airflow_pop3_gateway.sdk import (
    POP3_RETRY_POLICY,
    AcknowledgeOperator,
    AskForReceiptOperator,
    ClassifyOperator,
    ReceiptRequestsOperator,
    RetrieveOperator,
)

DOC = """
### A person approves receipts

The connection `approvals` says `acknowledgment_option: ack_by_user`. Each mail that asks for a receipt becomes a
task under *Required Actions*: who wrote, what about, and why a person is asked. *Acknowledge* sends a positive receipt,
*Refuse* a negative one, *No receipt* none; what you write as text goes to the sender.

* The task parks while it waits for you; no worker and no triggerer is held.
* **Silence decides nothing**: after seven days nothing is sent, and `pop3-gateway receipts` still lists the mail.
* With `ack_by_monitor` only the mails in doubt come here: a receipt that would go to somebody else than the sender,
  several addresses, a mail that could not be taken.
* Runs that wait for a person stay open; `max_active_tis_per_dag` sees to it that only one of them uses the mailbox.
"""

# [START approve_receipts]
with DAG(
    "pop3_approve_receipts",
    schedule=timedelta(minutes=15),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=500,
    default_args={"retries": 5, "retry_policy": POP3_RETRY_POLICY},
    doc_md=DOC,
    tags=["pop3"],
):
    retrieve = RetrieveOperator(task_id="retrieve", pop3_conn_id="approvals", max_active_tis_per_dag=1)
    classify = ClassifyOperator(task_id="classify", retrieved=retrieve.output)
    requests = ReceiptRequestsOperator(task_id="requests", classified=classify.output)
    ask = AskForReceiptOperator.partial(
        task_id="ask",
        response_timeout=timedelta(days=7),
        map_index_template="{{ task.request['local_ident'] }}",
    ).expand(request=requests.output)
    acknowledge = AcknowledgeOperator(
        task_id="acknowledge", classified=classify.output, trigger_rule="none_failed"
    )
    ask >> acknowledge
# [END approve_receipts]
