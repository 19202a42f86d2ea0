"""Load each CSV attachment of the Application CSV into a table."""

from __future__ import annotations

import csv
import io

import pendulum
from airflow.sdk import DAG, BaseHook, ObjectStoragePath, PartitionedAssetTimetable, task

from airflow_pop3_gateway.sdk import each, handed_on

DOC = """
### CSV attachments become rows

Each run has one mail of the Application `CSV`. The first line of a file names the columns of the table `orders`, in the
database of the connection `warehouse`; any database Airflow has a hook for will do.

* The DAG that polls chooses the Application (`choose=[{"application": "CSV", "file_name": "*.csv"}]`) and hands on:
  `HandOnOperator(task_id="hand_on", application="CSV")`.
* All rows of a file go in by one transaction. A run that dies after it and before its end would load the file again:
  give the table a key, and `insert_rows(…, replace=True)`.
"""

# [START csv_to_table]
with DAG(
    "pop3_csv_to_table",
    schedule=PartitionedAssetTimetable(assets=each("CSV")),
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=4,
    default_args={"retries": 2},
    doc_md=DOC,
    tags=["pop3"],
):

    @task
    def load() -> int:
        """Rows of every file, all or none of a file."""
        database = BaseHook.get_connection("warehouse").get_hook()
        loaded = 0
        with handed_on() as record:
            for file in record["files"]:
                text = ObjectStoragePath(file["url"]).read_text(encoding="utf-8-sig")
                columns, *rows = csv.reader(io.StringIO(text))
                database.insert_rows("orders", rows, target_fields=columns, commit_every=0)
                loaded += len(rows)
        return loaded

    load()
# [END csv_to_table]
