"""Poll many POP3 mailboxes with one DAG: one mapped task for each."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, task, task_group

from airflow_pop3_gateway.sdk import (
    POP3_RETRY_POLICY,
    AcknowledgeOperator,
    ClassifyOperator,
    RetrieveOperator,
    sites_from_variable,
)

DOC = """
### Poll many mailboxes

The Variable `pop3_sites` lists connection ids of type `pop3` as JSON, for example `["orders", "invoices"]`; without
it the one mailbox `pop3_default` is polled. Adding a mailbox is adding a word there. `sites_from_file` and
`sites_of_airflow` (every connection of type `pop3`) take the place of `sites_from_variable` where you like.

* Each mailbox is retrieved, classified and acknowledged by itself: when one fails, the others finish.
* At most eight sessions run at once. When other DAGs use the same servers, let a pool bound them all together:
  `airflow pools set pop3_sessions 8 "POP3 sessions"`, and `POOL = "pop3_sessions"` below.
"""

POOL = "default_pool"

# [START poll_many_sites]
with DAG(
    "pop3_poll_many_sites",
    schedule=timedelta(minutes=5),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 5, "retry_policy": POP3_RETRY_POLICY},
    doc_md=DOC,
    tags=["pop3"],
):

    @task
    def sites() -> list[str]:
        """Connection ids of the mailboxes to poll."""
        return sites_from_variable("pop3_sites", default=["pop3_default"])

    @task_group
    def poll(pop3_conn_id: str) -> None:
        """One mailbox, from the server to its receipts."""
        retrieve = RetrieveOperator(
            task_id="retrieve",
            pop3_conn_id=pop3_conn_id,
            pool=POOL,
            max_active_tis_per_dagrun=8,
            map_index_template="{{ task.pop3_conn_id }}",
        )
        classify = ClassifyOperator(
            task_id="classify", retrieved=retrieve.output, map_index_template="{{ task.retrieved.site }}"
        )
        AcknowledgeOperator(
            task_id="acknowledge", classified=classify.output, map_index_template="{{ task.classified.site }}"
        )

    poll.expand(pop3_conn_id=sites())
# [END poll_many_sites]
