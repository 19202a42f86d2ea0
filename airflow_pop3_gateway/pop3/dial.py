"""A TCP connection by a deadline, for the blocking client: name look-up, and every address of the name, together.

Strategy: the system's ``getaddrinfo`` knows no deadline (a dead name server costs it half a minute and more), so it
runs in a thread that is left behind when it is late. An address that does not answer gets its share of the time that
is left, so that the ones after it get theirs.

Invariant: whatever the name server and the addresses do, the caller has a connection or an error by the deadline.
"""

from __future__ import annotations

import queue
import socket
import threading
import time
from typing import Any

from airflow_pop3_gateway.config import Address


def dial(address: Address, seconds: float) -> socket.socket:
    """Connect, in so many seconds altogether.

    :raises TimeoutError: not in time. :raises OSError: no such name, refused, no route: of the last address.
    :raises ValueError: not a name that can be looked up.
    """
    ends = time.monotonic() + seconds
    places = _look_up(address, seconds)
    trouble = OSError("the name has no address")
    for position, (family, kind, protocol, _, place) in enumerate(places):
        left = (ends - time.monotonic()) / (len(places) - position)
        try:
            connected = socket.socket(family, kind, protocol)
        except OSError as error:  # a family this machine does not have
            trouble = error
            continue
        try:
            connected.settimeout(max(left, 0.001))
            connected.connect(place)
            return connected
        except OSError as error:
            connected.close()
            trouble = error
    raise trouble


def _look_up(address: Address, seconds: float) -> list[Any]:
    found: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def look() -> None:
        try:
            found.put(socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM))
        except Exception as error:  # noqa: BLE001 - raised where it is awaited
            found.put(error)

    threading.Thread(target=look, name="getaddrinfo", daemon=True).start()
    try:
        places = found.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(places, Exception):
        raise places
    return places
