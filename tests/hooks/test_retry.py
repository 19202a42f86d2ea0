"""Each error waits as long as it takes to pass, and what cannot pass does not wait."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk.definitions.retry_policy import RetryAction

from airflow_pop3_gateway.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ConnectionLost,
    LoginDelayed,
    MailboxInUse,
    RelayUnavailable,
    StoreUnavailable,
    TlsFailed,
)
from airflow_pop3_gateway.hooks.retry import POP3_RETRY_POLICY


def minutes(error: Exception, try_number: int = 1) -> float:
    decision = POP3_RETRY_POLICY.evaluate(error, try_number, 9)
    assert decision.action is RetryAction.RETRY
    assert decision.reason == f"{type(error).__name__}: {error}"
    assert decision.retry_delay is not None
    return decision.retry_delay / timedelta(minutes=1)


@pytest.mark.parametrize("error", [AuthenticationFailed("no"), ConfigurationError("no"), TlsFailed("no")])
def test_what_cannot_pass_by_itself_fails_at_once(error: Exception) -> None:
    assert POP3_RETRY_POLICY.evaluate(error, 1, 9).action is RetryAction.FAIL


def test_a_mailbox_in_use_is_asked_again_soon_at_every_try() -> None:
    assert 1 <= minutes(MailboxInUse("busy"), 8) <= 1.25


def test_a_login_delay_is_obeyed() -> None:
    assert 10 <= minutes(LoginDelayed("later", delay=600)) <= 12.5


@pytest.mark.parametrize("kind", [ConnectionLost, StoreUnavailable, RelayUnavailable])
def test_other_trouble_waits_twice_as_long_each_time_up_to_a_bound(kind: type[Exception]) -> None:
    assert 0.5 <= minutes(kind("gone"), 1) <= 0.625
    assert 2 <= minutes(kind("gone"), 3) <= 2.5
    assert 30 <= minutes(kind("gone"), 999) <= 37.5


def test_errors_of_others_are_left_to_the_task() -> None:
    assert POP3_RETRY_POLICY.evaluate(KeyError("x"), 1, 9).action is RetryAction.DEFAULT
