"""``classify FILE…``: what would the gateway make of these mails? Offline; nothing is stored or sent.

Invariant: one answer for each file, in order, whatever is in it; a file that cannot be read is an answer too, and the
exit code is 1 then.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from airflow_pop3_gateway.config import Application
from airflow_pop3_gateway.errors import ConfigurationError, GatewayError
from airflow_pop3_gateway.gateway.applications import Octets
from airflow_pop3_gateway.gateway.examine import examine
from airflow_pop3_gateway.mail.extract import Policy
from airflow_pop3_gateway.verbs.rules import applications_in, rules_of
from airflow_pop3_gateway.verbs.terminal import complain, show

CHUNK = 1 << 18
"""Octets of one read: a few hundred reads for the largest mails people send."""


def run(arguments: argparse.Namespace) -> int:
    """Answer for each file on standard output. :returns: 0, or 1 when a file could not be read."""
    try:
        asked = _question(arguments)
    except ConfigurationError as error:
        complain(error)
        return 2
    failed = False
    try:
        for file in arguments.files:
            answer = _answer(file, asked)
            failed = failed or "error" in answer
            text = "" if "error" in answer else _text(answer)
            if arguments.json or text:
                show(arguments, answer, text)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(failed)


Question = Callable[[Octets, int], dict[str, Any]]
"""Takes the octets of a mail and how many there are."""


def _question(arguments: argparse.Namespace) -> Question:
    return functools.partial(
        examine,
        policy=Policy(
            application=Application(arguments.application).name,
            multiple_attachments=arguments.multiple_attachments,
        ),
        choose=rules_of(arguments.rules),
        applications=applications_in(arguments.applications),
        originator=arguments.originator,
        destination=arguments.destination,
    )


def _answer(file: str, asked: Question) -> dict[str, Any]:
    try:
        with _opened(file) as source:
            size = source.seek(0, os.SEEK_END)
            return {"file": file, **asked(lambda: _chunks(source), size)}
    except (OSError, GatewayError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        complain(f"{file}: {reason}")
        nothing: dict[str, Any] = {
            "type": None,
            "file_name": None,
            "attachments": [],
            "report": None,
            "defects": [],
        }
        return {"file": file, **nothing, "error": reason}


def _opened(file: str) -> contextlib.AbstractContextManager[BinaryIO]:
    if file != "-":
        return open(file, "rb")
    kept = tempfile.TemporaryFile()  # noqa: SIM115 - who asked closes it
    shutil.copyfileobj(sys.stdin.buffer, kept)
    return kept


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    source.seek(0)
    while chunk := source.read(CHUNK):
        yield chunk


def _text(answer: dict[str, Any]) -> str:
    name, application = answer["file_name"], answer["application"]
    lines = [
        f"{answer['file']}: TYPE={answer['type']} FILE_NAME={name} APPLICATION={application} ({answer['rule']})"
    ]
    if answer["rejected"]:
        lines.append(f"  rejected    {answer['rejected']['code']} {answer['rejected']['detail']}")
    for attachment in answer["attachments"]:
        lines.append(
            f"  attachment  {attachment['name'] or '(no name)'}  {attachment['content_type']}  "
            f"{attachment['size']} octets  sha256 {attachment['sha256']}"
        )
    if answer["report"]:
        report = answer["report"]
        lines.append(
            f"  report      {report['kind'].upper()}, {report['verdict']}, for {report['original_message_id'] or '?'}"
        )
    for defect in answer["defects"]:
        lines.append(f"  defect      {defect['code']} {defect['where']} {defect['detail']}".rstrip())
    return "\n".join(lines)
