"""Waits for mail as a task: deferred to the triggerer, so that no worker waits, or on the worker as other sensors do.

Invariant: nothing is downloaded or changed. An error that waiting cannot mend (a wrong password, a connection that
makes no sense) fails the task at once; a maildrop in use, LOGIN-DELAY, a lost connection postpone the next look.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue, XComArg
from airflow.sdk.exceptions import AirflowFailException

from airflow_pop3_gateway.errors import ConnectionMissing, GatewayError
from airflow_pop3_gateway.gateway.peek import Awaited, Look, Lookout, patient
from airflow_pop3_gateway.hooks.arguments import A_BASE_PATH, A_MAILBOX, refuse_unless
from airflow_pop3_gateway.hooks.links import COLOUR, TransfersLink
from airflow_pop3_gateway.hooks.outcome import softly, told_to_airflow
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.hooks.store import base_path_in_force, open_store
from airflow_pop3_gateway.triggers import Pop3MailTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class Pop3MailSensor(BaseSensorOperator):
    """Succeeds when a mailbox holds enough mail that was never stored; returns counts, never content.

    It returns :class:`~airflow_pop3_gateway.gateway.peek.Look` with ``pop3_conn_id`` and ``base_path``. Every argument
    of Airflow's sensors holds: ``poke_interval``, ``timeout``, ``soft_fail``, ``mode`` where it is not deferred.

    :param pop3_conn_id: Airflow connection of type ``pop3`` (templated).
    :param base_path: where everything durable lies (templated); default: ``[pop3_gateway] base_path``.
    :param min_messages: so many mails. :param min_bytes: so many octets, of all of them together.
    :param sender: only mails with such an address in From, ``*`` and ``?`` as wildcards (templated).
    :param subject: only mails with such a subject (templated). Both ask the server for headers (TOP), each once.
    :param deferrable: wait in the triggerer instead of on a worker.
    """

    template_fields: Sequence[str] = ("pop3_conn_id", "base_path", "sender", "subject")
    ui_color = COLOUR
    operator_extra_links = (TransfersLink(),)

    def __init__(
        self,
        *,
        pop3_conn_id: str | XComArg = Pop3Hook.default_conn_name,
        base_path: str | XComArg | None = None,
        min_messages: int = 1,
        min_bytes: int = 0,
        sender: str | XComArg = "*",
        subject: str | XComArg = "*",
        deferrable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.pop3_conn_id = pop3_conn_id
        self.base_path = base_path
        self.min_messages = min_messages
        self.min_bytes = min_bytes
        self.sender = sender
        self.subject = subject
        self.deferrable = deferrable
        refuse_unless(self, "pop3_conn_id", pop3_conn_id, str, A_MAILBOX)
        refuse_unless(self, "base_path", base_path, str, A_BASE_PATH)
        refuse_unless(self, "sender", sender, str, "an address, with * and ? as wildcards")
        refuse_unless(self, "subject", subject, str, "a text, with * and ? as wildcards")
        Awaited(min_messages, min_bytes)
        self._lookout: Lookout | None = None
        self._not_before = 0.0

    def execute(self, context: Context) -> Any:
        """Look; without enough mail, defer, or poke again as Airflow's sensors do."""
        if not self.deferrable:
            return super().execute(context)
        with softly(self):
            found = self.poke(context)
        if not isinstance(found, PokeReturnValue):
            self.defer(
                trigger=Pop3MailTrigger(
                    pop3_conn_id=str(self.pop3_conn_id),
                    base_path=self._place,
                    poke_interval=self.poke_interval,
                    awaited=self._awaited.to_json(),
                ),
                method_name=self.execute_complete.__name__,
                timeout=min(timedelta(seconds=self.timeout), self.execution_timeout or timedelta.max),
            )
        return found.xcom_value

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """The triggerer saw enough mail, or met an error that waiting cannot mend."""
        with softly(self):
            if "error" in event:
                raise AirflowFailException(f"{event['error']}: {event['message']}")
        return self._result(Look.from_json(event["look"]))

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once.

        :raises AirflowFailException: for an error that waiting cannot mend.
        :raises ConnectionMissing: Airflow cannot give the connection; its retries decide.
        """
        if time.monotonic() < self._not_before:
            return False
        with told_to_airflow():
            try:
                if self._lookout is None:
                    self._lookout = Lookout(open_store(self._place), self._awaited)
                sight = self._lookout.look(patient(Pop3Hook(str(self.pop3_conn_id)).site))
            except GatewayError as error:
                if not error.retriable or isinstance(error, ConnectionMissing):
                    raise  # a name that is misspelt must not be waited for
                self._not_before = time.monotonic() + getattr(error, "delay", 0)
                self.log.warning("%s: %s: %s", self.pop3_conn_id, type(error).__name__, error)
                return False
        look = sight.counts()
        self.log.info(
            "%s: %s",
            look.site,
            look.held
            or f"{look.messages} mails that count, {look.octets} octets; {look.listed} on the server",
        )
        return PokeReturnValue(True, self._result(look)) if self._awaited.met_by(sight) else False

    @property
    def page_site(self) -> str:
        """The site that is looked at."""
        return str(self.pop3_conn_id)

    @property
    def _awaited(self) -> Awaited:
        return Awaited(self.min_messages, self.min_bytes, str(self.sender), str(self.subject))

    @property
    def _place(self) -> str:
        return base_path_in_force(self.base_path)

    def _result(self, look: Look) -> dict[str, Any]:
        return {**look.to_json(), "pop3_conn_id": str(self.pop3_conn_id), "base_path": self._place}
