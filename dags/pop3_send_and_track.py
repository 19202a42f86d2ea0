"""Send a file to a partner by e-mail, and ask for its acknowledgment."""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow.sdk import DAG, Param

from airflow_pop3_gateway.sdk import POP3_RETRY_POLICY, AcknowledgmentSensor, SendTransferOperator

DOC = """
### Send a file and track it

`send` attaches a file to a mail and sends it to a partner. It asks for a report of the delivery (DSN) and for a receipt
of the partner's application (MDN); both come back to the mailbox `pop3_default`, which another DAG polls.

`acknowledged` waits for them in the triggerer; it fails when the partner refuses the file, or is silent for four hours.

* A retry sends to those who have not got it yet, under the same Message-ID; nobody gets it twice by our doing.
* The connection `pop3_default` brings the From address and names the connection of type `smtp`.
"""

# [START send_and_track]
with DAG(
    "pop3_send_and_track",
    schedule=None,
    start_date=pendulum.datetime(2026, 1, 1, tz="UTC"),
    default_args={"retries": 5, "retry_policy": POP3_RETRY_POLICY},
    params={
        "file": Param("file:///data/ORDERS.edi", type="string"),
        "to": Param("orders@supplier.example", type="string"),
    },
    doc_md=DOC,
    tags=["pop3"],
):
    send = SendTransferOperator(
        task_id="send",
        pop3_conn_id="pop3_default",
        to="{{ params.to }}",
        file="{{ params.file }}",
        subject="Orders of {{ dag_run.run_after | ds }}",
        xfb={"appli": "ORDERS"},
        ack_within=timedelta(hours=4),
    )
    acknowledged = AcknowledgmentSensor(task_id="acknowledged", sent=send.output, poke_interval=300)
# [END send_and_track]
