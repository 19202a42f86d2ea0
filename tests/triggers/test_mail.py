"""In the triggerer: one event, enough mail or an error that waiting cannot mend."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from airflow.sdk.serde import deserialize, serialize

from airflow_pop3_gateway.gateway.peek import Awaited
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server
from airflow_pop3_gateway.triggers import Pop3MailTrigger
from airflow_pop3_gateway.triggers.watch import Rhythm

LETTER = b"From: partner@example.com\r\nSubject: %s\r\n\r\nhello\r\n"


def trigger(base_path: str, **awaited: Any) -> Pop3MailTrigger:
    return Pop3MailTrigger(
        pop3_conn_id="orders",
        base_path=base_path,
        poke_interval=0.01,
        awaited=Awaited(**awaited).to_json(),
    )


def events(subject: Pop3MailTrigger) -> list[Any]:
    async def run() -> list[Any]:
        return [event.payload async for event in subject.run()]

    return asyncio.run(run())


def test_it_fires_once_there_is_enough(server: FaultyPop3Server, base_path: str) -> None:
    server.mailboxes["orders"].deliver(LETTER % b"one")
    (event,) = events(trigger(base_path))
    assert event["look"]["messages"] == 1


def test_it_waits_for_mail_that_fits(server: FaultyPop3Server, base_path: str) -> None:
    async def run() -> Any:
        box = server.mailboxes["orders"]
        box.deliver(LETTER % b"other")
        waiting = asyncio.create_task(anext(trigger(base_path, subject="invoice*").run()))
        while box.logins < 3:
            await asyncio.sleep(0.01)
        assert not waiting.done()
        box.deliver(LETTER % b"invoice 7")
        return (await waiting).payload

    assert asyncio.run(run())["look"]["messages"] == 1


def test_what_may_pass_only_postpones_and_is_told_once(
    server: FaultyPop3Server, base_path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    server.faults = {"in-use"}
    server.mailboxes["orders"].deliver(LETTER % b"one")

    async def run() -> Any:
        waiting = asyncio.create_task(anext(trigger(base_path).run()))
        while sum(line.startswith("PASS") for line in server.transcript) < 3:
            await asyncio.sleep(0.01)
        server.faults = set()
        return (await waiting).payload

    assert "look" in asyncio.run(run())
    assert capsys.readouterr().out.count("MailboxInUse") == 1


def test_a_connection_that_airflow_does_not_give_for_a_while_only_postpones(
    server: FaultyPop3Server, base_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.mailboxes["orders"].deliver(LETTER % b"one")
    connection = os.environ["AIRFLOW_CONN_ORDERS"]
    monkeypatch.delenv("AIRFLOW_CONN_ORDERS")
    troubles = []

    def comes_back(rhythm: Rhythm, error: Exception) -> float:
        troubles.append(error)
        monkeypatch.setenv("AIRFLOW_CONN_ORDERS", connection)
        return 0

    monkeypatch.setattr(Rhythm, "after_trouble", comes_back)
    (event,) = events(trigger(base_path))
    assert event["look"]["messages"] == len(troubles) == 1


@pytest.mark.parametrize(
    ("fault", "error"), [("auth-fail", "AuthenticationFailed"), ("sys-perm", "ServerBroken")]
)
def test_what_waiting_cannot_mend_ends_it_at_once(
    server: FaultyPop3Server, base_path: str, fault: str, error: str
) -> None:
    server.faults = {fault}
    (event,) = events(trigger(base_path))
    assert event["error"] == error
    assert server.password not in str(event)
    assert sum(line.startswith("PASS") for line in server.transcript) == 1


def test_another_triggerer_goes_on_with_what_was_serialised(server: FaultyPop3Server, base_path: str) -> None:
    server.mailboxes["orders"].deliver(LETTER % b"one")
    path, kwargs = trigger(base_path, min_messages=1).serialize()
    assert path == "airflow_pop3_gateway.triggers.mail.Pop3MailTrigger"
    assert "secret" not in str(kwargs)
    (event,) = events(Pop3MailTrigger(**deserialize(serialize(kwargs))))
    assert event["look"]["messages"] == 1
