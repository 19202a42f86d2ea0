"""Forward each mail of the Application FORWARD as it came."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, PartitionedAssetTimetable, task

from airflow_pop3_gateway.sdk import POP3_RETRY_POLICY, each, handed_on, send_transfer

DOC = """
### Forward mails

Each run has one mail of the Application `FORWARD`, kept whole, and sends it to `archive@example.com` octet for octet:
signatures still verify. The mail's record names the transfer, so that a run that is repeated does not send it twice.

* The DAG that polls keeps these mails whole, `applications=[Application("FORWARD", extract_file=False)]`, chooses them,
  `choose=[{"application": "FORWARD", "to": "*@archive.example.com"}]`, and hands on:
  `HandOnOperator(task_id="hand_on", application="FORWARD")`.
* Never forward to a mailbox that is polled by the same rule: the mail would come back and be kept as a duplicate.
"""

# [START forward]
with DAG(
    "pop3_forward",
    schedule=PartitionedAssetTimetable(assets=each("FORWARD")),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=4,
    default_args={"retries": 5, "retry_policy": POP3_RETRY_POLICY},
    doc_md=DOC,
    tags=["pop3"],
):

    @task
    def forward() -> str:
        """The whole mail, from an address of ours."""
        with handed_on() as record:
            (mail,) = record["files"]
            sent = send_transfer(
                ready_made=mail["url"],
                to="archive@example.com",
                from_="gateway@example.com",
                acknowledgment_option="not_to_ack",
                transfer_id=record["key"],
            )
        return str(sent["xfer_ident"])

    forward()
# [END forward]
