"""The contenders written in Python, in a process of their own that is ready before the clock starts.

    python -m benchmarks.worker CONTENDER JOB      prints "ready", waits for a line, works, prints its figures as JSON

``JOB`` is JSON: ``port``, ``logins``, ``password``, ``tls``, ``ca_file``, ``out``, ``bound`` (octets of address
space, or null). Several logins are several threads.

Invariant: nothing of a contender is imported or opened after the clock started that a long-lived worker would have
imported before; memory growth is the peak of the resident set after "ready" over the resident set at "ready".
"""

from __future__ import annotations

import json
import poplib
import resource
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from airflow_pop3_gateway.config import Address, RemoteSite
from airflow_pop3_gateway.gateway import retrieve
from airflow_pop3_gateway.pop3 import Pop3Client
from airflow_pop3_gateway.store import Store
from benchmarks.memory import memory

HOST = "127.0.0.1"
poplib._MAXLINE = 1 << 20  # type: ignore[attr-defined]


def gateway(job: dict[str, Any], login: str, out: Path) -> None:
    """This package: one session with segments, digests, manifest and ledger, synced to the disk."""
    site = RemoteSite(
        login,
        Address("localhost" if job["tls"] else HOST, job["port"]),
        login,
        job["password"],
        security="tls" if job["tls"] else "plain",
        ca_file=job["ca_file"],
        retention="keep",
    )
    retrieve(site, Store.at(out), Pop3Client.connect)


def naive(job: dict[str, Any], login: str, out: Path) -> None:
    """poplib as everybody writes it: one mail at a time, one file a mail."""
    if job["tls"]:
        context = ssl.create_default_context(cafile=job["ca_file"])
        server: poplib.POP3 = poplib.POP3_SSL("localhost", job["port"], context=context)
    else:
        server = poplib.POP3(HOST, job["port"])
    server.user(login)
    server.pass_(job["password"])
    for number in range(1, server.stat()[0] + 1):
        (out / f"{login}-{number}.eml").write_bytes(b"\r\n".join(server.retr(number)[1]) + b"\r\n")
    server.quit()


def raw(job: dict[str, Any], login: str, out: Path) -> None:
    """The reader that parses nothing, where there is no C compiler."""
    with socket.create_connection((HOST, job["port"])) as plain:
        connection = plain
        if job["tls"]:
            connection = ssl.create_default_context(cafile=job["ca_file"]).wrap_socket(
                plain, server_hostname="localhost"
            )
        replies = connection.makefile("rb")
        replies.readline()
        connection.sendall(f"USER {login}\r\nPASS {job['password']}\r\nSTAT\r\n".encode())
        mails = int([replies.readline() for _ in range(3)][2].split()[1])
        commands = b"".join(b"RETR %d\r\n" % number for number in range(1, mails + 1)) + b"QUIT\r\n"
        threading.Thread(target=connection.sendall, args=(commands,)).start()
        buffer = bytearray(1 << 20)
        while connection.recv_into(buffer):
            pass


CONTENDERS: dict[str, Callable[[dict[str, Any], str, Path], None]] = {
    "gateway": gateway,
    "poplib": naive,
    "raw": raw,
}


def main() -> None:
    """Run one contender for one job."""
    work, job = CONTENDERS[sys.argv[1]], json.loads(sys.argv[2])
    out = Path(job["out"])
    failures: list[BaseException] = []

    def one(login: str) -> None:
        try:
            work(job, login, out)
        except BaseException as error:
            failures.append(error)
            raise

    if job["bound"]:
        resource.setrlimit(resource.RLIMIT_AS, (job["bound"], job["bound"]))
    print("ready", flush=True)
    sys.stdin.readline()
    before = memory("VmRSS")
    if len(job["logins"]) == 1:
        one(job["logins"][0])
    else:
        threads = [threading.Thread(target=one, args=(login,)) for login in job["logins"]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    print(json.dumps({"growth": memory("VmHWM") - before}), flush=True)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
