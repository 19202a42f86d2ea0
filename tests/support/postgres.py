"""Debian's PostgreSQL, empty, for one test session; nothing it writes has to survive a crash."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess

from support.programs import Program, free_ports


class Postgres(Program):
    """A server with one database. :ivar url: how SQLAlchemy finds it."""

    name = "postgres"
    package = "postgresql"

    def __init__(self) -> None:
        super().__init__()
        (self.port,) = free_ports(1)
        self._data = self.folder / "data"
        self.url = f"postgresql+psycopg2://airflow@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        self._data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            shutil.chown(self._data, "postgres", "postgres")
        initdb = self.path.removesuffix("postgres") + "initdb"
        words = [initdb, "-D", str(self._data), "-U", "airflow", "-A", "trust", "--no-sync"]
        subprocess.run(self._unprivileged(words), check=True, capture_output=True, cwd="/")
        words = [self.path, "-D", str(self._data), "-p", str(self.port), "-k", str(self._data)]
        options = ["listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "max_connections=200"]
        return self._unprivileged([*words, *(word for option in options for word in ("-c", option))])

    def ports(self) -> list[int]:
        return [self.port]

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # does not wait for its clients
            self._process.wait(30)

    @staticmethod
    def _unprivileged(words: list[str]) -> list[str]:
        """It refuses to run as root."""
        if os.geteuid() != 0:
            return words
        group = str(pwd.getpwnam("postgres").pw_gid)
        return ["setpriv", "--reuid", "postgres", "--regid", group, "--clear-groups", *words]
