"""Tasks that answer requests for receipts: by an outcome, by how tasks ended, by what a person chose."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timezone
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, task
from support.maildrop import ASKS_FOR_A_RECEIPT, attachment, multipart
from support.tasks import Outcome

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.hooks.answers import answer_transfer
from airflow_pop3_gateway.hooks.store import open_store, transfers_of
from airflow_pop3_gateway.operators import (
    AcknowledgeOperator,
    AnswerOperator,
    AskForReceiptOperator,
    ClassifyOperator,
    ReceiptRequestsOperator,
    RetrieveOperator,
)
from airflow_pop3_gateway.operators.answer import outcome_of, states_of
from airflow_pop3_gateway.operators.ask import as_code
from airflow_pop3_gateway.store import answers, outbox
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server
from airflow_pop3_gateway.testing.smtp_server import SmtpServer

Run = Callable[..., Outcome]


@pytest.fixture
def classify(server: FaultyPop3Server, connection: Callable[..., str], run_task: Run) -> Callable[..., Any]:
    """Classifies a mailbox of mails that ask for receipts, with options of the connection."""

    def classified(count: int, **options: Any) -> Any:
        connection("orders", conn_type="pop3", host=server.host, port=server.port, login="orders",
                   password=server.password, extra={"security": "plain", "mail_address": "o@us.example", **options})  # fmt: skip
        for number in range(count):
            mail = multipart(number, attachment(b"a.txt", b"a"), headers=ASKS_FOR_A_RECEIPT)
            server.mailboxes["orders"].deliver(mail)
        retrieved = run_task(RetrieveOperator(task_id="retrieve", pop3_conn_id="orders")).value
        return run_task(ClassifyOperator(task_id="classify", retrieved=retrieved)).value

    return classified


def test_a_batch_is_answered_at_once_and_the_answer_says_by_which_task(
    classify: Callable[..., Any], run_task: Run, base_path: str
) -> None:
    classified = classify(2, acknowledge_after="processed")
    assert classified["receipts"] == 0
    first = AnswerOperator(task_id="answer", classified=classified, outcome="processed")
    told = run_task(first).value
    assert (told["answered"], told["pop3_conn_id"]) == (2, "orders")
    store = open_store(base_path)
    assert len(outbox.pending(store, "orders")) == 2
    given = {answer.by for answer in answers.answers_of(store, classified["batches"][0])}
    assert given == {"mail/manual/answer"}
    late = run_task(AnswerOperator(task_id="late", classified=classified, outcome="failed"))
    assert (late.state, len(late.value["contradicted"])) == ("success", 2)


def test_one_mail_is_answered_by_its_line(
    classify: Callable[..., Any], run_task: Run, base_path: str
) -> None:
    one, two = transfers_of(classify(2, acknowledge_after="processed"))
    answered = run_task(AnswerOperator(task_id="answer", transfer=one, outcome="failed", text="no")).value
    assert (answered["answered"], answered["base_path"]) == (1, base_path)
    with DAG("own", schedule=None):

        @task
        def own() -> Any:
            return answer_transfer(two, "processed")

        assert run_task(own().operator).value["answered"] == 1


def test_what_needs_a_person_is_named_and_left(classify: Callable[..., Any], run_task: Run) -> None:
    (line,) = transfers_of(classify(1, acknowledgment_option="ack_by_user"))
    told = run_task(AnswerOperator(task_id="answer", transfer=line, outcome="processed")).value
    assert (told["answered"], told["held"]) == (0, [line["local_ident"]])


@pytest.mark.parametrize(
    ("states", "outcome"),
    [
        (["success"], "processed"),
        (["success", "success"], "processed"),
        (["success", "failed"], "failed"),
        (["upstream_failed"], "failed"),
        (["success", "skipped"], ""),
        ([None], ""),
        ([], ""),
    ],
)
def test_how_tasks_ended_is_the_outcome(states: list[str | None], outcome: str) -> None:
    assert outcome_of(states) == outcome


@pytest.mark.parametrize(
    ("map_index", "states", "expected"),
    [
        (-1, {"p": "success"}, ["success"]),
        (-1, {"p_0": "success", "p_1": "failed", "p_x": "skipped"}, ["success", "failed"]),
        (1, {"p_0": "success", "p_1": "failed"}, ["failed"]),
        (1, {"p": "success", "p_1": "failed"}, ["success"]),
        (-1, {}, []),
    ],
)
def test_of_a_mapped_task_the_one_with_our_index_counts(
    map_index: int, states: dict[str, str], expected: list[str]
) -> None:
    instance = SimpleNamespace(
        dag_id="d", run_id="r", map_index=map_index, get_task_states=lambda **asked: {"r": states}
    )
    assert states_of({"ti": instance}, ["p"]) == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "give an outcome"),
        ({"outcome": "processed", "processed_by": ["p"]}, "give an outcome"),
        ({"outcome": 1}, "outcome must be"),
        ({"outcome": "processed", "classified": {}, "transfer": {}}, "not both"),
        ({"outcome": "processed", "transfer": "x"}, "transfer must be"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        AnswerOperator(task_id="answer", **arguments)


def test_an_outcome_that_is_none_fails_at_once(classify: Callable[..., Any], run_task: Run) -> None:
    outcome = run_task(AnswerOperator(task_id="answer", classified=classify(0), outcome="fine"))
    assert (outcome.state, "outcome='fine'" in str(outcome.error)) == ("failed", True)


# -- the relay ------------------------------------------------------------------------------------------------


@pytest.fixture
def acknowledge(
    smtp_server: Callable[..., SmtpServer], connection: Callable[..., str], run_task: Run
) -> Callable[..., tuple[Outcome, SmtpServer]]:
    """Sends what waits by a relay with these faults."""

    def acknowledged(*faults: str) -> tuple[Outcome, SmtpServer]:
        relay = smtp_server(*faults)
        connection("smtp_default", conn_type="smtp", host=relay.host, port=relay.port,
                   extra={"disable_ssl": True, "disable_tls": True})  # fmt: skip
        return run_task(AcknowledgeOperator(task_id="acknowledge", pop3_conn_id="orders")), relay

    return acknowledged


def test_a_relay_that_refuses_the_null_sender_gets_the_one_of_the_connection(
    classify: Callable[..., Any], acknowledge: Callable[..., tuple[Outcome, SmtpServer]]
) -> None:
    classify(1, receipt_sender="receipts@us.example")
    outcome, relay = acknowledge("refuse-null-sender")
    assert outcome.value["sent"] == 1
    assert [each.mail_from for each in relay.box] == ["receipts@us.example"]


def test_without_one_the_refusal_is_final_and_visible(
    classify: Callable[..., Any], acknowledge: Callable[..., tuple[Outcome, SmtpServer]], base_path: str
) -> None:
    (line,) = transfers_of(classify(1))
    outcome, _ = acknowledge("refuse-null-sender")
    assert (outcome.state, outcome.value["refused"]) == ("success", 1)
    receipt = outbox.read(open_store(base_path), line["acknowledgment"]["receipts"][0])
    assert (receipt.state, "550" in receipt.last_error) == ("REFUSED", True)


def test_the_task_fails_while_the_relay_says_later_and_not_for_the_limit(
    classify: Callable[..., Any], acknowledge: Callable[..., tuple[Outcome, SmtpServer]]
) -> None:
    """Before the next attempt is due it fails at once: with its retries one address would hold up every run."""
    classify(2, receipts_per_hour=1)
    first, _ = acknowledge()
    assert (first.state, first.value["sent"], first.value["limited"]) == ("success", 1, 1)
    classify(1)
    later, _ = acknowledge("sender-4xx")
    again, relay = acknowledge()
    assert (later.state, again.state, relay.box) == ("up_for_retry", "failed", [])
    assert "next_attempt_at" in str(again.error)


# -- a person --------------------------------------------------------------------------------------------------


@pytest.fixture
def request_of(classify: Callable[..., Any], run_task: Run) -> Any:
    """The one request that waits for a person."""
    classified = classify(1, acknowledgment_option="ack_by_user")
    (request,) = run_task(ReceiptRequestsOperator(task_id="requests", classified=classified)).value
    return request


def chosen(choice: str, text: str = "", **event: Any) -> dict[str, Any]:
    return {
        "chosen_options": [choice],
        "params_input": {"text": text},
        "responded_at": datetime(2026, 11, 23, tzinfo=timezone.utc),
        "responded_by_user": {"id": "7", "name": "anna"},
        "timedout": False,
        **event,
    }


def test_only_what_needs_a_person_is_asked(classify: Callable[..., Any], run_task: Run) -> None:
    classified = classify(2, acknowledge_after="processed")
    assert run_task(ReceiptRequestsOperator(task_id="requests", classified=classified)).value == []


def test_no_more_are_asked_at_once_than_the_task_says(classify: Callable[..., Any], run_task: Run) -> None:
    classify(3, acknowledgment_option="ack_by_user")
    listed = run_task(ReceiptRequestsOperator(task_id="requests", pop3_conn_id="orders", most=2)).value
    assert len(listed) == 2


def test_asking_parks_the_task(request_of: Any, run_task: Run) -> None:
    assert run_task(AskForReceiptOperator(task_id="ask", request=request_of)).state == "awaiting_input"


@pytest.mark.parametrize(
    ("choice", "outcome"), [("Acknowledge", "processed"), ("Refuse", "failed"), ("No receipt", "none")]
)
def test_what_a_person_chose_is_the_answer(
    request_of: Any, base_path: str, choice: str, outcome: str
) -> None:
    ask = AskForReceiptOperator(task_id="ask", request=request_of)
    assert ask.execute_complete({}, chosen(choice, "seen"))["answered"] == 1  # type: ignore[typeddict-item]
    answer = answers.find_answer(open_store(base_path), request_of["local_ident"])
    assert answer is not None
    assert (answer.outcome, answer.text, answer.by, answer.by_a_person) == (outcome, "seen", "anna", True)


def test_silence_sends_nothing_and_the_request_keeps_waiting(request_of: Any, base_path: str) -> None:
    ask = AskForReceiptOperator(task_id="ask", request=request_of)
    event = chosen("No receipt", timedout=True, responded_by_user=None)
    assert ask.execute_complete({}, event)["answered"] == 0  # type: ignore[typeddict-item]
    assert answers.waiting(open_store(base_path), "orders") == [request_of["local_ident"]]


def test_nobody_is_asked_about_what_was_answered_meanwhile(request_of: Any, run_task: Run) -> None:
    ask = AskForReceiptOperator(task_id="ask", request=request_of)
    ask.execute_complete({}, chosen("Acknowledge"))  # type: ignore[typeddict-item]
    assert run_task(AskForReceiptOperator(task_id="again", request=request_of)).state == "success"


@pytest.mark.parametrize(
    "text", ["*x*", "`x`", "a``b", "<script>", "[x](http://e.example)", "line\n# head", "", "{{ x }}", "`"]
)
def test_a_strangers_text_is_shown_as_code_on_one_line(text: str) -> None:
    shown = as_code(text)
    fence = re.match("`+", shown)
    assert fence is not None and "\n" not in shown
    inner = shown.removeprefix(fence[0]).removesuffix(fence[0])
    assert len(shown) - len(inner) == 2 * len(fence[0])
    assert fence[0] not in re.findall("`+", inner)
