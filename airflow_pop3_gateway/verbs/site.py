"""What the verbs that work on a connection share: its site and store, with the rules of now.

Invariant: Airflow is imported here and by no verb that works offline; an error is one sentence on standard error and
exit code 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import getpass
import os
import sys
from collections.abc import Callable

from airflow.sdk.log import configure_logging

from airflow_pop3_gateway.config import Application, RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError, GatewayError
from airflow_pop3_gateway.gateway.applications import Chooser
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.hooks.store import open_store
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.verbs.rules import applications_in, rules_of
from airflow_pop3_gateway.verbs.terminal import complain


def told(work: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], int]:
    """Make a verb of its work: it returns 0, or 1 when the work could not be done; the sentence is printed then."""

    @functools.wraps(work)
    def verb(arguments: argparse.Namespace) -> int:
        _ask_airflow()
        try:
            work(arguments)
        except GatewayError as error:
            complain(error)
            return 1
        return 0

    return verb


def _ask_airflow() -> None:
    """Outside a task Airflow looks into its database only where this says so; its own ``connections`` commands do the
    same. Its log goes to standard error, for standard output is what somebody asked for; a caller who catches that
    looks after the log too."""
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    if sys.stdout is sys.__stdout__:
        configure_logging(output=sys.stderr)


def site_of(connection: str) -> RemoteSite:
    """The site of a connection, from the environment, a secrets backend or Airflow's database.

    :raises ConfigurationError: when there is none, or it makes no sense.
    """
    _ask_airflow()
    return Pop3Hook(connection).site


def refuse_idents_unless(arguments: argparse.Namespace, *actions: str) -> None:
    """Local idents belong to these actions of the verb, and they do nothing without.

    :raises ConfigurationError: where they are missing, or another action got some.
    """
    action = arguments.action
    if action in actions and not arguments.local_idents:
        raise ConfigurationError(f"{action} needs local idents, as list gives them.", field="local_idents")
    if action not in actions and arguments.local_idents:
        raise ConfigurationError(
            f"{action} takes no local ident: say {' or '.join(actions)}.", field="local_idents"
        )


def person() -> str:
    """Who sits at the terminal; in a container that knows no name for its user, the number."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def place(
    arguments: argparse.Namespace,
) -> tuple[RemoteSite, Store, Chooser, dict[str, Application]]:
    """The site of a connection, its store, and the chooser and the Applications the options name.

    :raises GatewayError: when the connection, the store or a file is not usable.
    """
    site = site_of(arguments.connection)
    if arguments.multiple_attachments:
        site = dataclasses.replace(site, multiple_attachments=arguments.multiple_attachments)
    choose, applications = rules_of(arguments.rules), applications_in(arguments.applications)
    return site, open_store(arguments.base_path), choose, applications
