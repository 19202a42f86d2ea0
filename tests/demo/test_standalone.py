"""All of Airflow at once: the scheduler polls a mailbox because its time has come."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from airflow_pop3_gateway.demo.standalone import airflow_running, free_port, prepared, settings
from airflow_pop3_gateway.demo.surroundings import Surroundings
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
def test_the_scheduler_empties_a_mailbox_and_the_receipt_goes_out(tmp_path: Path) -> None:
    """A minute: database, API server, scheduler, DAG processor and triggerer start; nobody triggers anything."""
    mails = [letters.file_attached(), letters.asks_for_receipt()]
    with Surroundings(tmp_path, {"pop3_default": mails}, settings(free_port())) as around:
        around.smtp.box = box = Box()
        assert prepared(around)
        with airflow_running(around, tmp_path / "airflow.log"):
            assert box.filled.wait(400), (tmp_path / "airflow.log").read_text()[-5000:]
        assert [message.recipients for message in box] == [(letters.PARTNER,)]
        assert around.pop3.mails("pop3_default") == []
        names = sorted(key.rpartition("/")[2] for key in around.store().walk("files"))
    assert names == ["INVOIC.edi", "ORDERS.edi"]
