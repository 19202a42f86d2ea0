"""Errors become Airflow's: those another attempt cannot mend fail at once."""

from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_pop3_gateway.errors import AuthenticationFailed, MailboxInUse
from airflow_pop3_gateway.hooks.outcome import told_to_airflow


def test_what_may_pass_is_left_to_the_retries_of_the_task() -> None:
    with pytest.raises(MailboxInUse), told_to_airflow():
        raise MailboxInUse("locked")


def test_what_cannot_pass_fails_without_retry_and_keeps_its_cause() -> None:
    with pytest.raises(AirflowFailException, match="AuthenticationFailed: no") as caught, told_to_airflow():
        raise AuthenticationFailed("no")
    assert isinstance(caught.value.__cause__, AuthenticationFailed)


def test_a_defect_of_ours_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError), told_to_airflow():
        raise ZeroDivisionError
