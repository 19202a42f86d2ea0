"""When Airflow should try again: the retry policy for tasks that meet our errors.

Strategy: the class of an error says what the caller does next (``errors``); this says when. What cannot pass by itself
fails at once, so that no account is locked out by repeated logins; a mailbox that is in use is soon free; a server that
names a delay gets it; all other trouble waits twice as long each time, with a part of it drawn, so that a hundred sites
do not come back together.

Invariant: never more tries than the task's ``retries``; an error that is not ours is left to the task's own settings.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy

from airflow_pop3_gateway.errors import GatewayError, LoginDelayed, MailboxInUse

if TYPE_CHECKING:
    from airflow.sdk import Context

IN_USE = timedelta(minutes=1)
"""A session of somebody else takes seconds; servers drop a dead one after ten minutes (RFC 1939 §3)."""
FIRST = timedelta(seconds=30)
LONGEST = timedelta(minutes=30)


class GatewayRetryPolicy(RetryPolicy):
    """Retries by the error: ``RetrieveOperator(…, retries=5, retry_policy=POP3_RETRY_POLICY)``."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Decide about one failure. :param try_number: counts from 1."""
        if not isinstance(exception, GatewayError):
            return RetryDecision.default()
        reason = f"{type(exception).__name__}: {exception}"
        if not exception.retriable:
            return RetryDecision.fail(reason)
        if isinstance(exception, MailboxInUse):
            delay = IN_USE
        elif isinstance(exception, LoginDelayed):
            delay = max(FIRST, timedelta(seconds=exception.delay))
        else:
            delay = min(LONGEST, FIRST * 2 ** min(try_number - 1, 10))
        return RetryDecision.retry(delay * random.uniform(1, 1.25), reason)

    def serialize(self) -> dict[str, Any]:
        """The policy has no settings of its own."""
        return {"__type": f"{__name__}.{type(self).__name__}"}

    def __repr__(self) -> str:
        return "POP3_RETRY_POLICY"


POP3_RETRY_POLICY = GatewayRetryPolicy()
