"""``doctor``: what is to be known of a server before trusting it with mails, for people or as JSON.

Strategy: the examination is :mod:`airflow_pop3_gateway.pop3.doctor`; here are its site (a connection, or options
alone, then without Airflow), one examination for each address of the site, and how it looks.

Invariant: nothing is deleted; no password is an argument, for arguments are seen by everybody on the machine. The exit
code is the worst of the addresses: 0 fine, 1 something was found that matters, 2 no session or no sense.
"""

from __future__ import annotations

import argparse
import dataclasses
import getpass
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from airflow_pop3_gateway.config import DEFAULT_PORT, Address, RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError, GatewayError
from airflow_pop3_gateway.pop3.doctor import examine
from airflow_pop3_gateway.verbs.terminal import complain, show

PASSWORD = "POP3_PASSWORD"
"""Environment variable with the password, or with the access token for the mechanisms that take one."""
_OPTIONS = ("port", "security", "login", "auth", "ca_file", "fingerprint", "server_hostname")
_MARKS = {"pass": "ok", "fail": "FAIL", "note": "note", "skip": "-"}
_COLUMN = 16


def run(arguments: argparse.Namespace) -> int:
    """Examine and show. :returns: the exit code."""
    worst = 0
    try:
        for site in _sites(arguments):
            result = examine(site)
            if arguments.connection and site.receipts_need:
                result["advice"].append(site.receipts_need)
            show(arguments, result, _page(result))
            worst = max(worst, _code(result))
    except GatewayError as error:
        complain(error)
        return 2
    return worst


def _sites(arguments: argparse.Namespace) -> Iterator[RemoteSite]:
    """The site once for each of its addresses; a doctor does not wait and try again."""
    given = [name for name in _OPTIONS if getattr(arguments, name) is not None]
    if bool(arguments.connection) == bool(arguments.host) or (arguments.connection and given):
        raise ConfigurationError("give a connection, or --host with its options.", field="host")
    if arguments.connection:
        from airflow_pop3_gateway.verbs.site import site_of

        site = site_of(arguments.connection)
    else:
        site = _site(arguments, {name: getattr(arguments, name) for name in given})
    for address in site.addresses:
        yield dataclasses.replace(site, address=address, alternates=(), retry_count_max=0)


def _site(arguments: argparse.Namespace, options: dict[str, Any]) -> RemoteSite:
    port = options.pop("port", DEFAULT_PORT[options.get("security", "tls")])
    login = options.pop("login", "")
    site = RemoteSite(name=arguments.host, address=Address(arguments.host, port), login=login, **options)
    if not login:
        return site
    kind = "access_token" if site.auth in ("xoauth2", "oauthbearer") else "password"
    secret = os.environ.get(PASSWORD)
    if secret is None:
        if not sys.stdin.isatty():
            raise ConfigurationError(f"no password: set {PASSWORD} in the environment.", field="password")
        secret = getpass.getpass(f"{kind.replace('_', ' ').capitalize()} of {login} at {site.address}: ")
    return dataclasses.replace(site, **{kind: secret})  # type: ignore[arg-type]


def _code(result: dict[str, Any]) -> int:
    logged_in = {"name": "login", "outcome": "pass"}.items()
    if result["error"] and not any(logged_in <= check.items() for check in result["checks"]):
        return 2
    return 0 if result["ok"] else 1


def _page(result: dict[str, Any]) -> str:
    """A screen for people."""
    lines = [f"{Address(result['host'], result['port'])}  {result['security']}"]
    if result["greeting"]:
        lines += _entry("greeting", result["greeting"])
        lines += _entry("profile", result["profile"])
    if tls := result["tls"]:
        lines += _entry("TLS", f"{tls['version']}, {tls['cipher']}")
        lines += _entry("certificate", tls["subject"])
        lines += _entry("  issued by", tls["issuer"])
        lines += _entry("  good until", f"{tls['not_after']}, {tls['days_left']} days")
        lines += _entry("  SHA-256", tls["sha256"])
    if result["capabilities"]:
        words = (" ".join((name, *words)) for name, words in result["capabilities"].items() if name != "SASL")
        lines += _entry("capabilities", ", ".join(words))
        lines += _entry("mechanisms", " ".join(result["mechanisms"]) or "none")
    if result["checks"]:
        wide = max(len(check["name"]) for check in result["checks"])
        lines.append("")
        for check in result["checks"]:
            lines += _entry(
                _MARKS[check["outcome"]], f"{check['name']:<{wide}}  {check['detail']}", 8, wide + 2
            )
    if result["advice"]:
        lines.append("")
        for advice in result["advice"]:
            lines += _entry("advice", advice, 10)
    failed = sum(check["outcome"] == "fail" for check in result["checks"])
    verdict = f"{failed} of {len(result['checks'])} checks failed" if failed else "fine"
    if error := result["error"]:
        verdict = f"{error['kind']}: {error['message']}" + (
            " (try again later)" if error["retriable"] else ""
        )
    return "\n".join([*lines, "", *_entry("verdict", verdict, 10), ""])


def _entry(label: str, text: str, column: int = _COLUMN, hanging: int = 0) -> list[str]:
    width = max(60, min(shutil.get_terminal_size().columns, 120))
    indent = " " * (column + hanging)
    return textwrap.wrap(
        text,
        width,
        initial_indent=f"  {label:<{column - 2}}",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
