"""Acknowledge: what waits in the outbox of a site goes out by SMTP, once.

The order of the steps is the guarantee, for one receipt::

    1  read it from the outbox      the finished message, the same octets at every attempt
    2  look whether its time has come, and whether enough went to its address within the hour
    3  claim the attempt            of two workers exactly one goes on, if nobody ended one since step 1
    4  SMTP                         null reverse-path: nothing can answer it, nothing can loop
    5  write SENT, REFUSED, or why it waits and until when

Invariant: a receipt that is SENT or REFUSED is never given to a relay again; a worker that dies between 4 and 5 makes
a second copy possible, under the same Message-ID. What waits is tried again after a delay that doubles, a bounded
number of times; a relay that is out of reach is asked once in a run.
"""

from __future__ import annotations

import base64
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import GatewayError, RelayRefused, RelayUnavailable
from airflow_pop3_gateway.gateway.answers import finish
from airflow_pop3_gateway.gateway.clock import Clock, utc_now
from airflow_pop3_gateway.records import Acknowledged, Receipt
from airflow_pop3_gateway.store import Store, layout, outbox

log = logging.getLogger(__name__)

FIRST_DELAY = timedelta(minutes=1)
LONGEST_DELAY = timedelta(hours=4)

SendRaw = Callable[[str, Sequence[str], bytes], object]
"""(reverse-path, recipients, finished message); raises RelayRefused or RelayUnavailable."""


def acknowledge(site: RemoteSite, store: Store, send: SendRaw, *, now: Clock = utc_now) -> Acknowledged:
    """Send every receipt of a site that waits and whose time has come, those of earlier runs too.

    :param send: hands one message to the relay.
    :returns: how many went out, were refused for good, or wait for a later run.
    :raises StoreError: when the outbox cannot be read or written.
    :raises ConfigurationError: when the relay's connection must be corrected; nothing is lost.
    """
    finish(site, store)
    sweep = _Sweep(site, store, send, now)
    outcomes = Counter(sweep.send_one(key) for key in outbox.pending(store, site.name))
    return Acknowledged(
        site.name,
        sent=outcomes["SENT"],
        refused=outcomes["REFUSED"],
        postponed=outcomes["PENDING"],
        waiting=outcomes["WAITING"],
        limited=outcomes["LIMITED"],
    )


class _Sweep:
    """One run over the outbox; ends its attempts when the relay turns out to be out of reach."""

    def __init__(self, site: RemoteSite, store: Store, send: SendRaw, now: Clock) -> None:
        self._site, self._store, self._send, self._now = site, store, send, now
        self._gone: dict[str, set[str]] = {}
        self._reachable = True

    def send_one(self, key: str) -> str:
        """Send one receipt. :returns: its state, ``WAITING`` or ``LIMITED``."""
        receipt = outbox.read(self._store, key)
        now = self._now()
        if receipt.state != "PENDING":
            outbox.settle(self._store, receipt)
            return "settled before"
        if receipt.next_attempt_at is not None and now < layout.moment(receipt.next_attempt_at):
            return "WAITING"
        if self._is_enough(receipt, now):
            return "LIMITED"
        if not self._reachable or (attempt := outbox.claim(self._store, receipt, now)) is None:
            return "PENDING"
        if (now_there := outbox.read(self._store, key)) != receipt:
            return "PENDING" if now_there.state == "PENDING" else "settled before"
        return self._attempt(msgspec.structs.replace(receipt, attempts=attempt)).state

    def _is_enough(self, receipt: Receipt, now: datetime) -> bool:
        address = receipt.recipient.lower()
        if address not in self._gone:
            self._gone[address] = outbox.keys_of_hour(self._store, receipt, now)
        gone = self._gone[address]
        return receipt.key not in gone and len(gone) >= self._site.receipts_per_hour

    def _attempt(self, receipt: Receipt) -> Receipt:
        outbox.count_hour(self._store, receipt, self._now())
        self._gone[receipt.recipient.lower()].add(receipt.key)
        try:
            self._send(receipt.mail_from, [receipt.recipient], base64.b64decode(receipt.message))
        except RelayRefused as error:
            log.warning(
                "%s: the relay refused the acknowledgment to %s: %s", receipt.site, receipt.recipient, error
            )
            return outbox.settle(self._store, receipt, state="REFUSED", last_error=str(error))
        except RelayUnavailable as error:
            self._reachable = bool(error.facts.get("refused"))
            return self._postponed(receipt, str(error))
        except GatewayError as error:
            outbox.settle(self._store, receipt, last_error=str(error))
            raise
        sent_at = layout.timestamp(self._now())
        return outbox.settle(
            self._store, receipt, state="SENT", sent_at=sent_at, last_error="", next_attempt_at=None
        )

    def _postponed(self, receipt: Receipt, error: str) -> Receipt:
        now = self._now()
        failures = (*receipt.failures, f"{layout.timestamp(now)} {error}")
        if len(failures) > self._site.receipt_retry_count_max:
            given_up = f"given up after {len(failures)} attempts: {error}"
            log.warning("%s: the acknowledgment to %s is %s", receipt.site, receipt.recipient, given_up)
            return outbox.settle(
                self._store,
                receipt,
                state="REFUSED",
                last_error=given_up,
                failures=failures,
                next_attempt_at=None,
            )
        log.warning("%s: the acknowledgment to %s waits: %s", receipt.site, receipt.recipient, error)
        delay = min(LONGEST_DELAY, FIRST_DELAY * 2 ** min(len(failures) - 1, 20))
        return outbox.settle(
            self._store,
            receipt,
            last_error=error,
            failures=failures,
            next_attempt_at=layout.timestamp(now + delay),
        )
