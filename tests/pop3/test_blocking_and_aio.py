"""Both drivers on real sockets: every command, and every way a connection can go wrong. One suite, two clients."""

from __future__ import annotations

import asyncio
import logging
import pickle
import socket
import threading

import pytest

from airflow_pop3_gateway.errors import (
    CommandRefused,
    ConfigurationError,
    ConnectionLost,
    ProtocolViolation,
    ServerUnavailable,
    TimedOut,
    WrongState,
)
from airflow_pop3_gateway.pop3 import AsyncPop3Client

PIPELINING = b"USER\r\nUIDL\r\nTOP\r\nPIPELINING\r\nLOGIN-DELAY 60\r\nEXPIRE 7\r\n"


def test_every_command_of_a_session(serve, connect, box):
    def script(peer):
        peer.log_in(PIPELINING)
        peer.answer(b"STAT", b"+OK 2 320\r\n")
        peer.answer(b"LIST", b"+OK\r\n1 120\r\n2 200\r\n.\r\n")
        peer.answer(b"LIST 2", b"+OK 2 200\r\n")
        peer.answer(b"UIDL", b"+OK\r\n1 a\r\n2 b\r\n.\r\n")
        peer.answer(b"UIDL 2", b"+OK 2 b\r\n")
        peer.answer(b"TOP 1 0", b"+OK\r\nSubject: x\r\n\r\n.\r\n")
        peer.hear(b"TOP 1 5"), peer.hear(b"TOP 2 5")
        peer.say(b"+OK\r\nhead 1\r\n.\r\n+OK\r\nhead 2\r\n.\r\n")
        peer.hear(b"RETR 2"), peer.hear(b"RETR 1")
        peer.say(b"+OK\r\nmail 2\r\n.\r\n-ERR gone\r\n")
        peer.hear(b"DELE 1"), peer.hear(b"DELE 2")
        peer.say(b"-ERR gone\r\n+OK\r\n")
        peer.answer(b"NOOP", b"+OK\r\n")
        peer.answer(b"RSET", b"+OK\r\n")
        peer.answer(b"CAPA", b"+OK\r\nTOP\r\n.\r\n")
        peer.answer(b"LANG", b"+OK\r\nen English\r\nde Deutsch\r\n.\r\n")
        peer.answer(b"LANG de", b"+OK de Deutsch\r\n")
        peer.answer(b"QUIT", b"+OK bye\r\n")

    client = connect(serve(script).site())
    assert (client.greeting, client.login_delay, client.expire, client.tls) == ("ready", 60, 7, None)
    assert client.stat() == (2, 320)
    assert client.list() == {1: 120, 2: 200}
    assert client.list_one(2) == 200
    assert client.uidl() == {1: "a", 2: "b"}
    assert client.uidl_one(2) == "b"
    assert client.top(1, 0) == b"Subject: x\r\n\r\n"
    client.top_many([1, 2], box, 5)
    assert box.mails == {1: b"head 1\r\n", 2: b"head 2\r\n"}
    client.retrieve([2, 1], box)
    assert box.mails[2] == b"mail 2\r\n" and box.errors[1].text == "gone"
    assert {number: error.text for number, error in client.delete([1, 2]).items()} == {1: "gone"}
    client.noop()
    client.rset()
    assert "TOP" in client.capa()
    assert client.languages() == {"en": "English", "de": "Deutsch"}
    assert client.use_language("de") == "de Deutsch"
    client.quit()
    with pytest.raises(WrongState):
        client.stat()


def test_without_pipelining_one_command_waits_for_the_answer_before_it(serve, connect, box):
    def script(peer):
        peer.log_in()
        for number in (1, 2):
            peer.answer(b"RETR %d" % number, b"+OK\r\nmail\r\n.\r\n")
            assert peer._unread == b""
        for number in (1, 2):
            peer.answer(b"DELE %d" % number, b"+OK\r\n")
            assert peer._unread == b""

    client = connect(serve(script).site())
    client.retrieve([1, 2], box)
    assert client.delete([1, 2]) == {}
    assert box.order == [1, 2]


@pytest.mark.parametrize("pipelining", [True, False])
def test_the_site_may_overrule_what_the_server_says_of_pipelining(serve, connect, box, pipelining):
    def script(peer):
        peer.log_in(b"USER\r\n" if pipelining else PIPELINING)
        peer.hear(b"RETR 1")
        if not pipelining:
            peer.say(b"+OK\r\n.\r\n")
        peer.hear(b"RETR 2")
        peer.say(b"+OK\r\n.\r\n" * (1 + pipelining))

    connect(serve(script).site(pipelining=pipelining)).retrieve([1, 2], box)
    assert box.order == [1, 2]


def test_deletions_and_good_bye_take_one_round_trip_where_the_server_pipelines(serve, connect):
    def script(peer):
        peer.log_in(PIPELINING)
        peer.hear(b"DELE 1")
        peer.hear(b"DELE 2")
        peer.answer(b"QUIT", b"+OK\r\n-ERR gone\r\n+OK bye\r\n")

    refused = connect(serve(script).site()).quit([1, 2])
    assert {number: error.text for number, error in refused.items()} == {2: "gone"}


def test_deletions_and_good_bye_wait_for_each_other_elsewhere(serve, connect):
    def script(peer):
        peer.log_in()
        for command in (b"DELE 1", b"DELE 2", b"QUIT"):
            peer.answer(command, b"+OK\r\n")
            assert peer._unread == b""

    assert connect(serve(script).site()).quit([1, 2]) == {}


def test_deletions_without_an_answer_to_quit_are_not_certain(serve, connect):
    def script(peer):
        peer.log_in(PIPELINING)
        peer.hear(b"DELE 1")
        peer.answer(b"QUIT", b"+OK\r\n")

    with pytest.raises(ConnectionLost):
        connect(serve(script).site()).quit([1])


def test_who_leaves_says_quit_and_waits_for_nothing(serve, connect):
    left = threading.Event()

    def script(peer):
        peer.log_in()
        peer.hear(b"QUIT")
        assert left.wait(20)
        assert peer.hear() == b""

    client = connect(serve(script).site())
    client.leave()
    left.set()
    with pytest.raises(WrongState):
        client.stat()


def test_who_leaves_a_server_that_left_first_hears_no_complaint(serve, connect):
    def script(peer):
        peer.log_in()
        peer.reset()

    client = connect(serve(script).site())
    client.leave()


def test_an_empty_run_says_nothing(serve, connect, box):
    def script(peer):
        peer.log_in(PIPELINING)
        assert peer.hear() == b""

    client = connect(serve(script).site())
    client.retrieve([], box)
    assert client.delete([]) == {}
    client.close()


def test_a_server_that_stops_reading_until_we_read_cannot_block_us(serve, connect, box):
    """More commands than the socket buffers hold, and a server that answers some before it reads the next."""
    count, body = 100_000, b"+OK\r\n" + b"x" * 200 + b"\r\n.\r\n"

    def script(peer):
        peer.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        peer.log_in(PIPELINING)
        answered = 0
        while answered < count:
            commands = peer.connection.recv(65536).count(b"\n")
            peer.connection.sendall(body * commands)
            answered += commands

    class Counter:
        begun = ended = octets = 0

        def begin(self, number):
            self.begun += 1

        def write(self, data):
            self.octets += len(data)

        def end(self, number):
            self.ended += 1

    counter = Counter()
    connect(serve(script).site()).retrieve(range(1, count + 1), counter)
    assert (counter.begun, counter.ended, counter.octets) == (count, count, count * 202)


def test_a_refused_command_leaves_a_usable_client(serve, connect):
    def script(peer):
        peer.log_in()
        peer.answer(b"TOP 9 0", b"-ERR no such message\r\n")
        peer.answer(b"NOOP", b"+OK\r\n")

    client = connect(serve(script).site())
    with pytest.raises(CommandRefused, match="no such message") as caught:
        client.top(9, 0)
    assert (caught.value.command, caught.value.text, caught.value.code) == ("TOP", "no such message", "")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    client.noop()


def test_uidl_is_none_where_the_server_has_none(serve, connect):
    def script(peer):
        peer.log_in(b"USER\r\n")
        peer.answer(b"UIDL", b"-ERR unknown command\r\n")
        peer.answer(b"UIDL", b"-ERR [SYS/TEMP] index is being rebuilt\r\n")

    client = connect(serve(script).site())
    assert client.uidl() is None
    with pytest.raises(ServerUnavailable):
        client.uidl()


def test_the_listings_go_one_by_one_where_the_server_does_not_pipeline(serve, connect):
    def script(peer):
        peer.log_in(b"USER\r\n")
        peer.answer(b"UIDL", b"+OK\r\n1 a\r\n.\r\n")
        peer.answer(b"LIST", b"+OK\r\n1 120\r\n.\r\n")

    assert connect(serve(script).site()).listings() == ({1: 120}, {1: "a"})


def test_the_listings_take_one_round_trip_where_the_server_pipelines(serve, connect):
    """UIDL goes first: there are servers whose sizes grow when they write unique ids down."""

    def script(peer):
        peer.log_in(PIPELINING)
        for reply in (
            b"+OK\r\n1 a\r\n.\r\n+OK\r\n1 120\r\n.\r\n",
            b"-ERR what?\r\n+OK\r\n1 120\r\n.\r\n",
            b"-ERR [SYS/TEMP] index is being rebuilt\r\n+OK\r\n.\r\n",
            b"+OK\r\n.\r\n-ERR no\r\n",
        ):
            peer.hear(b"UIDL")
            peer.answer(b"LIST", reply)

    client = connect(serve(script).site())
    assert client.listings() == ({1: 120}, {1: "a"})
    assert client.listings() == ({1: 120}, None)
    with pytest.raises(ServerUnavailable):
        client.listings()
    with pytest.raises(CommandRefused):
        client.listings()


@pytest.mark.parametrize(("verb", "reply"), [("list", b"+OK 1 200\r\n"), ("uidl", b"+OK 1 id\r\n")])
def test_one_that_answers_for_another_is_a_violation(serve, connect, verb, reply):
    def script(peer):
        peer.log_in()
        peer.answer(f"{verb} 2".upper().encode(), reply)

    with pytest.raises(ProtocolViolation):
        getattr(connect(serve(script).site()), f"{verb}_one")(2)


STAGES = {
    "greeting": lambda peer: None,
    "capa": lambda peer: (peer.say(b"+OK\r\n"), peer.hear(b"CAPA"), peer.say(b"+OK\r\nUSER\r\n")),
    "login": lambda peer: (peer.say(b"+OK\r\n"), peer.answer(b"CAPA", b"-ERR\r\n"), peer.hear(b"USER box")),
    "command": lambda peer: (peer.log_in(), peer.hear(b"STAT")),
}
ENDS = {
    "silence": (lambda peer: peer.silence(), TimedOut),
    "close": (lambda peer: None, ConnectionLost),
    "reset": (lambda peer: peer.reset(), ConnectionLost),
    "nonsense": (lambda peer: (peer.say(b"220 smtp.example.org\r\n"), peer.silence()), ProtocolViolation),
    "endless line": (lambda peer: (peer.say(b"+OK" + b"x" * 100_000), peer.silence()), ProtocolViolation),
}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("end", ENDS)
def test_whatever_the_stage_a_bad_end_is_one_of_our_errors(serve, connect, stage, end):
    how, kind = ENDS[end]
    if stage == "capa" and end in ("nonsense", "endless line"):
        kind = TimedOut  # a line of CAPA says what it likes

    def script(peer):
        STAGES[stage](peer)
        how(peer)

    site = serve(script).site(reply_timeout=0.3 if end == "silence" or kind is TimedOut else 10.0)
    with pytest.raises(kind):
        connect(site).stat()


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("end", ["silence", "close", "reset"])
def test_a_mail_that_breaks_off_never_ends(serve, connect, box, end, pipelining):
    how, kind = ENDS[end]

    def script(peer):
        peer.log_in()
        peer.hear(b"RETR 1")
        peer.say(b"+OK\r\none\r\n.\r\n")
        peer.hear(b"RETR 2")
        peer.say(b"+OK\r\nhalf of two\r\n")
        how(peer)

    client = connect(
        serve(script).site(pipelining=pipelining, reply_timeout=0.3 if end == "silence" else 10.0)
    )
    with pytest.raises(kind):
        client.retrieve([1, 2], box)
    assert 2 not in box.mails and 2 not in box.errors
    with pytest.raises(WrongState):
        client.quit()


def test_what_a_sink_raises_passes_through_and_closes(serve, connect, box):
    """The answers that were still to come can no longer be told from those of a next command."""

    class Full(Exception):
        pass

    def fail(data):
        raise Full

    def script(peer):
        peer.log_in(PIPELINING)
        peer.hear(b"RETR 1")
        peer.say(b"+OK\r\none\r\n.\r\n")
        peer.silence()

    client = connect(serve(script).site())
    box.write = fail
    with pytest.raises(Full):
        client.retrieve([1, 2], box)
    with pytest.raises(WrongState):
        client.noop()


def test_the_session_has_a_deadline_of_its_own(serve, connect):
    """A server that keeps talking never meets the reply deadline."""

    def script(peer):
        peer.log_in()
        peer.hear(b"UIDL")
        peer.say(b"+OK\r\n")
        peer.connection.settimeout(0.02)
        number = 0
        while True:
            number += 1
            peer.say(b"%d id\r\n" % number)
            try:
                if peer.connection.recv(1) == b"":
                    return
            except TimeoutError:
                pass

    with pytest.raises(TimedOut) as caught:
        connect(serve(script).site(session_timeout=0.5)).uidl()
    assert caught.value.seconds == 0.5


def test_quit_is_certain_only_with_its_answer(serve, connect):
    def refuses(peer):
        peer.log_in()
        peer.answer(b"QUIT", b"-ERR [SYS/TEMP] some messages were not removed\r\n")

    def hangs_up(peer):
        peer.log_in()
        peer.hear(b"QUIT")

    server = serve(refuses, hangs_up)
    with pytest.raises(ServerUnavailable):
        connect(server.site()).quit()
    with pytest.raises(ConnectionLost):
        connect(server.site()).quit()


def test_leaving_the_context_closes_without_quit(serve, connect):
    def script(peer):
        peer.log_in()
        assert peer.hear() == b""

    with connect(serve(script).site()):
        pass


def test_what_the_server_says_unasked_is_not_taken_for_the_next_answer(serve, connect):
    said = []

    def script(peer):
        peer.log_in()
        peer.answer(b"NOOP", b"+OK\r\n+OK 99 99\r\n")
        said.append(peer.hear())

    client = connect(serve(script).site())
    with pytest.raises(ProtocolViolation):
        client.noop()
        client.stat()


def test_an_idle_server_that_hung_up_with_a_word_is_quoted(serve, connect):
    def script(peer):
        peer.log_in()
        peer.answer(b"NOOP", b"+OK\r\n-ERR Autologout; idle for too long\r\n")

    client = connect(serve(script).site())
    with pytest.raises(ConnectionLost, match=r"Autologout|closed"):
        client.noop()
        client.stat()


@pytest.mark.parametrize("lines", [7_000, 20_000])
def test_after_a_stream_of_octets_a_few_are_heard_as_well(serve, connect, box, lines):
    """Much that lies ready at once, then little: the rest of a mail (of the longer one), and a word unasked."""
    text = b"a line of text\r\n" * lines
    much_is_there, mail_is_whole, word_is_said = (threading.Event() for _ in range(3))

    def script(peer):
        peer.log_in(PIPELINING)
        peer.hear(b"RETR 1")
        peer.say(b"+OK\r\n")
        peer.say(text + b".\r\n")
        much_is_there.set()
        mail_is_whole.wait(20)
        peer.say(b"-ERR Autologout; idle for too long\r\n")
        word_is_said.set()
        peer.hear()  # the end of the stream would be heard anyhow

    class Waiting(type(box)):
        def begin(self, number):
            assert much_is_there.wait(20)
            super().begin(number)

    client, box = connect(serve(script).site()), Waiting()
    client.retrieve([1], box)
    assert box.mails[1] == text
    mail_is_whole.set()
    assert word_is_said.wait(20)
    with pytest.raises(ConnectionLost, match="Autologout"):
        client.noop()


def test_an_argument_that_would_break_the_line_is_refused_before_anything_is_sent(serve, connect):
    def script(peer):
        peer.say(b"+OK\r\n")
        peer.answer(b"CAPA", b"-ERR\r\n")
        assert peer.hear() == b""

    with pytest.raises(ConfigurationError):
        connect(serve(script).site(login="box\r\nDELE 1"))


def test_a_missing_line_end_before_the_last_dot_is_found_out_by_asking(serve, connect, box):
    def script(peer):
        peer.log_in()
        peer.answer(b"RETR 1", b"+OK\r\nno newline at the end.\r\n")
        peer.answer(b"NOOP", b"+OK\r\n")
        peer.answer(b"RETR 2", b"+OK\r\nA sentence.\r\n")
        peer.answer(b"NOOP", b"Another.\r\n.\r\n+OK\r\n")
        peer.answer(b"STAT", b"+OK 2 2\r\n")

    client = connect(serve(script).site(reply_timeout=0.8))
    client.retrieve([1, 2], box)
    assert box.mails == {1: b"no newline at the end", 2: b"A sentence.\r\nAnother.\r\n"}
    assert client.stat() == (2, 2)


def test_the_protocol_log_at_debug_holds_no_secret(serve, connect, caplog):
    def script(peer):
        peer.log_in()

    with caplog.at_level(logging.DEBUG, logger="airflow_pop3_gateway"):
        connect(serve(script).site())
    assert "test C: PASS ***" in caplog.messages
    assert "secret" not in caplog.text and "box" not in caplog.text


def test_a_cancelled_task_closes_the_connection(serve):
    def script(peer):
        peer.log_in()
        peer.hear(b"STAT")
        peer.silence()

    server = serve(script)

    async def cancel():
        client = await AsyncPop3Client.connect(server.site())
        task = asyncio.ensure_future(client.stat())
        while server.peers[0].heard[-1:] != [b"STAT"]:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(WrongState):
            await client.noop()

    asyncio.run(cancel())


def test_the_asyncio_client_runs_on_uvloop_as_well(serve, box):
    """Airflow's own servers run on it where it is installed; its transports are of no class of asyncio."""
    uvloop = pytest.importorskip("uvloop")

    def script(peer):
        peer.log_in(PIPELINING)
        peer.hear(b"RETR 1"), peer.hear(b"RETR 2")
        peer.say(b"+OK\r\none\r\n.\r\n+OK\r\ntwo\r\n.\r\n")
        peer.answer(b"QUIT", b"+OK bye\r\n")

    async def session():
        async with await AsyncPop3Client.connect(serve(script).site()) as client:
            await client.retrieve([1, 2], box)
            await client.quit()

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(session())
    finally:
        loop.close()
    assert box.mails == {1: b"one\r\n", 2: b"two\r\n"}
