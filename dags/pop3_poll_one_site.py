"""Poll one POP3 mailbox: retrieve, classify, acknowledge."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG

from airflow_pop3_gateway.sdk import (
    POP3_RETRY_POLICY,
    AcknowledgeOperator,
    ClassifyOperator,
    RetrieveOperator,
)

DOC = """
### Poll one mailbox

Every five minutes one session empties the mailbox of the connection `pop3_default` into object storage; then each mail
becomes one record with its files, and whoever asked for an acknowledgment gets one through the connection
`smtp_default`.

* **Run it again whenever you like**: what is stored is not fetched twice, nothing is extracted or sent twice.
* `airflow pop3-gateway suspend pop3_default` suspends polling until `resume`, whatever DAG polls.
* Files lie under `[pop3_gateway] base_path`; a task downstream finds them with `transfers_of(...)`.
* If another DAG polls the same mailbox, give both `retrieve` tasks a pool of one slot: a POP3 mailbox serves one
  session at a time.
"""

# [START poll_one_site]
with DAG(
    "pop3_poll_one_site",
    schedule=timedelta(minutes=5),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 5, "retry_policy": POP3_RETRY_POLICY},
    doc_md=DOC,
    tags=["pop3"],
):
    retrieve = RetrieveOperator(task_id="retrieve", pop3_conn_id="pop3_default")
    classify = ClassifyOperator(task_id="classify", retrieved=retrieve.output)
    acknowledge = AcknowledgeOperator(task_id="acknowledge", classified=classify.output)
# [END poll_one_site]
