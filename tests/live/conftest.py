"""One real Airflow on each database, with a mailbox that Dovecot serves."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.dovecot import Dovecot
from support.parts import Airflow, Live
from support.postgres import Postgres

from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.testing.certificates import Certificates
from airflow_pop3_gateway.testing.smtp_server import SmtpServer

SAMPLES = Path(__file__).parents[2] / "dags"
PAGES = Path(__file__).parents[2] / "docs"
EACH = """
import os
import pendulum
from airflow.sdk import DAG, PartitionedAssetTimetable, get_current_context, task
from airflow_pop3_gateway.sdk import each, handed_on

with DAG("each", schedule=PartitionedAssetTimetable(assets=each("MAIL")), max_active_runs=6, catchup=False):

    @task
    def process():
        with handed_on() as record:
            line = f"{record['subject']} {get_current_context()['dag_run'].run_id}\\n"
            descriptor = os.open("PROCESSED", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(descriptor, line.encode())
            os.close(descriptor)

    process()
"""
ANOTHER = """
import os
import signal
from datetime import timedelta
from airflow.sdk import DAG, task
from airflow_pop3_gateway.sdk import HandOnOperator, Pop3MailSensor, application, mailbox

with DAG("another", schedule=None):

    @task(inlets=[mailbox("edi_inbox")])
    def look(): ...

    look()

with DAG("told", schedule=[application("MAIL")], catchup=False):

    @task
    def read(triggering_asset_events=None):
        return [event.extra["messages"] for events in triggering_asset_events.values() for event in events]

    read()

with DAG("sweep", schedule=None):
    HandOnOperator(task_id="hand_on", application="MAIL", again_after=0)

class Frail(Pop3MailSensor):
    def execute_complete(self, context, event):
        if context["ti"].try_number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute_complete(context, event)

for dag_id, kind in ("waits", Pop3MailSensor), ("frail", Frail):
    with DAG(dag_id, schedule=None):
        kind(
            task_id="wait",
            pop3_conn_id="second_inbox",
            subject="{{ dag_run.conf['subject'] }}",
            min_messages=2,
            poke_interval=1,
            retries=1,
            retry_delay=timedelta(seconds=1),
        )
"""
DEADLINE = """
from datetime import timedelta
from airflow.providers.smtp.notifications.smtp import SmtpNotifier
from airflow_pop3_gateway.sdk import Pop3MailSensor
RECIPE
    Pop3MailSensor(task_id="wait", pop3_conn_id="second_inbox", subject="never", poke_interval=60, timeout=20)
"""


def recipe(page: str, mark: str) -> str:
    """The block of a page that has this mark."""
    blocks = re.findall(r"^```python\n(.*?)^```", (PAGES / page).read_text(), re.M | re.S)
    (found,) = [block for block in blocks if mark in block]
    return str(found)


@pytest.fixture(scope="session")
def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[Live]:
    home = tmp_path_factory.mktemp(request.param)
    with ExitStack() as stack:
        database = f"sqlite:///{home}/airflow.db"
        if request.param == "postgres":
            database = stack.enter_context(Postgres()).url
        dovecot = stack.enter_context(Dovecot(certificates))
        connections = {
            login: {
                "conn_type": "pop3",
                "host": dovecot.host,
                "port": dovecot.port,
                "login": dovecot.add(login),
                "password": dovecot.password,
                "extra": {"security": "plain", "poll_interval": 1},
            }
            for login in ("edi_inbox", "second_inbox")
        }
        relay = stack.enter_context(SmtpServer(security="starttls", certificates=certificates))
        connections["smtp_default"] = {
            "conn_type": "smtp",
            "host": relay.host,
            "port": relay.port,
            "extra": {"disable_ssl": True, "ssl_context": "none", "from_email": "airflow@us.example"},
        }
        airflow = Airflow(home, database, connections)
        processed = home / "processed.txt"
        processed.touch()
        shutil.copy(SAMPLES / "pop3_on_mail.py", airflow.dags)
        (airflow.dags / "each.py").write_text(EACH.replace("PROCESSED", str(processed)))
        (airflow.dags / "another.py").write_text(ANOTHER)
        told = (
            recipe("howto/track.md", "DeadlineAlert(")
            .replace("hours=4", "seconds=1")
            .replace("    ...\n", "")
        )
        (airflow.dags / "deadline.py").write_text(DEADLINE.replace("RECIPE", told))
        stack.enter_context(airflow)
        yield Live(airflow, dovecot.deliver, dovecot.mails, relay, processed, Store.at(home / "base"))
