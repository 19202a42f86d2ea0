"""``python -m benchmarks``: all cases, or those whose names hold every word of ``--only``; ``--quick`` for a look.

A full run takes about half an hour where getmail6 takes part, for it needs minutes for what others do in a second.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import airflow_pop3_gateway
from benchmarks import dovecot, huge, report
from benchmarks.contenders import Case, contenders
from benchmarks.mailboxes import KINDS, Kind, Mailbox, fill
from benchmarks.rounds import compare

RESULTS = Path(__file__).parent / "results"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - only the name of a place; files there are made by tempfile


def arguments() -> argparse.Namespace:
    """What was asked for on the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="a tenth of the mails, 3 rounds, no long round trips"
    )
    parser.add_argument(
        "--huge", action="store_true", help="also one mail of a gigabyte in 256 MiB of address space"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="part of the mails, and of a large mail's octets"
    )
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each case (default: 7)")
    parser.add_argument(
        "--only", default="", metavar="WORDS", help='cases with all these words: "8 mailboxes,TLS"'
    )
    parser.add_argument("--contenders", default="", metavar="NAMES", help="only these beside the raw reader")
    parser.add_argument("--json", type=Path, default=RESULTS / "retrieve.json", help="where the figures go")
    parser.add_argument(
        "--out",
        type=Path,
        help="below which folder mails are kept (default: shared memory, so that no disk is measured)",
    )
    parser.add_argument("--verbose", action="store_true", help="every round")
    chosen = parser.parse_args()
    if chosen.out is None and SHARED_MEMORY.is_dir():
        chosen.out = SHARED_MEMORY
    if chosen.quick:
        chosen.scale, chosen.rounds = min(chosen.scale, 0.1), min(chosen.rounds, 3)
    return chosen


def scaled(kind: Kind, scale: float) -> Kind:
    """Fewer mails; of the large ones as many, but smaller."""
    if kind.name == "large":
        return replace(kind, octets=int(kind.octets * scale))
    return replace(kind, count=max(10, int(kind.count * scale)))


@contextlib.contextmanager
def long_way(port: int, round_trip_ms: int) -> Iterator[int]:
    """A port that leads to ``port`` by a long way."""
    near = dovecot.free_port()
    command = [sys.executable, "-m", "benchmarks.link", str(near), str(port), str(round_trip_ms)]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        dovecot.wait_for(near, process)
        yield near
    finally:
        process.terminate()
        process.wait(10)


def main() -> int:
    """Run what was asked for. :returns: the exit status."""
    asked = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that what was started is ended too
    if dovecot.program() is None:
        print(
            "needs Dovecot (apt-get install dovecot-pop3d) and root, under which it starts.", file=sys.stderr
        )
        return 2
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-")))
        out = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmarks-", dir=asked.out)))
        folder.chmod(0o755)
        out.chmod(0o755)
        server = dovecot.Dovecot(folder / "dovecot")
        boxes: dict[str, tuple[Mailbox, tuple[str, ...]]] = {}
        few = Kind("small", max(10, int(500 * asked.scale)), KINDS["small"].octets, False)
        for login, kind in ("few", few), *((name, scaled(kind, asked.scale)) for name, kind in KINDS.items()):
            logins = [f"{login}{n}" for n in range(1, 9)]
            boxes[login] = fill(server.maildirs, kind, logins), tuple(logins)
            for one in logins:
                server.give(one)
        stack.enter_context(server)
        present, absent = contenders(folder, airflow_pop3_gateway.__version__)
        if asked.contenders:
            present = [present[0], *(one for one in present if one.name in asked.contenders.split(","))]
        ca_file = str(server.ca_file)
        cases = [
            Case(
                boxes[kind][0],
                boxes[kind][1][:count],
                tls,
                0,
                server.tls_port if tls else server.port,
                ca_file,
            )
            for count in (1, 8)
            for tls in (False, True)
            for kind in KINDS
            if not (asked.quick and count > 1 and tls)
        ]
        if not asked.quick:
            for round_trip in (20, 100):
                port = stack.enter_context(long_way(server.port, round_trip))
                cases.append(Case(*_few(boxes), False, round_trip, port, ca_file))
        words = [word.strip() for word in asked.only.split(",") if word.strip()]
        rows = []
        for case in cases:
            if all(word in case.name for word in words):
                print(f"{case.name} …", file=sys.stderr, flush=True)
                say = (lambda text: print(text, file=sys.stderr, flush=True)) if asked.verbose else _quiet
                found = compare(case, present, 3 if case.round_trip_ms else asked.rounds, out, say)
                print(report.table(found, case.name), flush=True)
                rows += found
        figures = huge.run(asked.scale, asked.out, print) if asked.huge else {}
        report.write(asked.json, rows, figures, present, absent, server, out)
        if absent:
            print(f"not installed: {', '.join(absent)}")
        print(f"figures: {asked.json}")
    return 1 if any(row.failure for row in rows) else 0


def _few(boxes: dict[str, tuple[Mailbox, tuple[str, ...]]]) -> tuple[Mailbox, tuple[str, ...]]:
    mailbox, logins = boxes["few"]
    return mailbox, logins[:1]


def _quiet(text: str) -> None:
    """Nobody wants every round."""


if __name__ == "__main__":
    sys.exit(main())
