"""One mail of a gigabyte through a process that may have 256 MiB: ``python -m benchmarks --huge``.

Strategy: the mail lies in a Maildir of a real Dovecot; the worker lowers its own address space (``RLIMIT_AS``) before
it starts, so an allocation past the bound fails instead of being noticed afterwards.

The bound covers everything the process has mapped, the interpreter, its libraries and their threads' stacks included.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.contenders import Case, Contender, spooled, worker
from benchmarks.dovecot import Dovecot
from benchmarks.mailboxes import Kind, fill
from benchmarks.report import MIB
from benchmarks.rounds import run_once

OCTETS = 1 << 30
BOUND = 256 << 20


def run(scale: float, out: Path | None, say: Callable[[str], None]) -> dict[str, object]:
    """Retrieve it once, in the clear and in TLS. :returns: figures by name."""
    figures: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as below:
        folder = Path(below)
        folder.chmod(0o755)
        server = Dovecot(folder / "dovecot")
        mailbox = fill(server.maildirs, Kind("huge", 1, int(OCTETS * scale), True), ["huge"])
        server.give("huge")
        gateway = Contender(
            "gateway", "", worker("gateway", one_process=True, bound=BOUND), spooled, waits=True
        )
        with server, tempfile.TemporaryDirectory(prefix="benchmarks-", dir=out) as kept:
            for tls in (False, True):
                port = server.tls_port if tls else server.port
                case = Case(mailbox, ("huge",), tls, 0, port, str(server.ca_file))
                seconds, growth = run_once(gateway, case, Path(kept) / "out", 1800)
                if spooled(Path(kept) / "out", case) != 1:
                    raise RuntimeError("the mail that was kept is not the one that was sent")
                shutil.rmtree(Path(kept) / "out")
                figures[case.name] = {
                    "octets": mailbox.octets,
                    "seconds": round(seconds, 2),
                    "growth": growth,
                }
                say(
                    f"{case.name}: {mailbox.octets / MIB:.0f} MiB in {seconds:.1f} s within {BOUND // MIB} MiB of "
                    f"address space; memory grew by {growth / MIB:.1f} MiB"
                )
    return figures
