"""Waits for mail in place of a worker: what a deferred ``Pop3MailSensor`` leaves behind.

Invariant: one event, then it is over: enough mail, or an error that waiting cannot mend. What may pass by itself (a
maildrop in use, LOGIN-DELAY, a connection that fails) only postpones the next look; it is told when it changes. Nothing
but the connection's id and the sensor's arguments is serialised, so a triggerer that is started again goes on where the
last one was.
"""

# mypy: allow-untyped-calls
# The constructors of Airflow's triggers and events have no types.

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_pop3_gateway.errors import GatewayError
from airflow_pop3_gateway.gateway.peek import Awaited
from airflow_pop3_gateway.triggers.watch import Rhythm, Watch


class Pop3MailTrigger(BaseTrigger):
    """Fires once there is enough mail that the ledger does not know.

    :param pop3_conn_id: Airflow connection of type ``pop3``. :param base_path: where the ledger lies.
    :param poke_interval: seconds between two looks.
    :param awaited: the fields of :class:`~airflow_pop3_gateway.gateway.peek.Awaited`.
    """

    def __init__(
        self, *, pop3_conn_id: str, base_path: str, poke_interval: float, awaited: dict[str, Any]
    ) -> None:
        super().__init__()
        self.pop3_conn_id = pop3_conn_id
        self.base_path = base_path
        self.poke_interval = poke_interval
        self.awaited = awaited

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments."""
        return f"{type(self).__module__}.{type(self).__name__}", {
            "pop3_conn_id": self.pop3_conn_id,
            "base_path": self.base_path,
            "poke_interval": self.poke_interval,
            "awaited": self.awaited,
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until there is enough: ``{"look": counts}``, or ``{"error": class, "message": sentence}``."""
        awaited = Awaited.from_json(self.awaited)
        watch, rhythm = Watch(self.pop3_conn_id, self.base_path, awaited), Rhythm(self.poke_interval)
        pause = self.poke_interval * random.uniform(0.5, 1.0)  # the worker has just looked
        told = ""
        while True:
            await asyncio.sleep(pause)
            try:
                sight = await watch.look()
            except GatewayError as error:
                if not error.retriable:
                    yield TriggerEvent({"error": type(error).__name__, "message": str(error)})
                    return
                pause = rhythm.after_trouble(error)
                trouble = f"{type(error).__name__}: {error}"
                if trouble != told:
                    self.log.warning("%s: %s Next look in %.0f s.", self.pop3_conn_id, trouble, pause)
                    told = trouble
            else:
                told = ""
                if awaited.met_by(sight):
                    yield TriggerEvent({"look": sight.counts().to_json()})
                    return
                pause = rhythm.after(sight)
