"""The contenders of ``python -m benchmarks.mail``, in a process of their own that is ready before the clock starts.

    python -m benchmarks.parsers CONTENDER TASK JOB     prints "ready", waits for a line, works, prints its figures

``JOB`` is JSON: ``mails`` (files), ``out``, ``spool`` (base path and manifest lines), ``digest``. Tasks: ``extract``
(every attachment to a file of its own), ``heads`` (the fields a record names), ``records`` (from the spool to records
and files).

Invariant: what a contender needs is imported before it is ready, and nothing of another's; processor time and memory
are its own; files are written the same way by all, ours included, but for ``records``, where each is timed with the
way it promises.
"""

from __future__ import annotations

import email
import email.header
import email.policy
import email.utils
import hashlib
import json
import os
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

from benchmarks.memory import memory

CHUNK = 1 << 20
Job = dict[str, Any]


def chunks(path: str) -> Iterator[bytes]:
    """A file as the store streams it: of each mail it knows the length."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        left = os.fstat(descriptor).st_size
        while left and (piece := os.read(descriptor, min(CHUNK, left))):
            left -= len(piece)
            yield piece
    finally:
        os.close(descriptor)


class File:
    """A new file, written directly."""

    def __init__(self, folder: str, name: str) -> None:
        self._descriptor = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)

    def write(self, data: bytes) -> None:
        """Append."""
        os.write(self._descriptor, data)

    def commit(self) -> str:
        """It is there already."""
        os.close(self._descriptor)
        return ""

    def discard(self) -> None:
        """Nothing is taken back here."""


def folder_of(job: Job, number: int) -> str:
    """A folder for the files of one mail."""
    folder = f"{job['out']}/{number}"
    os.mkdir(folder)
    return folder


def block_of(path: str) -> bytes:
    """The header block of a mail; the same for all."""
    with open(path, "rb", buffering=0) as file:
        octets = file.read(CHUNK)
    return octets[: octets.find(b"\r\n\r\n") + 4]


def gateway() -> dict[str, Callable[[Job], None]]:
    """This package."""
    from airflow_pop3_gateway.gateway import classify
    from airflow_pop3_gateway.mail.extract import Policy, understand
    from airflow_pop3_gateway.mail.headers import Head
    from airflow_pop3_gateway.store import Store
    from benchmarks.mail import SITE

    policy = Policy(
        multiple_attachments="extract", user_message_limit=CHUNK
    )  # texts are no files for the others

    def extract(job: Job) -> None:
        """One pass, every part and file with its digest."""
        for number, path in enumerate(job["mails"]):
            folder = folder_of(job, number)
            understand(
                chunks(path), lambda head: policy, lambda name, kind, folder=folder: File(folder, name)
            )

    def heads(job: Job) -> None:
        """The fields of a record."""
        for path in job["mails"]:
            head = Head.from_bytes(block_of(path))
            _ = (head.from_, head.to, head.cc, head.subject, head.date, head.message_id, head.content_type)

    def records(job: Job) -> None:
        """The promise of ``docs/explanation/guarantees.md``, several mails at once where that pays."""
        classify(SITE, Store.at(job["spool"]), [job["batch"]])

    return {"extract": extract, "heads": heads, "records": records, "records-safely": records}


def standard(policy: Any) -> dict[str, Callable[[Job], None]]:
    """The standard library's ``email`` under one policy, as its documentation shows it."""

    def message_of(octets: bytes) -> Message:
        return email.message_from_bytes(octets, policy=policy)

    def attachments(message: Message) -> Iterator[tuple[str, bytes]]:
        for part in message.walk():
            if name := part.get_filename():
                octets = part.get_payload(decode=True)
                assert isinstance(octets, bytes)
                yield os.path.basename(name), octets

    def extract(job: Job) -> None:
        for number, path in enumerate(job["mails"]):
            folder = folder_of(job, number)
            for name, octets in attachments(message_of(Path(path).read_bytes())):
                Path(folder, name).write_bytes(octets)
                if job["digest"]:
                    hashlib.sha256(octets).hexdigest()

    def fields(message: Message) -> dict[str, Any]:
        def addresses(name: str) -> list[str]:
            return [
                address
                for _, address in email.utils.getaddresses([str(one) for one in message.get_all(name, [])])
            ]

        date = message["date"]
        return {
            "from": addresses("from"),
            "to": addresses("to"),
            "cc": addresses("cc"),
            "subject": str(email.header.make_header(email.header.decode_header(message["subject"]))),
            "date": email.utils.parsedate_to_datetime(str(date)).isoformat() if date else None,
            "message_id": str(message["message-id"]),
            "content_type": message.get_content_type(),
        }

    def heads(job: Job) -> None:
        for path in job["mails"]:
            fields(message_of(block_of(path)))

    def records(job: Job, write: Callable[[Path, bytes], None] = Path.write_bytes) -> None:
        out = Path(job["out"])
        for line in Path(job["manifest"]).read_text().splitlines():
            entry = json.loads(line)
            with open(Path(job["manifest"]).with_name(entry["segment"]), "rb") as segment:
                segment.seek(entry["offset"])
                octets = segment.read(entry["length"])
            message = message_of(octets)
            record = fields(message)
            folder = out / "files" / str(entry["index"])
            folder.mkdir(parents=True)
            record["files"] = []
            for name, content in attachments(message):
                write(folder / name, content)
                record["files"].append([name, len(content), hashlib.sha256(content).hexdigest()])
            text = next((part for part in message.walk() if part.get_content_type() == "text/plain"), None)
            if text is not None and (body := text.get_payload(decode=True)):
                assert isinstance(body, bytes)
                record["text"] = body[:254].decode("utf-8", "replace")
                if len(body) > 254:
                    write(folder / "MAIL.txt", body)
            key = hashlib.sha256(record["message_id"].encode()).hexdigest()
            (out / "records" / key[:2]).mkdir(parents=True, exist_ok=True)
            write(out / "records" / key[:2] / f"{key}.json", json.dumps(record).encode())

    return {
        "extract": extract,
        "heads": heads,
        "records": records,
        "records-safely": lambda job: records(job, safely),
    }


def safely(path: Path, octets: bytes) -> None:
    """Whole or not at all, and there after a power cut: the same steps as ours."""
    temporary = path.with_name(f".{uuid.uuid4().hex}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
    try:
        os.write(descriptor, octets)
        os.fsync(descriptor)
        os.link(temporary, path)
    finally:
        os.close(descriptor)
        os.unlink(temporary)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def fast_mail_parser() -> dict[str, Callable[[Job], None]]:
    """The parser written in Rust; it takes the whole mail, and gives whole attachments."""
    from fast_mail_parser import parse_email

    def extract(job: Job) -> None:
        for number, path in enumerate(job["mails"]):
            folder = folder_of(job, number)
            for attachment in parse_email(Path(path).read_bytes()).attachments:
                if attachment.filename:
                    Path(folder, os.path.basename(attachment.filename)).write_bytes(attachment.content)
                    if job["digest"]:
                        hashlib.sha256(attachment.content).hexdigest()

    def heads(job: Job) -> None:
        for path in job["mails"]:
            found = parse_email(block_of(path))
            _ = (found.subject, found.date, found.headers)

    return {"extract": extract, "heads": heads}


CONTENDERS: dict[str, Callable[[], dict[str, Callable[[Job], None]]]] = {
    "gateway": gateway,
    "compat32": lambda: standard(email.policy.compat32),
    "default": lambda: standard(email.policy.default),
    "fast-mail": fast_mail_parser,
}


def main() -> None:
    """Run one contender for one job."""
    contender, task, job = sys.argv[1], sys.argv[2], json.load(open(sys.argv[3], "rb"))  # noqa: SIM115
    work = CONTENDERS[contender]()[task]
    print("ready", flush=True)
    sys.stdin.readline()
    before, started, clock = memory("VmRSS"), time.process_time(), time.perf_counter()
    work(job)
    figures = {
        "cpu": time.process_time() - started,
        "seconds": time.perf_counter() - clock,
        "growth": memory("VmHWM") - before,
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
