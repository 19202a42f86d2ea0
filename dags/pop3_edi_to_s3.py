"""Copy each EDI file of the Application EDI to a bucket."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, PartitionedAssetTimetable, task

from airflow_pop3_gateway.sdk import each, handed_on

DOC = """
### EDI files go to a bucket

Each run has one mail of the Application `EDI`. Its files are copied to `s3://aws_default@edi-inbox/<mailbox>/<local
ident>/<name>`: the same mail always makes the same keys, so a run that is repeated changes nothing.

* The DAG that polls chooses the Application (`choose=[{"application": "EDI", "file_name": "*.edi"}]`) and hands on:
  `HandOnOperator(task_id="hand_on", application="EDI")`.
"""

INBOX = "s3://aws_default@edi-inbox"

# [START edi_to_s3]
with DAG(
    "pop3_edi_to_s3",
    schedule=PartitionedAssetTimetable(assets=each("EDI")),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=4,
    default_args={"retries": 2},
    doc_md=DOC,
    tags=["pop3"],
):

    @task
    def copy() -> list[str]:
        """Every file of the mail; names are safe, the gateway made them so."""
        copies = []
        with handed_on() as record:
            for file in record["files"]:
                target = (
                    ObjectStoragePath(INBOX) / record["originator"] / record["local_ident"] / file["name"]
                )
                ObjectStoragePath(file["url"]).copy(target)
                copies.append(str(target))
        return copies

    copy()
# [END edi_to_s3]
