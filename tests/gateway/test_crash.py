"""Kill -9 between any two steps of the way of a mail, run again: the same final state."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

from airflow_pop3_gateway.records import TransferRecord
from airflow_pop3_gateway.store import Store, outbox
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server
from airflow_pop3_gateway.testing.smtp_server import SmtpServer

ASKS = (
    b"Return-Path: <p@partner.example>\r\nMessage-ID: <1@partner.example>\r\nFrom: p@partner.example\r\n"
    b"Disposition-Notification-To: p@partner.example\r\nSubject: order\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nsee attached\r\n'
    b'--b\r\nContent-Type: application/edifact; name="order.edi"\r\n\r\nUNA:+.? \r\n--b--\r\n'
)
TEXT = (
    b"Message-ID: <2@partner.example>\r\nFrom: p@partner.example\r\nSubject: hello\r\n\r\n"
    + b"long text \r\n" * 50
)
TWO_FILES = (
    b'Message-ID: <3@partner.example>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\n'
    b'--b\r\nContent-Type: application/pdf; name="a.pdf"\r\n\r\n%PDF-a\r\n'
    b'--b\r\nContent-Type: application/pdf; name="b.pdf"\r\n\r\n%PDF-b\r\n--b--\r\n'
)
MAILS = (ASKS, TEXT, ASKS, TWO_FILES)  # a transfer, a message, a duplicate, a mail to recover


class Way:
    """The servers, the store and the child that runs the way of the mails in it."""

    def __init__(
        self, runner: subprocess.Popen[str], pop3: FaultyPop3Server, smtp: SmtpServer, base: Path
    ) -> None:
        self._runner, self.pop3, self.smtp, self.base = runner, pop3, smtp, base

    def run(self, die_at: int = 0, together: bool = True, **site: Any) -> dict[str, int]:
        """Once through, dying at a step. :returns: exit status (negative: a signal) and steps taken.

        :param together: the store makes many objects durable at once.
        """
        order: dict[str, Any] = {
            "pop3": self.pop3.port,
            "smtp": self.smtp.port,
            "base": str(self.base),
            "login": "edi",
        }
        assert self._runner.stdin is not None and self._runner.stdout is not None
        order |= {"die_at": die_at, "together": together, "site": site}
        self._runner.stdin.write(json.dumps(order) + "\n")
        self._runner.stdin.flush()
        return dict(json.loads(self._runner.stdout.readline()))

    def fresh(self, base: Path) -> None:
        """Begin again: a full maildrop, an empty store, an empty box."""
        self.base = base
        self.base.mkdir()
        mailbox = self.pop3.mailboxes["edi"]
        mailbox.mails.clear()
        for mail in MAILS:
            mailbox.deliver(mail)
        self.smtp.box.clear()

    def records(self) -> list[TransferRecord]:
        store = Store.at(self.base)
        return [TransferRecord.from_json(json.loads(store.read(key))) for key in store.walk("records")]

    def check(self) -> None:
        """Nothing lost, nothing twice, nothing left over."""
        store = Store.at(self.base)
        records = self.records()
        assert not self.pop3.mailboxes["edi"].mails, "the maildrop is empty"
        assert sorted(record.raw.sha256 for record in records) == sorted(
            hashlib.sha256(m).hexdigest() for m in MAILS
        )
        assert Counter((record.type, record.file_name, record.state) for record in records) == Counter(
            [
                ("XFER", "order.edi", "ENDED"),
                ("MSG", "MAIL", "ENDED"),
                ("XFER", "DUPLICATE", "ENDED"),
                ("XFER", "RECOVER", "ENDED"),
            ]
        )
        named = [file for record in records for file in record.files]
        assert sorted(file.path for file in named) == list(store.walk("files")), "every file has its record"
        for file in named:
            assert hashlib.sha256(store.read(file.path)).hexdigest() == file.sha256
        lines = [
            json.loads(line)["key"]
            for key in store.walk("transfers")
            for line in store.read(key).splitlines()
        ]
        assert sorted(lines) == sorted(record.key for record in records), "every record is in one line"
        assert outbox.pending(store, "edi") == []
        (receipt,) = [
            outbox.read(store, Path(key).stem) for key in store.walk("outbox") if key.count("/") == 1
        ]
        assert receipt.state == "SENT"
        idents = {message_from_bytes(delivery.octets)["Message-ID"] for delivery in self.smtp.box}
        assert idents == {receipt.message_id}


@pytest.fixture
def way(tmp_path: Path) -> Iterator[Way]:
    runner = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("crash_runner.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""},
    )
    with FaultyPop3Server(edi=()) as pop3, SmtpServer() as smtp:
        yield Way(runner, pop3, smtp, tmp_path)
    runner.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("together", [True, False], ids=["together", "one by one"])
def test_killed_at_every_step_the_next_run_repairs_what_is_left(
    way: Way, tmp_path: Path, together: bool
) -> None:
    way.fresh(tmp_path / "whole")
    whole = way.run(together=together)
    assert whole["status"] == 0
    way.check()
    assert len(way.smtp.box) == 1
    killed = sent_twice = 0
    for step in range(1, whole["steps"] + 1):
        way.fresh(tmp_path / f"step-{step}")
        died = way.run(die_at=step, together=together)
        killed += died["status"] == -9
        assert way.run(together=together)["status"] == 0, f"the run after a death at step {step}"
        way.check()
        assert len(way.smtp.box) <= 2
        sent_twice += len(way.smtp.box) == 2
    assert killed >= whole["steps"] - 8, "threads of one process may take a few steps more or less"
    assert sent_twice <= 4, "only between the relay's 250 and our SENT, and then under the same Message-ID"


def test_a_third_run_does_nothing(way: Way, tmp_path: Path) -> None:
    way.fresh(tmp_path / "again")
    way.run()
    way.run()  # the second run confirms the deletions in the ledger
    before = {path: path.read_bytes() for path in way.base.rglob("*") if path.is_file()}
    way.run()
    assert {path: path.read_bytes() for path in way.base.rglob("*") if path.is_file()} == before
    assert len(way.smtp.box) == 1


def test_a_crash_with_keep_never_deletes(way: Way, tmp_path: Path) -> None:
    """The dead session's batch is taken over with the retention of the site."""
    way.fresh(tmp_path / "keep")
    steps = way.run(retention="keep")["steps"]
    for step in range(1, steps + 1, 7):
        way.fresh(tmp_path / f"keep-{step}")
        way.run(die_at=step, retention="keep")
        assert way.run(retention="keep")["status"] == 0
        assert len(way.pop3.mailboxes["edi"].mails) == len(MAILS)
        assert len(way.records()) == len(MAILS)
