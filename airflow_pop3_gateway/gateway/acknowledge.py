"""Acknowledge: what waits in the outbox of a site goes out by SMTP, once.

The order of the steps is the guarantee, for one receipt::

    1  read it from the outbox      the finished message, the same octets at every attempt
    2  claim the attempt            of two workers exactly one goes on
    3  SMTP                         null reverse-path: nothing can answer it, nothing can loop
    4  write SENT, REFUSED, or why it waits

Invariant: a receipt that is SENT or REFUSED is never given to a relay again; a worker that dies between 3 and 4 makes
a second copy possible, under the same Message-ID.
"""

from __future__ import annotations

import base64
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Sequence

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import RelayRefused, RelayUnavailable
from airflow_pop3_gateway.gateway.retrieve import Clock, utc_now
from airflow_pop3_gateway.records import Acknowledged, Receipt
from airflow_pop3_gateway.store import Store, layout, outbox

log = logging.getLogger(__name__)

SendRaw = Callable[[str, Sequence[str], bytes], object]
"""(reverse-path, recipients, finished message); raises RelayRefused or RelayUnavailable."""


def acknowledge(site: RemoteSite, store: Store, send: SendRaw, *, now: Clock = utc_now) -> Acknowledged:
    """Send every receipt of a site that waits, those of earlier runs too.

    :param send: hands one message to the relay.
    :returns: how many went out, were refused for good, or wait for the next run.
    :raises StoreError: when the outbox cannot be read or written.
    """
    outcomes = Counter(_send_one(store, key, send, now) for key in outbox.pending(store, site.name))
    return Acknowledged(
        site.name, sent=outcomes["SENT"], refused=outcomes["REFUSED"], postponed=outcomes["PENDING"]
    )


def _send_one(store: Store, key: str, send: SendRaw, now: Clock) -> str:
    receipt = outbox.read(store, key)
    if receipt.state != "PENDING":
        outbox.settle(store, receipt)
        return "settled before"
    attempt = outbox.claim(store, receipt, now())
    if attempt is None:
        return "PENDING"
    receipt = dataclasses.replace(receipt, attempts=attempt)
    try:
        send(receipt.mail_from, [receipt.recipient], base64.b64decode(receipt.message))
    except RelayRefused as error:
        log.warning(
            "%s: the relay refused the acknowledgment to %s: %s", receipt.site, receipt.recipient, error
        )
        settled = outbox.settle(store, receipt, state="REFUSED", last_error=str(error))
    except RelayUnavailable as error:
        log.warning("%s: the acknowledgment to %s waits: %s", receipt.site, receipt.recipient, error)
        settled = outbox.settle(store, receipt, last_error=str(error))
    else:
        settled = _sent(store, receipt, now)
    return settled.state


def _sent(store: Store, receipt: Receipt, now: Clock) -> Receipt:
    return outbox.settle(store, receipt, state="SENT", sent_at=layout.timestamp(now()), last_error="")
