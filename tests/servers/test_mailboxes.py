"""The POP3 servers of the tests work, as the standard library's client sees them."""

from __future__ import annotations

import poplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from support.dovecot import Dovecot
from support.mailutils import Mailutils
from support.served import new_name

from airflow_pop3_gateway.testing import letters
from airflow_pop3_gateway.testing.certificates import Certificates

Server = Dovecot | Mailutils
LogIn = Callable[[str], AbstractContextManager[poplib.POP3]]
FIRST, SECOND = letters.message(1), letters.file_attached(2)


@pytest.fixture(params=["dovecot", "mailutils"])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["plain", "starttls", "tls"])
def log_in(request: pytest.FixtureRequest, server: Server, certificates: Certificates) -> LogIn:
    """Opens a session by each way of protection."""
    trusting = ssl.create_default_context(cafile=certificates.ca_file)

    @contextmanager
    def open_session(login: str) -> Iterator[poplib.POP3]:
        client: poplib.POP3
        if request.param == "tls":
            client = poplib.POP3_SSL(server.host, server.tls_port, context=trusting)
        else:
            client = poplib.POP3(server.host, server.port)
        try:
            if request.param == "starttls":
                client.stls(trusting)
            client.user(login)
            client.pass_(server.password)
            yield client
        finally:
            client.close()

    return open_session


def test_a_mailbox_is_listed_read_and_emptied(server: Server, log_in: LogIn) -> None:
    login = server.add(new_name(), FIRST, SECOND)

    with log_in(login) as client:
        assert len(client.list()[1]) == 2
        lines = [line for line in client.retr(2)[1] if not line.startswith(b"X-UIDL:")]
        assert b"".join(line + b"\r\n" for line in lines) == SECOND
        client.dele(1)
        client.quit()

    assert len(server.mails(login)) == 1
    with log_in(login) as client:
        assert len(client.uidl()[1]) == 1


def test_what_is_delivered_later_is_listed_after_what_was_there(server: Server, log_in: LogIn) -> None:
    login = server.add(new_name(), FIRST)
    with log_in(login) as client:
        before = client.uidl()[1][0].split()[1]
        client.quit()
    server.deliver(login, SECOND)

    with log_in(login) as client:
        after = [line.split()[1] for line in client.uidl()[1]]
        assert (len(after), after[0]) == (2, before)


def test_a_stranger_is_refused(server: Server, log_in: LogIn) -> None:
    with pytest.raises(poplib.error_proto, match="AUTH"), log_in("stranger@box.example"):
        pass
