"""One mail over one connection: what is said to a server, and how long its answers are waited for."""

from __future__ import annotations

import smtplib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_pop3_gateway.errors import RelayUnavailable
from airflow_pop3_gateway.gateway.send import Envelope
from airflow_pop3_gateway.hooks import submission
from airflow_pop3_gateway.testing.smtp_server import SmtpServer

MAIL = b"Subject: x\r\n\r\n.dot\r\n"


class Watched(smtplib.SMTP):
    """Notes how long it is ready to wait for each answer."""

    def __init__(self, server: SmtpServer) -> None:
        self.waits: list[float | None] = []
        super().__init__(server.host, server.port, "localhost", timeout=7)

    def getreply(self) -> tuple[int, bytes]:
        assert self.sock is not None
        self.waits.append(self.sock.gettimeout())
        return super().getreply()


class Rude(smtplib.SMTP):
    """Hears a server that would clear the screen."""

    def getreply(self) -> tuple[int, bytes]:
        code, words = super().getreply()
        return code, words + b"\x1b[2J"


@pytest.fixture(scope="module")
def server() -> Any:
    with SmtpServer() as running:
        yield running


def envelope(mail: bytes = MAIL) -> Envelope:
    return Envelope("a@x.example", ["b@x.example"], len(mail), not mail.isascii())


def test_the_answer_to_a_mail_is_waited_for_longer_than_any_other(server: SmtpServer) -> None:
    """Whoever gives up on it sends the mail twice (RFC 5321 §4.5.3.2.6)."""
    with Watched(server) as client:
        submission.submit(client, envelope(), lambda: (MAIL,))
        assert client.waits[-1] == submission.LAST_REPLY == 600
        assert set(client.waits[:-1]) == {7}
        assert client.sock is not None and client.sock.gettimeout() == 7


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([b".", b"..", b"a", b"\r\n", b"\r\n.\r\n", b"\xe9"]), max_size=20),
    st.integers(1, 7),
)
def test_octets_arrive_as_they_are_however_they_come_in_pieces(
    server: SmtpServer, words: list[bytes], size: int
) -> None:
    mail = b"Subject: x\r\n\r\n" + b"".join(words) + b"\r\n"
    pieces = [mail[at : at + size] for at in range(0, len(mail), size)]
    with smtplib.SMTP(server.host, server.port, "localhost") as client:
        submission.submit(client, envelope(mail), lambda: pieces)
    assert server.box.pop().octets == mail


def test_what_a_server_says_is_one_line_that_moves_no_cursor(server: SmtpServer) -> None:
    """It goes into logs, records and errors."""
    with Rude(server.host, server.port, "localhost") as client:
        said = submission.submit(client, envelope(), lambda: (MAIL,))
    assert said.replies == {"b@x.example": "250 2.0.0 message taken [2J"}


def test_a_server_that_says_goodbye_is_left_and_the_mail_is_for_later(
    smtp_server: Callable[..., SmtpServer],
) -> None:
    closing = smtp_server("rcpt-421")
    with smtplib.SMTP(closing.host, closing.port, "localhost") as client:
        with pytest.raises(RelayUnavailable, match="421"):
            submission.submit(client, envelope(), lambda: (MAIL,))
        assert client.sock is None
