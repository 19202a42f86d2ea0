"""A desk to put a letter on: understands a mail with files in memory, so that a test reads like a sentence."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from unittest import mock

import hypothesis
import pytest

from airflow_pop3_gateway.mail import extract
from airflow_pop3_gateway.mail.extract import Policy, Understanding, understand
from airflow_pop3_gateway.mail.headers import Head

hypothesis.settings.register_profile("busy-machine", deadline=None)
hypothesis.settings.load_profile("busy-machine")


class Drawer:
    """A file in memory; published ones are in ``desk.files`` under their safe name."""

    def __init__(self, desk: Desk, name: str, content_type: str) -> None:
        self.desk, self.name, self.content_type = desk, name, content_type
        self.octets = bytearray()

    def write(self, data: bytes) -> None:
        if self.desk.fails:
            raise OSError("no space left on device")
        self.octets += data

    def commit(self) -> str:
        self.desk.open.remove(self)
        assert self.name not in self.desk.files
        self.desk.files[self.name] = bytes(self.octets)
        return f"key/{self.name}"

    def discard(self) -> None:
        if self in self.desk.open:
            self.desk.open.remove(self)


class Desk:
    """Calls :func:`understand` and remembers what was opened and published."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.open: list[Drawer] = []
        self.most_open = 0
        self.chosen: list[Head] = []
        self.fails = False

    def open_file(self, name: str, content_type: str) -> Drawer:
        drawer = Drawer(self, name, content_type)
        self.open.append(drawer)
        self.most_open = max(self.most_open, len(self.open))
        return drawer

    def understand(self, mail: bytes | Iterable[bytes], policy: Policy | None = None) -> Understanding:
        def choose(head: Head) -> Policy:
            self.chosen.append(head)
            return policy or Policy()

        chunks = [mail] if isinstance(mail, bytes) else mail
        with mock.patch.object(extract, "_GATHERED", 1):  # who gives pieces means these
            understanding = understand(chunks, choose, self.open_file)
        assert not self.open, "everything that was opened is published or discarded"
        assert len(self.chosen) == 1, "the Application is chosen exactly once"
        return understanding

    @staticmethod
    def letter(text: str, **octets: bytes) -> bytes:
        """A mail with CRLF from an indented text; ``{name}`` places raw octets."""
        mail = textwrap.dedent(text).lstrip("\n").replace("\n", "\r\n").encode()
        for name, value in octets.items():
            mail = mail.replace(b"{%s}" % name.encode(), value)
        return mail


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def letter():
    return Desk.letter
