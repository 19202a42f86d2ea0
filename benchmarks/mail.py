"""Understanding mail beside its peers: ``python -m benchmarks.mail``; ``--quick`` for a look.

Strategy: the same mails lie in files; every contender works in a process of its own, one after another, in rounds, and
the ratio is taken within a round from processor time, because a shared machine gives each its own share of the clock.
What was extracted is compared octet by octet, in the round that warms up and is not counted.

Invariant: a contender that fails, or whose attachments differ from those that were sent, is reported as failed.
"""

from __future__ import annotations

import argparse
import binascii
import hashlib
import importlib.util
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from airflow_pop3_gateway.config import Address, RemoteSite
from airflow_pop3_gateway.store import Store, layout
from airflow_pop3_gateway.store.spool import SpoolWriter
from benchmarks.mailboxes import KINDS, Kind, mail

MIB = 1 << 20
RESULTS = Path(__file__).parent / "results" / "mail.json"
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - only the name of a place; files there are made by tempfile
MANY_SMALL = 32 << 20
"""Octets of a case with many small files."""
SITE = RemoteSite("bench", Address("127.0.0.1", 110), "bench", "secret", security="plain")
BATCH = "20240102T000000000Z-00000000"
PEERS = {
    "extract": ("gateway", "compat32", "default", "fast-mail"),
    "heads": ("gateway", "compat32", "default", "fast-mail"),
    "records": ("gateway", "compat32", "default"),
    "records-safely": ("gateway", "compat32", "default"),
}


@dataclass(frozen=True)
class Case:
    """One table. :ivar job: what the workers get; :ivar proof: digests of all attachments, sorted."""

    name: str
    task: str
    octets: int
    mails: int
    job: dict[str, Any]
    proof: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """One line. :ivar ratio: how many times faster the gateway is, median of the rounds."""

    case: str
    contender: str
    cpu: float
    seconds: float
    ratio: float
    octets_per_second: float
    mails_per_second: float
    growth: int
    failure: str = ""


def letter(kind: Kind, number: int) -> Iterator[bytes]:
    """A mail as POP3 delivers it."""
    for piece in mail(kind, number):
        yield piece.replace(b"\n", b"\r\n")


def order(number: int) -> bytes:
    """A small mail as partners send it: a line of text and a file of three kilobytes."""
    dice = random.Random(number)
    lines = b"".join(b"LIN+%d++%013d:EN'\r\n" % (at, dice.getrandbits(40)) for at in range(100))
    return (
        b"Return-Path: <partner@example.org>\r\nDate: Tue, 02 Jan 2024 10:00:00 +0000\r\n"
        b"From: Partner <partner@example.org>\r\nTo: edi@example.com\r\nSubject: Order %d\r\n"
        b"Message-ID: <order.%d@example.org>\r\nMIME-Version: 1.0\r\n"
        b'Content-Type: multipart/mixed; boundary="part-%d"\r\n\r\n'
        b"--part-%d\r\nContent-Type: text/plain\r\n\r\nOrder attached.\r\n"
        b'--part-%d\r\nContent-Type: application/edifact; name="order-%d.edi"\r\n'
        b'Content-Disposition: attachment; filename="order-%d.edi"\r\n\r\n%b\r\n--part-%d--\r\n'
        % (number, number, number, number, number, number, number, lines, number)
    )


def files(folder: Path, kind: Kind, digest: bool) -> Case:
    """The mails of a kind in files, to be extracted, or their heads understood."""
    folder.mkdir(exist_ok=True)
    mails, octets = [], 0
    for number in range(1, kind.count + 1):
        path = folder / f"{kind.name}-{number}.eml"
        if not path.exists():
            with path.open("wb") as file:
                file.writelines(letter(kind, number))
        octets += path.stat().st_size
        mails.append(str(path))
    task = "extract" if kind.attachment else "heads"
    proof = tuple(sorted(attached(Path(path)) for path in mails)) if kind.attachment else ()
    name = f"{kind.count} x {octets // kind.count // 1000} kB, {task}"
    return Case(
        f"{name}{', digests by all' if digest else ''}",
        task,
        octets,
        kind.count,
        {"mails": mails, "digest": digest},
        proof,
    )


def attached(path: Path) -> str:
    """The digest of the one attachment: what stands between the last empty line before it and its delimiter."""
    with path.open("rb") as file:
        octets = file.read()
    start = octets.rfind(b"\r\n\r\n", 0, octets.find(b"filename=") + 200) + 4
    return hashlib.sha256(binascii.a2b_base64(octets[start : octets.rfind(b"\r\n--")])).hexdigest()


def fill(store: Store, mails: Sequence[bytes]) -> None:
    """Commit a batch."""
    numbers = range(1, len(mails) + 1)
    writer = SpoolWriter(
        store,
        "bench",
        BATCH,
        {number: str(number) for number in numbers},
        {number: len(octets) for number, octets in zip(numbers, mails, strict=True)},
        lambda: "2024-01-02T00:00:00.000Z",
    )
    for number, octets in zip(numbers, mails, strict=True):
        writer.begin(number)
        writer.write(octets)
        writer.end(number)
    writer.close()
    writer.commit()


def run_once(contender: str, case: Case, out: Path) -> dict[str, float]:
    """Figures of one process. :raises RuntimeError: it failed."""
    out.mkdir()
    job = {**case.job, "out": str(out)}
    if "records" in case.task:
        job["spool"] = str(out)
        shutil.copytree(case.job["spool"], out, dirs_exist_ok=True)
        os.sync()  # what was copied is not for who syncs first
    description = out.with_suffix(".json")
    description.write_text(json.dumps(job))
    command = [sys.executable, "-m", "benchmarks.parsers", contender, case.task, str(description)]
    done = subprocess.run(command, input=b"go\n", capture_output=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.decode(errors="replace")[-500:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def prove(case: Case, out: Path) -> None:
    """:raises RuntimeError: the attachments are not those that were sent."""
    if case.task == "extract":
        found = sorted(
            hashlib.sha256(path.read_bytes()).hexdigest()
            for path in out.rglob("*")
            if path.is_file() and path.suffix not in (".txt", ".json")
        )
        if tuple(found) != case.proof:
            raise RuntimeError("the attachments are not those that were sent")
    elif "records" in case.task and len(list((out / "records").rglob("*.json"))) != case.mails:
        raise RuntimeError("there is not one record for each mail")


def compare(case: Case, contenders: Sequence[str], rounds: int, below: Path) -> list[Row]:
    """All contenders, interleaved."""
    figures: dict[str, list[dict[str, float]]] = {contender: [] for contender in contenders}
    failures: dict[str, str] = {}
    for number in range(-1, rounds):
        for contender in contenders:
            out = below / f"{case.task}-{case.mails}-{contender}-{number}"
            try:
                if contender not in failures:
                    figure = run_once(contender, case, out)
                    if number < 0:
                        prove(case, out)
                    else:
                        figures[contender].append(figure)
            except RuntimeError as error:
                failures[contender] = str(error)
            finally:
                # ext4 looks past what was deleted in the last seconds whenever it makes a file: many small ones wait.
                if case.octets > MANY_SMALL:
                    shutil.rmtree(out, ignore_errors=True)
    ours = figures[contenders[0]]
    return [_row(case, contender, ours, figures[contender], failures) for contender in contenders]


def _row(
    case: Case,
    contender: str,
    ours: Sequence[dict[str, float]],
    figures: Sequence[dict[str, float]],
    failures: dict[str, str],
) -> Row:
    if contender in failures or not figures:
        return Row(case.name, contender, 0, 0, 0, 0, 0, 0, failures.get(contender, "no round"))
    cpu = statistics.median(figure["cpu"] for figure in figures)
    return Row(
        case.name,
        contender,
        round(cpu, 4),
        round(statistics.median(figure["seconds"] for figure in figures), 4),
        round(statistics.median(a["cpu"] / b["cpu"] for a, b in zip(figures, ours, strict=True)), 2),
        round(case.octets / cpu),
        round(case.mails / cpu),
        round(max(figure["growth"] for figure in figures)),
    )


def table(rows: Sequence[Row]) -> str:
    """The rows of one case."""
    lines = [
        f"\n{rows[0].case}",
        f"  {'':10}{'gateway is':>11}{'cpu s':>9}{'clock s':>9}{'mails/s':>9}{'MB/s':>9}{'memory':>12}",
    ]
    for row in rows:
        figures = f"{row.ratio:>10.2f}x{row.cpu:9.3f}{row.seconds:9.3f}{row.mails_per_second:9.0f}"
        figures += f"{row.octets_per_second / 1e6:9.1f}{f'+{row.growth / MIB:.1f} MiB':>12}"
        lines.append(f"  {row.contender:10}{f' failed: {row.failure}' if row.failure else figures}")
    return "\n".join(lines)


def growth_of_cost(below: Path, most: int, rounds: int) -> list[dict[str, float]]:
    """What one mail costs by its octets, and by its parts: linear, or it would show here."""
    points: list[dict[str, float]] = []

    def measure(parts: int, path: Path) -> None:
        case = Case("", "extract", path.stat().st_size, 1, {"mails": [str(path)], "digest": True})
        cpu, growth = [], 0.0
        for _ in range(rounds):
            figure = run_once("gateway", case, below / "out")
            shutil.rmtree(below / "out")
            cpu.append(figure["cpu"])
            growth = max(growth, figure["growth"])
        path.unlink()
        points.append(
            {"octets": case.octets, "parts": parts, "cpu": statistics.median(cpu), "growth": growth}
        )
        point = points[-1]
        print(
            f"  {case.octets / 1e6:9.1f} MB  {parts:6} parts  {point['cpu']:8.3f} s  "
            f"{case.octets / point['cpu'] / 1e6:7.0f} MB/s  {parts / point['cpu']:8.0f} parts/s  "
            f"+{growth / MIB:.1f} MiB",
            flush=True,
        )

    print("\none mail, by its octets and by its parts", flush=True)
    for octets in (1_000_000, 10_000_000, 100_000_000, 1_000_000_000):
        path = below / "one.eml"
        with path.open("wb") as file:
            file.writelines(letter(replace(KINDS["large"], octets=min(octets, most)), 1))
        measure(2, path)
    for parts in (10, 100, 1_000, 10_000):
        path = below / "one.eml"
        with path.open("wb") as file:
            file.write(b'From: a@example.org\r\nContent-Type: multipart/mixed; boundary="b-b"\r\n\r\n')
            for part in range(parts):
                file.write(b"--b-b\r\nContent-Type: application/x-part\r\n\r\nThis is part %d.\r\n" % part)
            file.write(b"--b-b--\r\n")
        measure(parts, path)
    return points


def requests(count: int) -> dict[str, float]:
    """Requests that classification of small mails sends to an object store, and files it wrote there."""
    from airflow_pop3_gateway.gateway import classify
    from airflow_pop3_gateway.testing.object_store import S3Server

    with S3Server() as server:
        fs = server.fs()
        spool_at = f"{server.bucket}/bench"
        store = Store(fs, spool_at, f"s3://{spool_at}")
        fill(store, [order(number) for number in range(count)])
        send, sent = fs._call_s3, 0

        async def counted(*args: Any, **options: Any) -> Any:
            nonlocal sent
            sent += 1
            return await send(*args, **options)

        fs._call_s3 = counted
        done = classify(SITE, store, [BATCH])
    figures = {"mails": count, "files": done.files, "requests": sent, "per_mail": round(sent / count, 3)}
    print(f"\n{count} mails on S3: {figures['files']} files, {sent} requests, {figures['per_mail']} a mail")
    return figures


def main() -> int:
    """Run what was asked for. :returns: the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mail", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller mails, fewer of them, 3 rounds")
    parser.add_argument("--rounds", type=int, default=7, help="rounds of each case (default: 7)")
    parser.add_argument("--only", default="", help="cases whose name holds this word")
    parser.add_argument("--contenders", default="", metavar="NAMES", help="only these beside the gateway")
    parser.add_argument("--out", type=Path, default=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None)
    parser.add_argument("--json", type=Path, default=RESULTS, help="where the figures go")
    asked = parser.parse_args()
    rounds, scale = (3, 0.1) if asked.quick else (asked.rounds, 1.0)
    absent = () if importlib.util.find_spec("fast_mail_parser") else ("fast-mail",)
    rows: list[Row] = []
    document: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=asked.out) as folder:
        below = Path(folder)
        large = replace(KINDS["large"], octets=int(KINDS["large"].octets * scale))
        medium, small = (
            replace(KINDS[kind], count=int(KINDS[kind].count * scale)) for kind in ("medium", "small")
        )
        cases = [files(below / "mails", kind, digest) for kind in (large, medium) for digest in (False, True)]
        cases.append(files(below / "mails", small, False))
        spools = {
            "small": [order(number) for number in range(small.count)],
            "medium": [b"".join(letter(medium, number)) for number in range(1, medium.count + 1)],
        }
        for name, letters in spools.items():
            fill(Store.at(below / name), letters)
            manifest = below / name / layout.manifest("bench", BATCH)
            job = {"spool": str(below / name), "batch": BATCH, "manifest": str(manifest)}
            octets, count = sum(map(len, letters)), len(letters)
            for task, words in (
                ("records", "plain files by the others"),
                ("records-safely", "synced by all"),
            ):
                title = f"{count} x {octets / count / 1000:.1f} kB, spool to records, {words}"
                cases.append(Case(title, task, octets, count, job))
        del spools, letters
        for case in cases:
            if asked.only in case.name:
                contenders = [
                    one
                    for one in PEERS[case.task]
                    if one not in absent
                    and (one in ("gateway", *asked.contenders.split(",")) or not asked.contenders)
                ]
                found = compare(case, contenders, rounds, below)
                print(table(found), flush=True)
                rows += found
        if not asked.only or asked.only == "linear":
            document["linear"] = growth_of_cost(below, int(1e9 * scale), 1 if asked.quick else 3)
        if not asked.only or asked.only == "requests":
            document["requests"] = requests(200)
    document = {
        "when": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": f"python -m benchmarks.mail {' '.join(sys.argv[1:])}".strip(),
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "absent": list(absent),
        **document,
        "rows": [asdict(row) for row in rows],
    }
    asked.json.parent.mkdir(exist_ok=True)
    asked.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if any(row.failure for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
