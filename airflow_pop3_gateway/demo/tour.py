"""``demo``: one mail of every kind goes the whole way, then a second run shows that nothing is done twice.

Invariant: what is printed was read back from the store, the relay and the maildrop after Airflow's processes ended; the
exit code is 0 only when all of it is as expected.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airflow_pop3_gateway.demo.surroundings import Surroundings
from airflow_pop3_gateway.errors import GatewayError
from airflow_pop3_gateway.hooks.progress import octets_text
from airflow_pop3_gateway.store import Store, layout
from airflow_pop3_gateway.store.transfers import read_lines
from airflow_pop3_gateway.testing import letters

SITE = "pop3_default"
DAG = "pop3_poll_one_site"

EXPECTED: dict[str, tuple[str, str]] = {
    "file_attached": ("XFER", "INVOIC.edi"),
    "file_with_long_message": ("XFER", "INVOIC-2.edi"),
    "message": ("MSG", "MAIL"),
    "alternative": ("MSG", "MAIL"),
    "receipt": ("EERP", "MAIL"),
    "bounce": ("EERP", "MAIL"),
    "unknown_format": ("XFER", "RECOVER"),
    "several_files": ("XFER", "RECOVER"),
    "duplicate": ("XFER", "DUPLICATE"),
    "no_message_id": ("MSG", "MAIL"),
    "subject_parameters": ("XFER", "INVOIC.edi"),
    "asks_for_receipt": ("XFER", "ORDERS.edi"),
    "list_mail_asks": ("MSG", "MAIL"),
    "auto_reply": ("MSG", "MAIL"),
    "signed": ("XFER", "INVOIC.edi"),
    "inline_images": ("MSG", "MAIL"),
    "forwarded": ("XFER", "part-2.eml"),
    "text_as_attachment": ("XFER", "values.txt"),
    "nameless_attachment": ("XFER", "part-2.bin"),
    "without_attachment": ("MSG", "MAIL"),
    "path_as_name": ("XFER", "passwd"),
    "name_in_rfc2231": ("XFER", "Zürich Rechnung.edi"),
    "name_in_rfc2047": ("XFER", "Zürich Rechnung.edi"),
    "unknown_charset": ("MSG", "MAIL"),
    "nested": ("XFER", "RECOVER"),
}
"""Letter → TYPE and FILE_NAME."""


@dataclass(frozen=True)
class Picture:
    """The world after a run, as far as a second run could have changed it."""

    left: int
    fetched: int
    objects: frozenset[str]
    lines: tuple[dict[str, Any], ...]
    receipts: tuple[tuple[str, tuple[str, ...]], ...]


def run(arguments: argparse.Namespace) -> int:
    """Take the tour. :returns: 0, or 1 when something was not as expected."""
    with _folder(arguments.keep) as home:
        try:
            return _Tour(home).take()
        except GatewayError as error:
            print(f"{type(error).__name__}: {error}")
            return 1


@contextlib.contextmanager
def _folder(keep: str | None) -> Iterator[Path]:
    if keep:
        yield Path(keep)
    else:
        with tempfile.TemporaryDirectory(prefix="pop3-gateway-demo-") as name:
            yield Path(name)


class _Tour:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.letters = letters.one_of_every_kind()
        self.wrong: list[str] = []

    def take(self) -> int:
        mails = list(self.letters.values())
        with Surroundings(self.home, {SITE: mails}) as around:
            print(
                f"POP3   {around.pop3.host}:{around.pop3.port}  Twisted, {len(mails)} mails, one of every kind"
            )
            print(f"SMTP   {around.smtp.host}:{around.smtp.port}  aiosmtpd")
            print(f"S3     {around.s3.endpoint_url}  moto, bucket {around.s3.bucket!r}")
            self._airflow(around, "Airflow makes its database", "db", "migrate")
            self._airflow(around, f"Airflow runs {DAG}", "dags", "test", DAG)
            first = self._look(around)
            self._show(around, first)
            self._airflow(around, f"Airflow runs {DAG} again", "dags", "test", DAG)
            second = self._look(around)
            self._compare(first, second)
        for sentence in self.wrong:
            print(f"NOT AS EXPECTED: {sentence}")
        return int(bool(self.wrong))

    def _airflow(self, around: Surroundings, what: str, *words: str) -> None:
        log_path = self.home / "airflow.log"
        print(f"\n{what} …", end="", flush=True)
        began = time.monotonic()
        with log_path.open("a") as log:
            code = around.airflow(*words, log=log)
        print(f" {time.monotonic() - began:.0f} s")
        if code:
            lines = log_path.read_text(errors="replace").splitlines()
            print("\n".join(lines[-60:]))
            self.wrong.append(f"airflow {' '.join(words)} ended with exit code {code}")

    def _look(self, around: Surroundings) -> Picture:
        store = around.store()
        return Picture(
            left=len(around.pop3.mails(SITE)),
            fetched=sum(command.startswith("RETR") for command in around.pop3.transcript),
            objects=frozenset(key for room in _ROOMS for key in store.walk(room)),
            lines=tuple(_lines(store)),
            receipts=tuple((mail.mail_from, mail.recipients) for mail in around.smtp.box),
        )

    def _show(self, around: Surroundings, picture: Picture) -> None:
        names = list(self.letters)
        rows, arrived = [], set()
        for line in picture.lines:
            name = names[line["raw"]["index"]]
            arrived.add(name)
            self._expect_kind(name, line)
            rows.append(
                [name, line["type"], line["file_name"], line["application"], _what_became(line), _files(line)]
            )
        print("\nWhat arrived as what:\n")
        print(_table(["MAIL", "TYPE", "FILE_NAME", "APPLICATION", "DISPOSITION", "FILES"], rows))
        batch = picture.lines[0]["raw"]["batch"] if picture.lines else ""
        print(f"\nFiles: … is {around.base_path}/files/<APPLICATION>/{layout.batch_day(batch)}/{batch}")
        print(f"\nReceipts that went out by SMTP: {len(picture.receipts)}")
        for sender, to in picture.receipts:
            print(f"  MAIL FROM:<{sender}>  RCPT TO:<{', '.join(to)}>")
        self._expect("every mail has its record", arrived == set(names))
        self._expect("the maildrop is empty", picture.left == 0)
        self._expect(
            "every file is where its record says", _every_file_is_there(around.store(), picture.lines)
        )
        self._expect(
            "one receipt went out, with the null reverse-path",
            picture.receipts == (("", (letters.PARTNER,)),),
        )

    def _compare(self, first: Picture, second: Picture) -> None:
        rows = [
            ["mails on the server", str(first.left), str(second.left)],
            ["mails fetched from it", str(first.fetched), str(second.fetched)],
            ["records", str(len(first.lines)), str(len(second.lines))],
            ["objects in the store", str(len(first.objects)), str(len(second.objects))],
            ["receipts sent", str(len(first.receipts)), str(len(second.receipts))],
        ]
        print()
        print(_table(["NOTHING IS DONE TWICE", "FIRST RUN", "SECOND RUN"], rows))
        self._expect("a second run changes nothing", first == second)

    def _expect_kind(self, name: str, line: dict[str, Any]) -> None:
        kind, file_name = EXPECTED[name]
        seen = (line["type"], line["file_name"])
        self._expect(f"{name} is TYPE={kind} FILE_NAME={file_name}, not {seen}", seen == (kind, file_name))

    def _expect(self, sentence: str, held: bool) -> None:
        if not held:
            self.wrong.append(sentence)


_ROOMS = ("spool", "files", "records", "transfers", "outbox")


def _lines(store: Store) -> Iterator[dict[str, Any]]:
    for batch in store.names(f"spool/{SITE}"):
        yield from read_lines(store, SITE, batch) or ()


def _every_file_is_there(store: Store, lines: Sequence[dict[str, Any]]) -> bool:
    return all(store.exists(file["path"]) for line in lines for file in line["files"])


def _files(line: dict[str, Any]) -> str:
    """Each file's place, what all files of the batch have in common left out, and its size."""
    return ", ".join(
        f"…{file['path'].split(line['raw']['batch'])[-1]} ({octets_text(file['size'])})"
        for file in line["files"]
    )


def _what_became(line: dict[str, Any]) -> str:
    words = []
    if (rejected := line["rejected"]) is not None:
        words.append(
            "kept whole" + (": duplicate" if rejected["duplicate_of"] else f": {rejected['reason']['code']}")
        )
    if (report := line["report"]) is not None:
        words.append(f"{report['kind'].upper()} {report['verdict']}")
    if (asked := line["acknowledgment"]) is not None:
        words.append("receipt sent" if asked["decision"] == "send" else f"no receipt: {asked['why']}")
    return ", ".join(words) or "stored"


def _table(head: list[str], rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(row: list[str]) -> str:
        return "  ".join(map(str.ljust, row, widths)).rstrip()

    return "\n".join([line(head), line(["-" * width for width in widths]), *map(line, rows)])
