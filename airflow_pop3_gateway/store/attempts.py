"""Attempts to send: of two workers exactly one makes each.

Strategy: an attempt is claimed by creating its object under the next free number. A claim whose worker died is passed
over at once where that can be seen (same host, same process namespace, no such process), and after its lease otherwise.

Invariant: an attempt has one owner, for good; nobody claims the next one while the owner of the last may be at it.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from datetime import datetime, timedelta

from airflow_pop3_gateway.errors import AlreadyStored
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.store.objects import Store

LEASE = timedelta(minutes=20)
"""How long a claim is believed when its worker cannot be seen: longer than the SMTP transaction of a small mail, whose
last reply alone may take ten minutes (RFC 5321 §4.5.3.2.6)."""
_MOST = 1000


def claim(
    store: Store, key_of: Callable[[int], str], done: int, now: datetime, lease: timedelta = LEASE
) -> int | None:
    """Claim the next attempt.

    :param key_of: the key of an attempt, by its number.
    :param done: attempts whose end is written down.
    :returns: its number, ``None`` while another worker is at it.
    """
    mark = json.dumps({"at": layout.timestamp(now), "host": _host(), "pid": os.getpid()}).encode()
    for attempt in range(done + 1, done + _MOST):
        try:
            store.put(key_of(attempt), mark)
        except AlreadyStored:
            if _is_held(store.read(key_of(attempt)), now, lease):
                return None
        else:
            return attempt
    return None


def _host() -> str:
    """Where a process can be seen: containers may share the name of a host, but not its processes."""
    try:
        return f"{socket.gethostname()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return socket.gethostname()


def _is_held(mark: bytes, now: datetime, lease: timedelta) -> bool:
    claimed = json.loads(mark)
    if now - layout.moment(claimed["at"]) > lease:
        return False
    if claimed["host"] != _host():
        return True
    try:
        os.kill(claimed["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return bool(claimed["pid"] != os.getpid())
