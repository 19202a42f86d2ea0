"""The server that misbehaves on demand behaves without a fault, and does what each fault says, as poplib sees it."""

from __future__ import annotations

import poplib
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from airflow_pop3_gateway.testing import faulty_pop3_server, letters
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server

Serve = Callable[..., FaultyPop3Server]
LogIn = Callable[..., poplib.POP3]
FIRST, SECOND = letters.message(1), letters.file_attached(2)
GONE = (poplib.error_proto, EOFError, OSError)
"""What poplib raises when the connection ends: an end it noticed, or none."""


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server with two mails for ``edi`` and these faults."""
    with ExitStack() as stack:
        yield lambda *faults: stack.enter_context(FaultyPop3Server(*faults, edi=[FIRST, SECOND]))


@pytest.fixture
def connect() -> Iterator[LogIn]:
    """Opens connections that give up waiting soon, and are closed after the test."""
    with ExitStack() as stack:

        def open_one(server: FaultyPop3Server, timeout: float = 20) -> poplib.POP3:
            client = poplib.POP3(server.host, server.port, timeout=timeout)
            stack.callback(client.close)
            return client

        yield open_one


@pytest.fixture
def log_in(connect: LogIn) -> LogIn:
    def log_in(server: FaultyPop3Server, timeout: float = 20) -> poplib.POP3:
        client = connect(server, timeout)
        client.user("edi")
        client.pass_("secret")
        return client

    return log_in


def octets(client: poplib.POP3, number: int) -> bytes:
    return b"".join(line + b"\r\n" for line in client.retr(number)[1])


def left(server: FaultyPop3Server) -> list[bytes]:
    return list(server.mailboxes["edi"].mails.values())


# -- without a fault --------------------------------------------------------------------------------------------


def test_a_mailbox_is_listed_read_and_emptied_by_quit(serve: Serve, log_in: LogIn) -> None:
    server = serve()
    client = log_in(server)

    assert client.stat() == (2, len(FIRST) + len(SECOND))
    assert client.list()[1] == [b"1 %d" % len(FIRST), b"2 %d" % len(SECOND)]
    assert [octets(client, 1), octets(client, 2)] == [FIRST, SECOND]
    head, _, body = SECOND.partition(b"\r\n\r\n")
    assert b"\r\n".join(client.top(2, 1)[1]) == head + b"\r\n\r\n" + body.partition(b"\r\n")[0]
    client.dele(1)
    assert client.stat() == (1, len(SECOND))
    assert left(server) == [FIRST, SECOND]
    client.quit()

    assert left(server) == [SECOND]


def test_uidls_stay_and_differ(serve: Serve, log_in: LogIn) -> None:
    server = serve()
    first = log_in(server)
    before = first.uidl()[1]
    first.quit()

    assert log_in(server).uidl()[1] == before
    assert len(set(before)) == 2


def test_rset_and_a_lost_connection_forget_deletions(serve: Serve, log_in: LogIn) -> None:
    server = serve("cut:NOOP")
    client = log_in(server)
    client.dele(1)
    client.rset()
    client.dele(2)

    with pytest.raises(GONE):
        client.noop()

    assert left(server) == [FIRST, SECOND]


def test_a_second_session_and_a_wrong_password_are_refused(
    serve: Serve, connect: LogIn, log_in: LogIn
) -> None:
    server = serve()
    log_in(server)

    with pytest.raises(poplib.error_proto, match="IN-USE"):
        log_in(server)
    stranger = connect(server)
    stranger.user("edi")
    with pytest.raises(poplib.error_proto, match="AUTH"):
        stranger.pass_("wrong")


def test_pipelined_commands_are_answered_in_order(serve: Serve, log_in: LogIn) -> None:
    client = log_in(serve())
    assert "PIPELINING" in client.capa()

    client.sock.sendall(b"NOOP\r\nRETR 9\r\nSTAT\r\n")

    answers = [client.file.readline() for _ in range(3)]
    assert [answer[:4].rstrip() for answer in answers] == [b"+OK", b"-ERR", b"+OK"]


# -- faults -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["in-use", "login-delay", "sys-temp", "sys-perm"])
def test_a_login_is_refused_with_its_code(serve: Serve, log_in: LogIn, fault: str) -> None:
    code = fault.upper().replace("SYS-", "SYS/")

    with pytest.raises(poplib.error_proto, match=re.escape(f"[{code}]")):
        log_in(serve(fault))


@pytest.mark.parametrize("fault", ["greeting-err", "greeting-hang"])
def test_no_greeting_no_session(serve: Serve, connect: LogIn, fault: str) -> None:
    with pytest.raises(poplib.error_proto if fault == "greeting-err" else TimeoutError):
        connect(serve(fault), 0.2)


@pytest.mark.parametrize(
    ("fault", "seen"), [("hang:STAT", TimeoutError), ("cut:STAT", GONE), ("err:STAT", poplib.error_proto)]
)
def test_one_command_hangs_ends_the_connection_or_is_refused(
    serve: Serve, log_in: LogIn, fault: str, seen: type[Exception]
) -> None:
    client = log_in(serve(fault), 0.2)
    client.noop()

    with pytest.raises(seen):
        client.stat()


def test_a_mail_ends_early(serve: Serve, log_in: LogIn) -> None:
    client = log_in(serve("retr-cut:10"))

    client.sock.sendall(b"RETR 1\r\n")

    assert client.file.read() == b"+OK\r\n" + FIRST[:10]


def test_a_mail_stops_in_its_middle_and_the_connection_stays(serve: Serve, log_in: LogIn) -> None:
    client = log_in(serve("retr-hang:10"), 0.2)

    client.sock.sendall(b"RETR 1\r\n")

    assert client.file.read(15) == b"+OK\r\n" + FIRST[:10]
    with pytest.raises(TimeoutError):
        client.file.read(1)


def test_one_mail_is_refused_or_empty_and_the_other_is_whole(serve: Serve, log_in: LogIn) -> None:
    server = serve("retr-err:1")
    client = log_in(server)

    with pytest.raises(poplib.error_proto, match="could not be read"):
        client.retr(1)
    assert octets(client, 2) == SECOND
    server.faults = {"retr-empty:1"}
    assert (octets(client, 1), octets(client, 2)) == (b"", SECOND)


@pytest.mark.parametrize(
    ("fault", "answered", "stays"),
    [
        ("quit-lost", False, [SECOND]),
        ("quit-rollback", False, [FIRST, SECOND]),
        ("quit-err", False, [FIRST, SECOND]),
        ("quit-lies", True, [FIRST, SECOND]),
    ],
)
def test_the_answer_to_quit_and_the_deletions_are_two_things(
    serve: Serve, log_in: LogIn, fault: str, answered: bool, stays: list[bytes]
) -> None:
    server = serve(fault)
    client = log_in(server)
    client.dele(1)

    if answered:
        client.quit()
    else:
        with pytest.raises(GONE):
            client.quit()

    assert left(server) == stays


@pytest.mark.parametrize(("fault", "word"), [("no-uidl", "UIDL"), ("no-top", "TOP")])
def test_an_optional_command_is_neither_offered_nor_there(
    serve: Serve, log_in: LogIn, fault: str, word: str
) -> None:
    client = log_in(serve(fault))

    assert word not in client.capa()
    with pytest.raises(poplib.error_proto):
        client.uidl() if word == "UIDL" else client.top(1, 0)


def test_capabilities_are_not_told(serve: Serve, log_in: LogIn) -> None:
    with pytest.raises(poplib.error_proto):
        log_in(serve("no-capa")).capa()


def test_it_does_not_offer_pipelining(serve: Serve, log_in: LogIn) -> None:
    assert "PIPELINING" not in log_in(serve("one-by-one")).capa()


@pytest.mark.parametrize(
    ("fault", "names"),
    [("uidl-blank", [b"1 ", b"2 "]), ("uidl-same", [b"1 x", b"2 x"]), ("uidl-number", [b"1 1", b"2 2"])],
)
def test_unusable_uidls(serve: Serve, log_in: LogIn, fault: str, names: list[bytes]) -> None:
    assert log_in(serve(fault)).uidl()[1] == names


def test_all_uidls_change_with_the_epoch(serve: Serve, log_in: LogIn) -> None:
    server = serve()
    client = log_in(server)
    before = client.uidl()[1]

    server.faults = {"uidl-epoch:2"}

    assert client.uidl()[1] == [line.replace(b" ", b" 2") for line in before]


def test_list_lies_and_top_differs(serve: Serve, log_in: LogIn) -> None:
    client = log_in(serve("list-lies", "top-differs"))

    assert client.list()[1][0] == b"1 %d" % (len(FIRST) + 10)
    assert b"X-Added-By-Top: yes" in client.top(1, 0)[1]
    assert octets(client, 1) == FIRST


# -- the promise of the table -----------------------------------------------------------------------------------


def test_every_fault_is_in_the_table_of_the_module() -> None:
    source = Path(faulty_pop3_server.__file__).read_text(encoding="utf-8")
    table = faulty_pop3_server.__doc__ or ""
    asked = set(re.findall(r'fault\("([\w-]+)"\)', source)) | set(
        re.findall(r'"((?:no|uidl|one)-[\w-]+)"', source)
    )

    assert {word for word in asked if f"``{word}" not in table} == set()


def test_the_transcript_has_no_secrets(serve: Serve, log_in: LogIn) -> None:
    server = serve()
    log_in(server).quit()

    assert server.transcript == ["USER edi", "PASS ***", "QUIT"]
