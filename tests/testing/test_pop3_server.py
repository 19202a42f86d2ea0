"""The embedded POP3 server does what RFC 1939 says, as the standard library's client sees it."""

from __future__ import annotations

import hashlib
import hmac
import poplib
import ssl
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_pop3_gateway.testing import letters
from airflow_pop3_gateway.testing.certificates import Certificates
from airflow_pop3_gateway.testing.pop3_server import Pop3Server

Serve = Callable[..., Pop3Server]
Connect = Callable[..., poplib.POP3]
FIRST, SECOND = letters.message(1), letters.file_attached(2)


@pytest.fixture
def connect() -> Iterator[Callable[..., poplib.POP3]]:
    """Opens connections that are closed after the test."""
    with ExitStack() as stack:

        def open_one(server: Pop3Server, tls: ssl.SSLContext | None = None) -> poplib.POP3:
            port = server.port
            client = (
                poplib.POP3_SSL(server.host, port, context=tls) if tls else poplib.POP3(server.host, port)
            )
            stack.callback(client.close)
            return client

        yield open_one


@pytest.fixture
def log_in(connect: Connect) -> Connect:
    """Opens a connection and logs in."""

    def log_in(
        server: Pop3Server, login: str = "edi", password: str = "secret", **options: Any
    ) -> poplib.POP3:
        client = connect(server, **options)
        client.user(login)
        client.pass_(password)
        return client

    return log_in


def octets(client: poplib.POP3, number: int) -> bytes:
    return b"".join(line + b"\r\n" for line in client.retr(number)[1])


def test_a_mailbox_is_listed_read_and_emptied_by_quit(pop3_server: Serve, log_in: Connect) -> None:
    server = pop3_server({"edi": [FIRST, SECOND]})

    client = log_in(server)
    assert client.stat() == (2, len(FIRST) + len(SECOND))
    assert client.list()[1] == [b"1 %d" % len(FIRST), b"2 %d" % len(SECOND)]
    assert [octets(client, 1), octets(client, 2)] == [FIRST, SECOND]
    client.dele(1)
    assert server.mails("edi") == [FIRST, SECOND], "nothing is deleted before QUIT"
    client.quit()

    assert server.mails("edi") == [SECOND]


def test_a_lost_connection_and_rset_forget_deletions(pop3_server: Serve, log_in: Connect) -> None:
    server = pop3_server({"edi": [FIRST]})

    client = log_in(server)
    client.dele(1)
    client.rset()
    client.quit()
    lost = log_in(server)
    lost.dele(1)
    lost.close()

    assert server.mails("edi") == [FIRST]


def test_uidls_stay_and_are_never_given_twice(pop3_server: Serve, log_in: Connect) -> None:
    server = pop3_server({"edi": [FIRST, SECOND]})

    client = log_in(server)
    before = [line.split()[1] for line in client.uidl()[1]]
    client.dele(1)
    client.quit()
    server.deliver("edi", FIRST)
    after = [line.split()[1] for line in log_in(server).uidl()[1]]

    assert after[0] == before[1]
    assert after[1] not in before


def test_a_mail_that_comes_during_a_session_is_seen_by_the_next(pop3_server: Serve, log_in: Connect) -> None:
    server = pop3_server({"edi": [FIRST]})

    client = log_in(server)
    server.deliver("edi", SECOND)
    assert client.stat()[0] == 1
    client.quit()

    assert log_in(server).stat()[0] == 2


@pytest.mark.parametrize(
    "mail",
    [
        b".\r\n..\r\n.a\r\n\r\n.\r\n..b\r\n",
        b"Subject: dots\r\n\r\n" + b".\r\n" * 20_000,
        b"Subject: 8bit\r\n\r\n" + bytes(range(128, 256)) + b"\r\n",
        b"Subject: bare\r\n\r\na\nb\rc\n.d\r\n",
        letters.nested(),
    ],
    ids=["only dots", "dots at every boundary", "8-bit", "bare CR and LF", "nested"],
)
def test_octets_come_as_they_are(pop3_server: Serve, log_in: Connect, mail: bytes) -> None:
    """Read by hand: poplib does not keep line ends."""
    server = pop3_server({"edi": [mail]})
    client = log_in(server)
    client.sock.sendall(b"RETR 1\r\n")
    received = client.file.readline()
    assert received.startswith(b"+OK")
    body = b""
    while not (b"\r\n" + body).endswith(b"\r\n.\r\n"):
        body += client.file.read1(1 << 16)

    assert ((b"\r\n" + body)[:-3].replace(b"\r\n..", b"\r\n."))[2:] == mail


def test_top_gives_the_header_and_so_many_lines(pop3_server: Serve, log_in: Connect) -> None:
    server = pop3_server({"edi": [b"Subject: x\r\n\r\none\r\ntwo\r\nthree\r\n"]})
    client = log_in(server)

    assert client.top(1, 0)[1] == [b"Subject: x", b""]
    assert client.top(1, 2)[1] == [b"Subject: x", b"", b"one", b"two"]


def test_a_second_session_is_told_the_maildrop_is_in_use(pop3_server: Serve, log_in: Connect) -> None:
    server = pop3_server({"edi": [FIRST]})
    first = log_in(server)

    with pytest.raises(poplib.error_proto, match=r"\[IN-USE\]"):
        log_in(server)
    first.quit()
    log_in(server)


@pytest.mark.parametrize(("login", "password"), [("edi", "wrong"), ("nobody", "secret")])
def test_a_wrong_login_is_refused_with_a_code(
    pop3_server: Serve, log_in: Connect, login: str, password: str
) -> None:
    with pytest.raises(poplib.error_proto, match=r"\[AUTH\]"):
        log_in(pop3_server({"edi": []}), login, password)


@pytest.mark.parametrize(
    "line", ["RETR 9", "RETR x", "DELE 9", "DELE x", "LIST 9", "UIDL 9", "TOP 1 x", "XYZ"]
)
def test_a_wrong_command_is_refused_and_the_session_goes_on(
    pop3_server: Serve, log_in: Connect, line: str
) -> None:
    client = log_in(pop3_server({"edi": [FIRST]}))

    with pytest.raises(poplib.error_proto, match="-ERR"):
        client._shortcmd(line)  # type: ignore[attr-defined]
    assert client.stat()[0] == 1


def test_pipelined_commands_are_answered_in_order_even_refused_ones(
    pop3_server: Serve, log_in: Connect
) -> None:
    client = log_in(pop3_server({"edi": [b"a: b\r\n\r\nc\r\n"]}))
    client.sock.sendall(b"RETR 1\r\nDELE 7\r\nRETR 9\r\nDELE 1\r\nRETR 1\r\nNOOP\r\nQUIT\r\n")

    answers = client.file.read().splitlines()

    assert [line[:4].strip() for line in answers] == [
        *(b"+OK", b"a: b", b"", b"c", b"."),
        *(b"-ERR", b"-ERR", b"+OK", b"-ERR", b"+OK", b"+OK"),
    ]


def test_apop_and_cram_md5(pop3_server: Serve, connect: Connect) -> None:
    server = pop3_server({"edi": [FIRST]})
    by_apop = connect(server)
    by_apop.apop("edi", "secret")
    assert by_apop.stat()[0] == 1
    by_apop.quit()

    by_cram = connect(server)
    by_cram.sock.sendall(b"AUTH CRAM-MD5\r\n")
    challenge = b64decode(by_cram.file.readline()[2:])
    digest = hmac.new(b"secret", challenge, hashlib.md5).hexdigest()
    by_cram.sock.sendall(b64encode(f"edi {digest}".encode()) + b"\r\n")

    assert by_cram.file.readline().startswith(b"+OK")


def test_starttls_is_required_where_it_is_offered(
    pop3_server: Serve, connect: Connect, certificates: Certificates
) -> None:
    server = pop3_server({"edi": [FIRST]}, security="starttls")
    client = connect(server)
    assert "STLS" in client.capa()
    with pytest.raises(poplib.error_proto, match="STLS first"):
        client.user("edi")

    client.stls(ssl.create_default_context(cafile=certificates.ca_file))
    assert "STLS" not in client.capa()
    client.user("edi")
    client.pass_("secret")

    assert octets(client, 1) == FIRST


def test_tls_from_the_first_octet_is_trusted_only_with_its_authority(
    pop3_server: Serve, connect: Connect, log_in: Connect, certificates: Certificates
) -> None:
    server = pop3_server({"edi": [FIRST]}, security="tls")
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(server, ssl.create_default_context())

    client = log_in(server, tls=ssl.create_default_context(cafile=server.ca_file))

    assert octets(client, 1) == FIRST


def test_many_servers_share_the_process_and_a_closed_one_is_gone(
    pop3_server: Serve, log_in: Connect, connect: Connect
) -> None:
    server = pop3_server({"edi": [FIRST]})
    with Pop3Server({"edi": [SECOND]}) as other:
        assert octets(log_in(other), 1) == SECOND
        assert octets(log_in(server), 1) == FIRST

    with pytest.raises(ConnectionRefusedError):
        connect(other)


def test_the_transcript_has_no_secrets(pop3_server: Serve, log_in: Connect) -> None:
    server = pop3_server({"edi": []})
    log_in(server).quit()

    assert server.transcript == ["USER edi", "PASS ***", "QUIT"]
