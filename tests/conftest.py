"""Servers and stores for every test; each on a free port of this machine, stopped by who started it.

Airflow reads its configuration when it is imported: before the first test module is, it gets a home of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

_HOME = tempfile.mkdtemp(prefix="airflow-tests-")
os.environ["AIRFLOW_HOME"] = _HOME
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"
os.environ["AIRFLOW__CORE__DAGS_FOLDER"] = str(Path(__file__).resolve().parent.parent / "dags")
os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] = f"sqlite:///{_HOME}/airflow.db"

os.environ["AIRFLOW__API_AUTH__JWT_SECRET"] = (
    "a secret of the tests, as long as the hash it goes into wants one to be: 64"
)

import pytest
from support.maildrop import Maildrop
from upath import UPath

from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.testing.certificates import Certificates
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server
from airflow_pop3_gateway.testing.object_store import S3Server
from airflow_pop3_gateway.testing.pop3_server import Pop3Server
from airflow_pop3_gateway.testing.smtp_server import SmtpServer


def pytest_unconfigure() -> None:
    """The home goes when the tests are done."""
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    """An authority of the tests' own, and a certificate for ``localhost`` and 127.0.0.1."""
    return Certificates()


@pytest.fixture(scope="session")
def database() -> None:
    """Airflow's database in the home of the tests, made once; takes some ten seconds."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], capture_output=True, check=True)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """One S3 server for all tests; each takes a prefix of its own."""
    with S3Server() as server:
        yield server


@pytest.fixture(params=["file", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A fresh, empty store that carries the journal: a local folder, then a prefix of an S3 bucket."""
    if request.param == "file":
        return Store.at(tmp_path)
    server: S3Server = request.getfixturevalue("s3_server")
    return Store.at(UPath(f"s3://{server.bucket}/{uuid.uuid4().hex}", **server.storage_options))


@pytest.fixture
def smtp_server(certificates: Certificates) -> Iterator[Callable[..., SmtpServer]]:
    """Starts SMTP servers: ``smtp_server(fault, …, option=value)``."""
    with ExitStack() as stack:

        def start(*faults: str, **options: Any) -> SmtpServer:
            return stack.enter_context(SmtpServer(*faults, certificates=certificates, **options))

        yield start


@pytest.fixture
def pop3_server(certificates: Certificates) -> Iterator[Callable[..., Pop3Server]]:
    """Starts POP3 servers: ``pop3_server({login: [mail, …]}, option=value)``."""
    with ExitStack() as stack:

        def start(maildrops: dict[str, list[bytes]], **options: Any) -> Pop3Server:
            return stack.enter_context(Pop3Server(maildrops, certificates=certificates, **options))

        yield start


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Defines an Airflow connection in the environment, where Airflow looks first, and gives its id."""

    def define(conn_id: str, **fields: Any) -> str:
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
        return conn_id

    return define


@pytest.fixture
def maildrop(tmp_path: Path) -> Iterator[Callable[..., Maildrop]]:
    """Opens maildrops: ``maildrop(mail, mail, …, option=value)``; options are those of the site."""
    with ExitStack() as stack:

        def open_one(*mails: bytes, **options: Any) -> Maildrop:
            server = stack.enter_context(FaultyPop3Server(edi=mails))
            return Maildrop(server, Store.at(tmp_path)).setup(**options)

        yield open_one
