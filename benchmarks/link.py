"""A long way to the server: a proxy that passes every octet on half a round trip after it came.

    python -m benchmarks.link LISTEN_PORT TARGET_PORT ROUND_TRIP_MS

Strategy: two threads a direction: one takes and stamps, one waits until the stamp is due and gives. The way has no
bandwidth limit and no slow start, so it shows round trips and nothing else. Opening costs one round trip, as TCP's own.
"""

from __future__ import annotations

import queue
import socket
import sys
import threading
import time

CHUNK = 256 << 10
ON_THE_WAY = 4096
"""Chunks under way at most; beyond it the sender is not read, as a full link would do."""


def pump(source: socket.socket, target: socket.socket, delay: float) -> None:
    """Pass on one direction until it ends."""
    way: queue.Queue[tuple[float, bytes]] = queue.Queue(ON_THE_WAY)

    def give() -> None:
        try:
            while True:
                due, octets = way.get()
                if (wait := due - time.monotonic()) > 0:
                    time.sleep(wait)
                if not octets:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(octets)
        except OSError:
            return  # the other side went first

    threading.Thread(target=give, daemon=True).start()
    octets = b"?"
    while octets:
        try:
            octets = source.recv(CHUNK)
        except OSError:
            octets = b""
        way.put((time.monotonic() + delay, octets))


def serve(listen_port: int, target_port: int, round_trip: float) -> None:
    """Take connections for ever. :param round_trip: seconds."""

    def passed_on(near: socket.socket) -> None:
        time.sleep(round_trip)
        far = socket.create_connection(("127.0.0.1", target_port))
        for one in (near, far):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=pump, args=(near, far, round_trip / 2), daemon=True).start()
        pump(far, near, round_trip / 2)

    with socket.create_server(("127.0.0.1", listen_port), backlog=64) as listener:
        while True:
            near, _ = listener.accept()
            threading.Thread(target=passed_on, args=(near,), daemon=True).start()


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000)
