"""Figures for people and for programs: a table for each case, one JSON file for the run."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import dovecot
from benchmarks.contenders import KEEPS, Contender
from benchmarks.rounds import Row

MIB = 1 << 20


def table(rows: Sequence[Row], title: str) -> str:
    """The rows of one case."""
    lines = [
        f"\n{title}",
        f"  {'':11}{'ratio':>7}{'seconds':>9}{'mails/s':>9}{'MB/s':>8}{'memory':>11}  keeps",
    ]
    for row in rows:
        memory = "" if row.growth is None else f"+{row.growth / MIB:.1f} MiB"
        figures = f"{row.ratio:7.3f}{row.seconds:9.3f}{row.mails_per_second:9}"
        figures += f"{row.octets_per_second / 1e6:8.1f}"
        lines.append(
            f"  {row.contender:11}{'failed' if row.failure else figures + f'{memory:>11}'}  {KEEPS[row.contender]}"
            + (f"  ({row.rounds} rounds)" if row.rounds < 3 else "")
        )
    return "\n".join(lines)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line), "")


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load at the end": [round(load, 1) for load in os.getloadavg()],
    }


def write(
    path: Path,
    rows: Sequence[Row],
    huge: Mapping[str, object],
    present: Sequence[Contender],
    absent: Sequence[str],
    server: dovecot.Dovecot,
    out: Path,
) -> None:
    """Write the run as JSON."""
    version = subprocess.run(
        [str(dovecot.program()), "--version"], capture_output=True, text=True, check=False
    )
    files = subprocess.run(["stat", "-f", "-c", "%T", str(out)], capture_output=True, text=True, check=False)
    document = {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": f"python -m benchmarks {' '.join(sys.argv[1:])}".strip(),
        "machine": {**machine(), "mail kept on": files.stdout.strip()},
        "server": f"Dovecot {version.stdout.strip()}",
        "versions": {contender.name: contender.version for contender in present},
        "absent": list(absent),
        "huge": huge,
        "rows": [dataclasses.asdict(row) for row in rows],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1) + "\n")
