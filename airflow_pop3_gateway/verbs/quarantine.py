"""``quarantine list``, ``release`` and ``dismiss``, ``replay``: look at what was rejected, take it after all or leave
it at that, ask again.

Invariant: a list and a replay change nothing; an error is one sentence.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from airflow_pop3_gateway import gateway
from airflow_pop3_gateway.verbs.site import person, place, refuse_idents_unless, told
from airflow_pop3_gateway.verbs.terminal import show


@told
def run(arguments: argparse.Namespace) -> None:
    """List, release or dismiss."""
    refuse_idents_unless(arguments, "release", "dismiss")
    {"list": _list, "release": _release, "dismiss": _dismiss}[arguments.action](arguments)


def _list(arguments: argparse.Namespace) -> None:
    site, store, *_ = place(arguments)
    for line in gateway.quarantined(store, site):
        reason = line["rejected"]["reason"]
        short = (
            line["local_ident"],
            reason["code"],
            line["file_name"] or line["state"],
            line["from"],
            line["subject"],
        )
        show(arguments, line, "  ".join(short))


def _release(arguments: argparse.Namespace) -> None:
    site, store, choose, applications = place(arguments)
    for record in gateway.release(
        site, store, arguments.local_idents, choose=choose, applications=applications
    ):
        files = ", ".join(file.path for file in record.files) or "no file"
        show(arguments, record.summary(), f"{record.local_ident}: {record.type} {record.file_name}, {files}")


def _dismiss(arguments: argparse.Namespace) -> None:
    site, store, *_ = place(arguments)
    gateway.dismiss(site, store, arguments.local_idents, by=person(), reason=arguments.reason)


@told
def replay(arguments: argparse.Namespace) -> None:
    """Report what stored mails would be now."""
    site, store, choose, applications = place(arguments)

    def differs(line: Mapping[str, Any]) -> None:
        before, after = (_outcome(line[side]) for side in ("before", "after"))
        show(arguments, line, f"{line['local_ident']}: {before} -> {after}")

    result = gateway.replay(site, store, choose=choose, applications=applications, on_difference=differs)
    report = f"; report: {store.address(result.report)}" if result.report else ""
    print(
        f"{result.messages} mails of {result.batches} batches asked again, {result.differences} would differ{report}",
        file=sys.stderr,
    )


def _outcome(essence: Mapping[str, Any]) -> str:
    what = essence["rejected"] or f"{essence['type']} {essence['file_name']}"
    return f"{what} ({essence['application']}, {len(essence['files'])} files)"
