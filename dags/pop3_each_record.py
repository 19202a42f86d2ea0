"""One run for each record that was stored."""

from __future__ import annotations

import pendulum
from airflow.sdk import DAG, ObjectStoragePath, PartitionedAssetTimetable, task

from airflow_pop3_gateway.sdk import each, handed_on

DOC = """
### One run for each record

Each run has one record of the Application `MAIL`: a mail with its files. The run's partition key is the record's key.

* Another run for the same record skips. A run that failed is cleared as any run is, and takes its record again.
* Replace what `process` does with the files by your own.
"""

# [START each_record]
with DAG(
    "pop3_each_record",
    schedule=PartitionedAssetTimetable(assets=each("MAIL")),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=8,
    default_args={"retries": 2},
    doc_md=DOC,
    tags=["pop3"],
):

    @task
    def process() -> dict[str, int]:
        """Count the lines of each file."""
        with handed_on() as record:
            return {
                file["name"]: ObjectStoragePath(file["url"]).read_bytes().count(b"\n")
                for file in record["files"]
            }

    process()
# [END each_record]
