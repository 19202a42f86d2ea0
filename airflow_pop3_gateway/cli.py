"""``airflow pop3-gateway …`` and ``python -m airflow_pop3_gateway …``: one table of verbs, drawn twice.

Strategy: a verb is a row of :data:`VERBS`; its work lives in a module of its own that is imported when the verb runs,
so that ``--help``, Airflow's start and offline verbs stay fast. To add a verb, add a row.

Invariant: this module imports neither Airflow nor a verb; a verb takes the parsed arguments and returns the exit code:
0 done, 1 something could not be done, 2 wrong usage (argparse's own; of ``doctor`` also: no session).
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from airflow_pop3_gateway.config import Auth, Security
from airflow_pop3_gateway.records import Outcome

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand

PROGRAM = "pop3-gateway"
SUMMARY = "POP3 mailboxes as a data source: look at mails, take the tour"


@dataclass(frozen=True)
class Argument:
    """One argument of a verb, in the words of :meth:`argparse.ArgumentParser.add_argument`."""

    flags: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)


def argument(*flags: str, **options: Any) -> Argument:
    """An argument, written as for argparse."""
    return Argument(flags, options)


@dataclass(frozen=True)
class Verb:
    """One verb.

    :ivar work: ``module:function``; the function takes the namespace and returns the exit code.
    :ivar extra: what must be installed besides the package itself.
    """

    name: str
    help: str
    work: str
    arguments: tuple[Argument, ...] = ()
    extra: str = ""

    def run(self, arguments: argparse.Namespace) -> int:
        """Import the module and do the work."""
        module, _, function = self.work.partition(":")
        try:
            work: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(module), function)
        except ModuleNotFoundError as error:
            if not self.extra:
                raise
            print(f"{error}. Install it: pip install 'airflow-pop3-gateway[{self.extra}]'", file=sys.stderr)
            return 1
        try:
            return work(arguments)
        except KeyboardInterrupt:
            return 130


_CONNECTION = argument("connection", help="id of an Airflow connection of type pop3")
_BASE_PATH = argument(
    "--base-path", metavar="URL", help="where everything lies; default: base_path of section pop3_gateway"
)
"""No brackets in a help text: Airflow's own formatter takes them for markup and leaves them out."""
_RULES = (
    argument("--rules", metavar="FILE", help="Application rules as JSON: a list of objects"),
    argument(
        "--applications",
        metavar="FILE",
        help="Applications that have options of their own as JSON: a list of objects",
    ),
)
_ON_A_SITE = (
    _BASE_PATH,
    *_RULES,
    argument(
        "--multiple-attachments",
        choices=("recover", "extract"),
        help="what becomes of a mail with several attachments; default: as the connection says",
    ),
)


def _json(each: str) -> Argument:
    return argument("--json", action="store_true", help=f"one JSON object for each {each}, one a line")


VERBS = (
    Verb(
        "status",
        "say how sites stand: polled or not, what waits; nobody is connected",
        "airflow_pop3_gateway.verbs.polling:status",
        (
            argument("connections", nargs="+", metavar="CONNECTION", help="ids of connections of type pop3"),
            _BASE_PATH,
            _json("site"),
        ),
    ),
    Verb(
        "suspend",
        "suspend the polling of a site until it is resumed; a running session is left alone",
        "airflow_pop3_gateway.verbs.polling:suspend",
        (_CONNECTION, argument("--reason", default="", help="for those who wonder"), _BASE_PATH),
    ),
    Verb(
        "resume",
        "poll a site again",
        "airflow_pop3_gateway.verbs.polling:resume",
        (_CONNECTION, _BASE_PATH),
    ),
    Verb(
        "poll",
        "retrieve, classify and acknowledge here and now, whether the site is suspended or not",
        "airflow_pop3_gateway.verbs.polling:poll",
        (_CONNECTION, *_ON_A_SITE, _json("step")),
    ),
    Verb(
        "doctor",
        "examine the server of a mailbox: TLS, logins, whether it keeps to the protocol; nothing is deleted",
        "airflow_pop3_gateway.verbs.doctor:run",
        (
            argument("connection", nargs="?", help="id of an Airflow connection of type pop3"),
            argument("--host", help="instead of a connection: the server; the other options are about it"),
            argument("--port", type=int, help="default: 995 for tls, 110 otherwise"),
            argument("--security", choices=get_args(Security), help="default: tls"),
            argument(
                "--login",
                help="the account; its password is read from POP3_PASSWORD in the environment, or asked for; "
                "without an account only what anybody can see is looked at",
            ),
            argument("--auth", choices=get_args(Auth), help="default: auto"),
            argument("--ca-file", metavar="FILE", help="authorities to trust instead of the system's"),
            argument("--fingerprint", metavar="SHA256", help="trust exactly this certificate"),
            argument("--server-hostname", metavar="NAME", help="name the certificate must carry"),
            _json("address"),
        ),
    ),
    Verb(
        "classify",
        "say what the gateway would make of mails; nothing is stored or sent",
        "airflow_pop3_gateway.verbs.classify:run",
        (
            argument("files", nargs="+", metavar="FILE", help="a mail as a file, - for standard input"),
            _json("file"),
            argument("--application", default="MAIL", help="the Application that is proposed"),
            *_RULES,
            argument("--originator", default="", help="the connection the rules are told of"),
            argument("--destination", default="", help="the login the rules are told of"),
            argument(
                "--multiple-attachments",
                choices=("recover", "extract"),
                default="recover",
                help="what becomes of a mail with several attachments",
            ),
        ),
    ),
    Verb(
        "quarantine",
        "list the mails that were rejected, release some as the rules are now, or dismiss what nobody wants",
        "airflow_pop3_gateway.verbs.quarantine:run",
        (
            argument("action", choices=("list", "release", "dismiss")),
            _CONNECTION,
            argument("local_idents", nargs="*", metavar="LOCAL_IDENT", help="as the list gives them"),
            argument("--reason", default="", help="why it is dismissed, for people"),
            *_ON_A_SITE,
            _json("mail"),
        ),
    ),
    Verb(
        "receipts",
        "list who waits for an acknowledgment, answer as a person, or show what waits in the outbox",
        "airflow_pop3_gateway.verbs.receipts:run",
        (
            argument("action", choices=("list", "answer", "outbox")),
            _CONNECTION,
            argument("local_idents", nargs="*", metavar="LOCAL_IDENT", help="as the list gives them"),
            argument("--negative", action="store_true", help="a negative acknowledgement"),
            argument(
                "--outcome",
                choices=[word for word in get_args(Outcome) if word != "unsupported"],
                default="processed",
                help="what the receipt says; none: no receipt is sent",
            ),
            argument("--text", default="", help="for the sender to read"),
            _BASE_PATH,
            argument(
                "--json", action="store_true", help="one JSON object for each request, or for the answer"
            ),
        ),
    ),
    Verb(
        "sent",
        "list the transfers that wait for their acknowledgment, show one, or wait no longer for some",
        "airflow_pop3_gateway.verbs.sent:run",
        (
            argument("action", choices=("list", "show", "dismiss")),
            argument("keys", nargs="*", metavar="KEY", help="as the list gives them"),
            argument("--overdue", action="store_true", help="list only those whose deadline has passed"),
            _BASE_PATH,
            _json("transfer"),
        ),
    ),
    Verb(
        "replay",
        "say which stored mails would be something else with the rules of now; nothing is changed",
        "airflow_pop3_gateway.verbs.quarantine:replay",
        (_CONNECTION, *_ON_A_SITE, _json("difference")),
    ),
    Verb(
        "demo",
        "take the tour: embedded servers, one mail of every kind, the sample DAG, twice",
        "airflow_pop3_gateway.demo.tour:run",
        (
            argument(
                "--keep", metavar="FOLDER", help="run in this folder and leave everything there to look at"
            ),
        ),
        extra="demo",
    ),
    Verb(
        "standalone",
        "start Airflow with the sample DAGs, connections and embedded servers, to look at in a browser",
        "airflow_pop3_gateway.demo.standalone:run",
        (argument("--folder", default=".standalone", help="where Airflow keeps its things"),),
        extra="demo",
    ),
)


def parser() -> argparse.ArgumentParser:
    """The parser of ``python -m airflow_pop3_gateway``."""
    top = argparse.ArgumentParser(prog=PROGRAM, description=SUMMARY)
    verbs = top.add_subparsers(metavar="VERB", required=True)
    for verb in VERBS:
        below = verbs.add_parser(verb.name, help=verb.help, description=verb.help)
        for each in verb.arguments:
            below.add_argument(*each.flags, **each.options)
        below.set_defaults(run=verb.run)
    return top


def main(words: Sequence[str] | None = None) -> int:
    """Run one verb. :returns: the exit code."""
    arguments = parser().parse_args(words)
    code: int = arguments.run(arguments)
    return code


def airflow_commands() -> list[CLICommand]:
    """The same verbs for ``airflow``, which calls this through the provider's ``cli`` entry."""
    from airflow.cli.cli_config import ActionCommand, Arg, GroupCommand

    def leaving(verb: Verb) -> Callable[[argparse.Namespace], None]:
        return lambda arguments: sys.exit(verb.run(arguments))

    return [
        GroupCommand(
            name=PROGRAM,
            help=SUMMARY,
            subcommands=[
                ActionCommand(
                    name=verb.name,
                    help=verb.help,
                    func=leaving(verb),
                    args=[Arg(each.flags, **each.options) for each in verb.arguments],  # type: ignore[no-untyped-call]
                )
                for verb in VERBS
            ],
        )
    ]
