"""All of Airflow at once: the scheduler polls a mailbox because its time has come."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_pop3_gateway.demo.standalone import (
    PASSWORD,
    USER,
    airflow_running,
    free_port,
    prepared,
    settings,
)
from airflow_pop3_gateway.demo.surroundings import Surroundings
from airflow_pop3_gateway.hooks.sites import sites_of_airflow
from airflow_pop3_gateway.testing import letters
from airflow_pop3_gateway.testing.smtp_server import Delivered


class Box(list[Delivered]):
    """Tells when something is put in."""

    def __init__(self) -> None:
        super().__init__()
        self.filled = threading.Event()

    def append(self, message: Delivered) -> None:
        super().append(message)
        self.filled.set()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_scheduler_empties_a_mailbox_the_receipt_goes_out_and_the_api_lists_the_sites(
    tmp_path: Path, connection: Callable[..., str]
) -> None:
    """A minute: database, API server, scheduler, DAG processor and triggerer start; nobody triggers anything."""
    port = free_port()
    (tmp_path / "simple_auth_manager_passwords.json.generated").write_text(json.dumps({USER: PASSWORD}))
    mails = [letters.file_attached(), letters.asks_for_receipt()]
    with Surroundings(tmp_path, {"pop3_default": mails}, settings(port)) as around:
        around.smtp.box = box = Box()
        assert prepared(around)
        with airflow_running(around, tmp_path / "airflow.log"):
            assert box.filled.wait(400), (tmp_path / "airflow.log").read_text()[-5000:]
            api = connection(
                "api", conn_type="http", host="127.0.0.1", port=port, login=USER, password=PASSWORD
            )
            assert sites_of_airflow(api) == ["pop3_default"]
            assert "Workload execution failed" not in (tmp_path / "airflow.log").read_text()
        assert [message.recipients for message in box] == [(letters.PARTNER,)]
        assert around.pop3.mails("pop3_default") == []
        names = sorted(key.rpartition("/")[2] for key in around.store().walk("files"))
    assert names == ["INVOIC.edi", "ORDERS.edi"]
