"""Operators: parameters in, one call down, a small reference out."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator, task
from airflow.sdk.exceptions import AirflowFailException
from support.tasks import Outcome

from airflow_pop3_gateway import operators
from airflow_pop3_gateway.errors import ConfigurationError, MailboxInUse, RelayUnavailable
from airflow_pop3_gateway.hooks.links import TransfersLink
from airflow_pop3_gateway.hooks.steps import poll_site
from airflow_pop3_gateway.hooks.store import transfers_of
from airflow_pop3_gateway.operators import (
    AcknowledgeOperator,
    Application,
    AskForReceiptOperator,
    Choice,
    ClassifyOperator,
    HandOnOperator,
    PurgeOperator,
    RetrieveOperator,
    SendTransferOperator,
)
from airflow_pop3_gateway.operators.site import SiteOperator
from airflow_pop3_gateway.sensors import AcknowledgmentSensor, Pop3MailSensor
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server

Run = Callable[[Any], Outcome]
LETTER = (
    b"From: partner@example.com\r\nTo: orders@example.com\r\nSubject: hello\r\nMessage-ID: <%d@example.com>\r\n"
    b"\r\nhello %d\r\n"
)
REQUEST = ("pop3_conn_id", "base_path", "local_ident", "subject", "body")
CLASSES = [getattr(operators, name) for name in operators.__all__ if name.endswith("Operator")]


def fill(server: FaultyPop3Server, count: int) -> None:
    for number in range(count):
        server.mailboxes["orders"].deliver(LETTER % (number, number))


def chain(run_task: Run) -> list[Any]:
    retrieved = run_task(RetrieveOperator(task_id="retrieve", pop3_conn_id="orders")).value
    classified = run_task(ClassifyOperator(task_id="classify", retrieved=retrieved)).value
    acknowledged = run_task(AcknowledgeOperator(task_id="acknowledge", classified=classified)).value
    return [retrieved, classified, acknowledged]


def test_a_mailbox_becomes_records_by_three_tasks_that_hand_on_references(
    server: FaultyPop3Server, base_path: str, run_task: Run
) -> None:
    fill(server, 3)
    retrieved, classified, acknowledged = chain(run_task)
    assert (retrieved["messages"], retrieved["deleted"]) == (3, 3)
    assert (classified["messages"], classified["types"]) == (3, {"MSG": 3})
    assert acknowledged["sent"] == 0
    for reference in (retrieved, classified, acknowledged):
        assert (reference["pop3_conn_id"], reference["base_path"]) == ("orders", base_path)
        assert len(json.dumps(reference)) < 2000
    assert [line["user_message"] for line in transfers_of(classified)] == [
        f"hello {number}" for number in range(3)
    ]
    assert not server.mailboxes["orders"].mails


def test_a_second_run_does_nothing_twice(server: FaultyPop3Server, run_task: Run) -> None:
    fill(server, 2)
    chain(run_task)
    retrieved, classified, _ = chain(run_task)
    assert (retrieved["messages"], retrieved["batches"], classified["messages"]) == (0, [], 0)


def test_one_function_does_it_all_in_a_task_of_ones_own(server: FaultyPop3Server, run_task: Run) -> None:
    fill(server, 2)
    with DAG("own", schedule=None):

        @task
        def own() -> Any:
            polled = poll_site("orders", choose=[{"application": "HELLO", "subject": "hello"}])
            return [polled["acknowledged"]["sent"], *transfers_of(polled["classified"])]

        sent, *lines = run_task(own().operator).value
    assert (sent, [line["application"] for line in lines]) == (0, ["HELLO", "HELLO"])


def test_a_task_of_ones_own_that_is_tried_again_gets_again_what_it_got(
    server: FaultyPop3Server, run_task: Run
) -> None:
    """What it did with the mails failed: they are classified by now, and no other run would be told of them."""
    fails = [True]
    with DAG("own", schedule=None):

        @task
        def own() -> Any:
            subjects = [line["subject"] for line in transfers_of(poll_site("orders")["classified"])]
            again = poll_site("orders")["classified"]["messages"]
            if fails:
                raise OSError("the warehouse is down")
            return [subjects, again]

        operator = own().operator
    fill(server, 2)
    first = run_task(operator)
    assert first.state == "up_for_retry"
    fails.clear()
    fill(server, 1)
    subjects, again = run_task(operator, after=first).value
    assert (len(subjects), again) == (3, 0)


def test_a_classification_that_is_tried_again_tells_again_what_it_classified(
    server: FaultyPop3Server, run_task: Run
) -> None:
    """A worker that dies when all is done has told nobody."""
    fill(server, 2)
    run_task(RetrieveOperator(task_id="retrieve", pop3_conn_id="orders"))
    classify = ClassifyOperator(task_id="classify", pop3_conn_id="orders")
    first = run_task(classify)
    again = run_task(classify, after=first)
    assert (first.value["messages"], again.value["messages"]) == (2, 2)
    assert again.value["batches"] == first.value["batches"]
    assert run_task(classify).value["messages"] == 0


def test_every_task_links_to_the_transfers_of_its_site(
    server: FaultyPop3Server, run_task: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/etl/")
    retrieve = RetrieveOperator(task_id="retrieve", pop3_conn_id="orders")
    classify = ClassifyOperator(task_id="classify", retrieved=run_task(retrieve).value)
    for step in (retrieve, classify):
        (link,) = step.operator_extra_links
        address = link.get_link(step, ti_key=None)
        assert address == "https://airflow.example.com/etl/pop3-gateway/#orders"


@pytest.mark.parametrize("kind", [*CLASSES, Pop3MailSensor, AcknowledgmentSensor])
def test_every_task_has_the_link(kind: type[BaseOperator]) -> None:
    assert [type(link) for link in kind.operator_extra_links] == [TransfersLink]


@pytest.mark.parametrize(
    ("step", "site"),
    [
        (Pop3MailSensor(task_id="t", pop3_conn_id="orders"), "#orders"),
        (AskForReceiptOperator(task_id="t", request=dict.fromkeys(REQUEST, "orders")), "#orders"),
        (SendTransferOperator(task_id="t", message="m", subject="s", pop3_conn_id="orders"), "#orders"),
        (SendTransferOperator(task_id="t", message="m", subject="s"), ""),
        (HandOnOperator(task_id="t", application="EDI"), ""),
        (AcknowledgmentSensor(task_id="t", sent="key"), ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseOperator) else "",
)
def test_a_task_of_no_site_links_to_the_page(
    step: BaseOperator, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com")
    (link,) = step.operator_extra_links
    address = link.get_link(step, ti_key=None)  # type: ignore[arg-type]
    assert address == f"https://airflow.example.com/pop3-gateway/{site}"


def test_the_log_tells_counts_and_not_one_line_a_mail(server: FaultyPop3Server, run_task: Run) -> None:
    fill(server, 50)
    outcome = run_task(RetrieveOperator(task_id="retrieve", pop3_conn_id="orders"))
    lines = [line for line in outcome.log if line.startswith("orders: ")]
    assert len(lines) < 6
    assert any("50 messages" in line and "50 deleted" in line for line in lines)


def test_what_may_pass_is_retried(server: FaultyPop3Server, run_task: Run) -> None:
    server.faults.add("in-use")
    outcome = run_task(RetrieveOperator(task_id="retrieve", pop3_conn_id="orders", retries=3))
    assert outcome.state == "up_for_retry"
    assert isinstance(outcome.error, MailboxInUse)


def test_a_wrong_password_fails_at_once_so_that_no_account_is_locked(
    server: FaultyPop3Server, run_task: Run
) -> None:
    server.faults.add("auth-fail")
    outcome = run_task(RetrieveOperator(task_id="retrieve", pop3_conn_id="orders", retries=3))
    assert outcome.state == "failed"
    assert isinstance(outcome.error, AirflowFailException)
    assert "secret" not in str(outcome.error)


def test_a_session_that_breaks_keeps_what_arrived_and_says_so(
    server: FaultyPop3Server, run_task: Run
) -> None:
    fill(server, 3)
    server.faults.add("quit-lost")
    outcome = run_task(RetrieveOperator(task_id="retrieve", pop3_conn_id="orders"))
    assert outcome.state == "success"
    assert (outcome.value["messages"], outcome.value["deleted"], outcome.value["more"]) == (3, 0, True)
    assert any("the next one goes on" in line for line in outcome.log)


def test_receipts_that_must_wait_fail_the_task_so_that_it_is_retried(
    server: FaultyPop3Server, run_task: Run, connection: Callable[..., str]
) -> None:
    connection("smtp_default", conn_type="smtp", host="127.0.0.1", port=1, extra={"disable_ssl": True})
    server.mailboxes["orders"].deliver(
        b"Disposition-Notification-To: partner@example.com\r\nReturn-Path: <partner@example.com>\r\n"
        + LETTER % (1, 1)
    )
    retrieved = run_task(RetrieveOperator(task_id="retrieve", pop3_conn_id="orders")).value
    classified = run_task(ClassifyOperator(task_id="classify", retrieved=retrieved)).value
    assert classified["receipts"] == 1
    outcome = run_task(AcknowledgeOperator(task_id="acknowledge", classified=classified, retries=3))
    assert outcome.state == "up_for_retry"
    assert isinstance(outcome.error, RelayUnavailable)


def test_a_callable_chooses_the_application(server: FaultyPop3Server, run_task: Run) -> None:
    fill(server, 1)

    def choose(choice: Choice) -> str | None:
        return "EDI" if choice.from_ == "partner@example.com" else None

    run_task(RetrieveOperator(task_id="retrieve", pop3_conn_id="orders"))
    outcome = run_task(
        ClassifyOperator(
            task_id="classify",
            pop3_conn_id="orders",
            choose=choose,
            applications=[Application("EDI", extract_file=False)],
        )
    )
    assert outcome.value["applications"] == {"EDI": 1}
    (line,) = transfers_of(outcome.value)
    assert line["type"] == "XFER"


def test_old_raw_mails_leave_the_spool_when_they_are_classified(
    server: FaultyPop3Server, run_task: Run
) -> None:
    fill(server, 1)
    chain(run_task)
    outcome = run_task(PurgeOperator(task_id="purge", pop3_conn_id="orders", days=0))
    assert outcome.value["batches"] == 1


@pytest.mark.parametrize("operator", CLASSES, ids=lambda operator: operator.__name__)
def test_every_template_field_is_an_argument(operator: type[SiteOperator]) -> None:
    arguments = set(inspect.signature(operator.__init__).parameters) | {"pop3_conn_id", "base_path"}
    assert set(operator.template_fields) <= arguments


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RetrieveOperator(task_id="t", pop3_conn_id=7), "pop3_conn_id must be"),  # type: ignore[arg-type]
        (lambda: RetrieveOperator(task_id="t", base_path=["x"]), "base_path must be"),  # type: ignore[arg-type]
        (lambda: ClassifyOperator(task_id="t", retrieved="{{ x }}"), "retrieved must be"),  # type: ignore[arg-type]
        (lambda: ClassifyOperator(task_id="t", choose="EDI"), "choose: must be a callable or a list"),  # type: ignore[arg-type]
        (lambda: ClassifyOperator(task_id="t", applications=["EDI"]), "Application"),  # type: ignore[list-item]
        (lambda: AcknowledgeOperator(task_id="t", smtp_conn_id=1), "smtp_conn_id must be"),  # type: ignore[arg-type]
        (lambda: PurgeOperator(task_id="t", days=-1), "days"),
    ],
)
def test_wrong_arguments_are_refused_when_the_dag_is_parsed(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_a_reference_of_another_place_than_the_arguments_is_refused(base_path: str, run_task: Run) -> None:
    retrieved = {"site": "orders", "batches": [], "pop3_conn_id": "orders", "base_path": base_path}
    for place in ({"pop3_conn_id": "invoices"}, {"base_path": "file:///elsewhere"}):
        outcome = run_task(ClassifyOperator(task_id="classify", retrieved=retrieved, **place))
        assert isinstance(outcome.error, AirflowFailException)
        assert "leave the argument out" in str(outcome.error)


@pytest.mark.usefixtures("server")
def test_arguments_that_come_from_default_args_agree_with_the_reference(
    base_path: str, run_task: Run
) -> None:
    retrieved = {"site": "orders", "batches": [], "pop3_conn_id": "orders", "base_path": base_path}
    with DAG("mail", schedule=None, default_args={"pop3_conn_id": "orders", "base_path": base_path}):
        task = ClassifyOperator(task_id="classify", retrieved=retrieved)
    assert task.pop3_conn_id == "orders"
    assert run_task(task).state == "success"


def test_something_else_than_a_reference_is_refused_at_run_time(run_task: Run) -> None:
    outcome = run_task(ClassifyOperator(task_id="classify", retrieved={"site": "orders"}))
    assert isinstance(outcome.error, AirflowFailException)
    assert "retrieved is not what a task of this package returned" in str(outcome.error)


def test_they_map_over_many_sites() -> None:
    with DAG("many", schedule=None):
        retrieved = RetrieveOperator.partial(task_id="retrieve").expand(pop3_conn_id=["a", "b"])
        ClassifyOperator.partial(task_id="classify").expand(retrieved=retrieved.output)


def test_an_application_that_got_something_is_told_counts_and_where_the_lines_lie(
    server: FaultyPop3Server, base_path: str, run_task: Run
) -> None:
    fill(server, 3)
    run_task(RetrieveOperator(task_id="retrieve", pop3_conn_id="orders"))
    rules = [{"application": "FIRST", "xfer_ident": "<0@*"}]
    outcome = run_task(ClassifyOperator(task_id="classify", pop3_conn_id="orders", choose=rules))
    told = {event["dest_asset_key"]["uri"]: event["extra"] for event in outcome.events}
    assert told.keys() == {"pop3-application://FIRST", "pop3-application://MAIL"}
    extra = told["pop3-application://MAIL"]
    assert (extra["messages"], extra["files"], extra["types"]) == (2, 0, {"MSG": 2})
    assert (extra["site"], extra["base_path"]) == ("orders", base_path)
    assert extra["transfers"] == outcome.value["transfers"]
    assert {event["source_alias_name"] for event in outcome.events} == {"pop3-applications"}


def test_nothing_new_tells_nobody(server: FaultyPop3Server, run_task: Run) -> None:
    assert run_task(ClassifyOperator(task_id="classify", pop3_conn_id="orders")).events == []


def test_lineage_goes_from_the_mailbox_to_the_folders_of_the_applications(
    server: FaultyPop3Server, run_task: Run
) -> None:
    fill(server, 1)
    retrieve = RetrieveOperator(task_id="retrieve", pop3_conn_id="orders")
    reference = run_task(retrieve).value
    assert retrieve.datasets(reference) == (["pop3://orders"], [f"spool/orders/{reference['batch']}"])
    classify = ClassifyOperator(
        task_id="classify", retrieved=reference, applications=[Application("MAIL", extract_file=False)]
    )
    reference = run_task(classify).value
    read, written = classify.datasets(reference)
    assert read == [f"spool/orders/{reference['batches'][0]}"]
    assert written == ["files/MAIL", *reference["transfers"]]


def test_openlineage_gets_it_when_the_task_is_done(
    server: FaultyPop3Server, base_path: str, run_task: Run
) -> None:
    pytest.importorskip("airflow.providers.openlineage")
    fill(server, 1)
    retrieve = RetrieveOperator(task_id="retrieve", pop3_conn_id="orders")
    assert retrieve.get_openlineage_facets_on_complete(None).inputs == []
    retrieve.execute({"task_state_store": None})  # type: ignore[typeddict-item]
    lineage = retrieve.get_openlineage_facets_on_complete(None)
    (read,), (written,) = lineage.inputs, lineage.outputs
    assert (read.namespace, read.name) == ("pop3://orders", "mails")
    assert (written.namespace, written.name.rpartition("/")[0]) == (
        "file",
        f"{base_path.removeprefix('file://')}/spool/orders",
    )
