"""Hand on: every record of an Application is processed by one run, whatever becomes of the event that announces it.

Strategy: the lines in ``transfers/`` are the queue, events only announce. A sweep looks through the batches of the last
days for records that a consumer has not processed, claims a batch for a while, and names them; whoever processes one
claims it, and marks it when done. A record whose announcement was lost is named again by a later sweep.

Invariant: at any time one owner has a record; a record that is marked is never handed on again. An owner that dies with
a claim keeps it: its own next attempt goes on, another takes over when the lease is over.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow_pop3_gateway.config import Application, at_least
from airflow_pop3_gateway.gateway.clock import Clock, utc_now
from airflow_pop3_gateway.records import HandedOn, TransferRecord
from airflow_pop3_gateway.store import Store, handover, layout
from airflow_pop3_gateway.store.transfers import lines_since, read_record

LEASE = timedelta(days=1)
"""How long a claim to process a record holds off other owners: longer than any run that is still alive."""


def hand_on(
    store: Store,
    application: str,
    owner: str,
    *,
    consumer: str = "",
    days: float = 7,
    again_after: float = 3600,
    most: int = 1000,
    now: Clock = utc_now,
) -> HandedOn:
    """Name the records of an Application that wait to be processed, oldest batch first.

    :param owner: who sweeps; the same owner gets the same records again at its next attempt.
    :param consumer: who processes them; default: the name of the Application.
    :param days: how far back to look; a record that is older is handed on no more.
    :param again_after: seconds until a record that was handed on and not processed is handed on again.
    :param most: about so many records at once: the batch that reaches it is the last one.
    :raises ConfigurationError: for a number that makes no sense.
    """
    Application(application)
    for name, value, least in (("days", days, 0), ("again_after", again_after, 0), ("most", most, 1)):
        at_least(name, value, least)
    consumer, moment = consumer or application, now()
    since = moment - timedelta(days=days)
    settled = set(store.names(layout.settled(consumer)))
    for batch in settled:
        if layout.session_day(batch) < f"{since:%Y%m%d}":  # no sweep looks at it, but each would list it
            store.delete(layout.settled(consumer, batch))
    keys: list[str] = []
    waiting = 0
    for batch, lines in lines_since(store, since, moment, settled):
        if len(keys) >= most:
            return HandedOn(application, consumer, tuple(keys), waiting, more=True)
        left = _left(store, application, consumer, lines)
        if not left:
            handover.settle(store, layout.settled(consumer, batch))
        elif handover.claim(
            store, layout.handed_on(consumer, batch), owner, timedelta(seconds=again_after), moment
        ):
            keys += left
        else:
            waiting += len(left)
    return HandedOn(application, consumer, tuple(keys), waiting)


def _left(store: Store, application: str, consumer: str, lines: Sequence[Mapping[str, Any]]) -> list[str]:
    wanted = [line for line in lines if line["application"] == application and line["state"] == "ENDED"]
    # A record is marked by the batch its mail was retrieved in; the line of a released mail is in another.
    sessions = {layout.session(line["raw"]["site"], line["raw"]["batch"]) for line in wanted}
    done = {key for name in sessions for key in store.names(layout.processed(consumer, name))}
    return [line["key"] for line in wanted if line["key"] not in done]


@contextlib.contextmanager
def processing(
    store: Store, key: str, owner: str, *, consumer: str = "", now: Clock = utc_now
) -> Iterator[TransferRecord | None]:
    """Have a record for oneself while the context is open; it is marked as processed when that ends well.

    :param owner: who processes: the same one may come again, also after it is done.
    :returns: the record, ``None`` when another owner has it or is done with it.
    :raises StoreCorrupt: when there is no such record.
    """
    record = read_record(store, key)
    consumer = consumer or record.application
    mark = layout.processed(consumer, layout.session(record.raw.site, record.raw.batch), key)
    begun: datetime = now()
    if handover.finished_by_another(store, mark, owner) or not handover.claim(
        store, layout.taken(consumer, key), owner, LEASE, begun
    ):
        yield None
        return
    yield record
    handover.finish(store, mark, owner, now())
