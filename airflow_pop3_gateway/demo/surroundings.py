"""What the tour and the browser session run in: POP3, SMTP and S3 servers, and an Airflow of their own that knows them.

Strategy: Airflow is used as its users use it, by its command line in processes of their own; everything it needs to
know goes through environment variables, so that nothing of the user's own Airflow is read or changed.

Invariant: servers listen on free ports of 127.0.0.1 and stop when the context closes; Airflow's files stay in the
folder given.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

import airflow_pop3_gateway
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.testing.object_store import S3Server
from airflow_pop3_gateway.testing.pop3_server import Pop3Server
from airflow_pop3_gateway.testing.smtp_server import SmtpServer

PREFIX = "gateway"
SITE_OPTIONS = {
    "partners": {"acknowledge_after": "processed"},
    "approvals": {"acknowledgment_option": "ack_by_user"},
}
"""What the sample DAGs ask of the connections they name."""
_CHECKOUT = Path(airflow_pop3_gateway.__file__).parent.parent


def sample_dags() -> Path:
    """The folder of the sample DAGs. :raises ConfigurationError: when this is not a checkout."""
    folder = _CHECKOUT / "dags"
    if not (folder / "pop3_poll_one_site.py").is_file():
        raise ConfigurationError(
            f"The sample DAGs are not at {folder}; run this from a checkout of the project.", field="dags"
        )
    return folder


class Surroundings:
    """Running servers and the environment of an Airflow that knows them.

    :param home: ``AIRFLOW_HOME``; the database is made there.
    :param maildrops: connection id → mails; the connection's id is the login too.
    :param settings: further environment variables for Airflow.
    """

    def __init__(
        self, home: Path, maildrops: Mapping[str, Sequence[bytes]], settings: Mapping[str, str] | None = None
    ) -> None:
        self.home = home.absolute()
        self.dags = sample_dags()
        self.pop3 = Pop3Server({login: list(mails) for login, mails in maildrops.items()})
        self.smtp = SmtpServer()
        self.s3 = S3Server("demo")
        self._logins = tuple(maildrops)
        self._settings = dict(settings or {})
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Surroundings:
        self.home.mkdir(parents=True, exist_ok=True)
        with self._open:
            for server in (self.s3, self.smtp, self.pop3):
                self._open.enter_context(server)
            self._open = self._open.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def base_path(self) -> str:
        """Where the gateway stores, as Airflow is told."""
        return f"s3://demo_s3@{self.s3.bucket}/{PREFIX}"

    def store(self) -> Store:
        """The same place, for looking at it from outside of Airflow."""
        from upath import UPath

        return Store.at(UPath(f"s3://{self.s3.bucket}/{PREFIX}", **self.s3.storage_options))

    def connections(self) -> dict[str, dict[str, Any]]:
        """Every connection by its id, in the form ``airflow connections import`` reads."""
        relay = {
            "conn_type": "smtp",
            "host": self.smtp.host,
            "port": self.smtp.port,
            "extra": {"disable_ssl": True, "disable_tls": True},
        }
        store = json.loads(self.s3.airflow_connection())
        return {"demo_s3": store, "smtp_default": relay} | {
            login: self._site(login) for login in self._logins
        }

    def environment(self, *, with_connections: bool = True) -> dict[str, str]:
        """The environment of Airflow's processes; nothing of another Airflow is inherited.

        :param with_connections: give the connections here, where Airflow looks first and no page shows them.
        """
        connections = self.connections() if with_connections else {}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
        search = [str(_CHECKOUT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **inherited,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
            "PYTHONPATH": os.pathsep.join(search),
            "NO_PROXY": "127.0.0.1,localhost",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__POP3_GATEWAY__BASE_PATH": self.base_path,
            **{f"AIRFLOW_CONN_{name.upper()}": json.dumps(item) for name, item in connections.items()},
            **self._settings,
        }

    def _site(self, login: str) -> dict[str, Any]:
        options = SITE_OPTIONS.get(login, {})
        return {
            "conn_type": "pop3",
            "host": self.pop3.host,
            "port": self.pop3.port,
            "login": login,
            "password": self.pop3.password,
            "extra": {"security": "plain", "mail_address": "edi@customer.example", **options},
        }

    def airflow(self, *words: str, log: TextIO) -> int:
        """Run one command of Airflow to its end. :returns: its exit code."""
        command = [sys.executable, "-m", "airflow", *words]
        print("$ airflow", *words, file=log, flush=True)
        return subprocess.run(
            command, env=self.environment(), cwd=self.home, stdout=log, stderr=log, check=False
        ).returncode
