"""Interleaved rounds: every contender once, then everybody again; the ratio is taken within a round.

Strategy: the folder a contender writes to is new each time. A round before the first one warms the caches and is not
counted. In the first rounds it is proven that every contender kept every mail.

Invariant: processes are started by us and ended by their own handle; a contender that fails or keeps less than
everything is reported as failed, not as fast.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.contenders import Case, Contender


@dataclass
class Series:
    """What one contender did in one case. :ivar seconds: of each round it took part in, by round."""

    contender: Contender
    seconds: dict[int, float] = field(default_factory=dict)
    growth: list[int] = field(default_factory=list)
    failure: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the table. :ivar ratio: the reference's time by one's own, median of the rounds.

    :ivar growth: octets the resident memory grew at its peak, ``None`` where it was not looked at.
    """

    case: str
    contender: str
    rounds: int
    seconds: float
    ratio: float
    mails_per_second: float
    octets_per_second: float
    growth: int | None
    failure: str


def run_once(contender: Contender, case: Case, out: Path, timeout: float) -> tuple[float, int]:
    """Seconds from the start of all processes to the end of the last, and the memory growth they report.

    :raises RuntimeError: one of them failed or took too long.
    """
    out.mkdir(parents=True)
    out.chmod(0o777)
    commands = contender.commands(case, out)
    pipe = subprocess.PIPE
    started = time.perf_counter()
    processes = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, start_new_session=True)
        for command in commands
    ]
    watchdog = threading.Timer(timeout, _end, [processes])
    watchdog.start()
    try:
        if contender.waits:
            for process in processes:
                assert process.stdout is not None
                if process.stdout.readline() != b"ready\n":
                    raise RuntimeError(process.stdout.read(2000).decode(errors="replace"))
            started = time.perf_counter()
        outputs, seconds = [], 0.0
        for process in processes:
            assert process.stdout is not None and process.stdin is not None
            if contender.waits:
                process.stdin.write(b"go\n")
            process.stdin.close()
        for process in processes:
            assert process.stdout is not None
            outputs.append(process.stdout.readline() if contender.waits else process.stdout.read())
            seconds = time.perf_counter() - started
        for process, output in zip(processes, outputs, strict=True):
            if process.wait() != 0:
                raise RuntimeError(
                    f"{contender.name} ended with {process.returncode}: {output.decode(errors='replace')[-2000:]}"
                )
    finally:
        watchdog.cancel()
        _end(processes)
        for process in processes:
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
    growth = max((json.loads(output)["growth"] for output in outputs), default=0) if contender.waits else 0
    return seconds, growth


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, 9)


def compare(
    case: Case,
    contenders: Sequence[Contender],
    rounds: int,
    folder: Path,
    say: Callable[[str], None],
    timeout: float = 600,
) -> list[Row]:
    """Run one case. :param contenders: the reference first; :param folder: where they may write."""
    everything = [Series(contender) for contender in contenders]
    for number in range(-1, rounds):
        for series in everything:
            contender = series.contender
            share = contender.rounds(case, rounds)
            if series.failure or number >= share or (number < 0 and share < rounds):
                continue
            out = folder / "out"
            try:
                seconds, growth = run_once(contender, case, out, timeout)
                if number <= 0:
                    expected = case.mailbox.count * len(case.logins)
                    if (kept := contender.kept(out, case)) != expected:
                        raise RuntimeError(f"kept {kept} of {expected} mails")
            except RuntimeError as error:
                series.failure = str(error)
                say(f"  {contender.name}: {error}")
            else:
                if number >= 0:
                    series.seconds[number] = seconds
                    series.growth.append(growth)
                    say(f"  round {number + 1}: {contender.name} {seconds:.3f} s")
            finally:
                shutil.rmtree(out, ignore_errors=True)
    return [_row(case, everything[0], series) for series in everything if series.seconds or series.failure]


def _row(case: Case, reference: Series, series: Series) -> Row:
    together = [n for n in series.seconds if n in reference.seconds]
    median = statistics.median(series.seconds.values()) if series.seconds else 0.0
    ratio = statistics.median(reference.seconds[n] / series.seconds[n] for n in together) if together else 0.0
    mails, octets = (n * len(case.logins) for n in (case.mailbox.count, case.mailbox.octets))
    return Row(
        case.name,
        series.contender.name,
        len(series.seconds),
        round(median, 4),
        round(ratio, 3),
        round(mails / median) if median else 0,
        round(octets / median) if median else 0,
        max(series.growth) if series.contender.waits and series.growth else None,
        series.failure,
    )
