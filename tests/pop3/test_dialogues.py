"""Whole conversations without a socket: whatever a server says, they end with a result or with one of our errors."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.dialogue import PROTECTION, drive

from airflow_pop3_gateway.config import Address, RemoteSite
from airflow_pop3_gateway.errors import ConnectionLost, GatewayError, WrongState
from airflow_pop3_gateway.pop3 import Pop3Client, dialogues, opening
from airflow_pop3_gateway.pop3.dialogues import Connect, Flow, Pause, Session, StartTls

SITE = RemoteSite(
    name="s",
    address=Address("pop.example.org", 110),
    login="box",
    password="secret",
    security="plain",
    retry_count_max=1,
)
replies = st.sampled_from(
    [
        b"+OK\r\n",
        b"+OK <1@host> 2 320\r\n",
        b"-ERR\r\n",
        b"-ERR [AUTH] no\r\n",
        b"-ERR unknown command\r\n",
        b"+ \r\n",
        b"+ PDFAaG9zdD4=\r\n",
        b"+ cj1hLHM9YWFhYSxpPTE=\r\n",
        b"+OK\r\nSASL SCRAM-SHA-256 CRAM-MD5 PLAIN LOGIN\r\nSTLS\r\nUTF8\r\nPIPELINING\r\n.\r\n",
        b"+OK\r\nSASL XOAUTH2 OAUTHBEARER SCRAM-SHA-1-PLUS\r\n.\r\n",
        b"1 120\r\n2 abc\r\n.\r\n",
        b".\r\n",
    ]
)
conversations = st.lists(st.one_of(replies, st.binary(min_size=1, max_size=30)), max_size=25)


@given(
    conversations,
    st.sampled_from(["plain", "starttls", "tls"]),
    st.sampled_from(
        ["auto", "apop", "login", "cram-md5", "scram-sha-256", "scram-sha-1-plus", "xoauth2", "oauthbearer"]
    ),
    st.sampled_from(["", "token"]),
)
def test_a_session_opens_or_is_one_of_our_errors(pieces, security, auth, token):
    session = Session(dataclasses.replace(SITE, security=security, auth=auth, access_token=token))
    try:
        drive(session, opening.open_session(session), iter(pieces))
    except GatewayError as error:
        assert "secret" not in str(error)
    else:
        assert session.state == "transaction"


@given(conversations, st.booleans(), st.integers(0, 9))
def test_a_command_answers_or_is_one_of_our_errors(box_type, pieces, pipelining, which):
    session, box = Session(dataclasses.replace(SITE, pipelining=pipelining)), box_type()
    session.state = "transaction"
    dialogue = (
        lambda: dialogues.stat(session),
        lambda: dialogues.listing(session),
        lambda: dialogues.list_one(session, 1),
        lambda: dialogues.uidl_one(session, 1),
        lambda: dialogues.uidl(session),
        lambda: dialogues.top(session, 1, 0),
        lambda: dialogues.bodies(session, "RETR", [1, 2, 3], box),
        lambda: dialogues.delete(session, [1, 2, 3]),
        lambda: dialogues.languages(session),
        lambda: dialogues.quit_(session),
    )[which]
    try:
        drive(session, dialogue(), iter(pieces))
    except GatewayError:
        return
    assert session.wire.idle


def test_with_starttls_nothing_but_capa_and_stls_is_said_in_the_clear():
    session = Session(dataclasses.replace(SITE, security="starttls"))
    dialogue = opening.open_session(session)
    said = []
    wish = next(dialogue)
    for octets in (None, b"+OK <1@host>\r\n", b"+OK\r\nSTLS\r\nSASL PLAIN\r\nUTF8\r\n.\r\n", b"+OK\r\n"):
        if octets:
            session.wire.inbox.space()[: len(octets)] = octets
            session.wire.received(len(octets))
        wish = dialogue.send(None)
        said.append(bytes(session.wire.pending))
        session.wire.pending.clear()
    assert wish == StartTls("pop.example.org")
    assert said == [b"", b"CAPA\r\n", b"STLS\r\n", b""]
    assert dialogue.send(PROTECTION) == Flow()
    assert session.wire.pending == b"CAPA\r\n"
    assert session.capabilities.mechanisms == ()


def test_every_round_goes_over_all_addresses_and_then_pauses():
    site = dataclasses.replace(SITE, alternates=(Address("two", 110),), retry_delay_min=8, retry_delay_max=10)
    dialogue = opening.open_session(Session(dataclasses.replace(site, retry_count_max=2)))
    wishes, wish = [], next(dialogue)
    with pytest.raises(ConnectionLost):
        while True:
            wishes.append(wish)
            wish = (
                dialogue.send(None) if isinstance(wish, Pause) else dialogue.throw(ConnectionLost("no route"))
            )
    hosts = [wish.address.host if isinstance(wish, Connect) else "-" for wish in wishes]
    assert hosts == ["pop.example.org", "two", "-", "pop.example.org", "two", "-", "pop.example.org", "two"]
    pauses = [wish.seconds for wish in wishes if isinstance(wish, Pause)]
    assert 4 <= pauses[0] <= 8 and 5 <= pauses[1] <= 10


@pytest.mark.parametrize("state", ["greeting", "authorization", "closed"])
def test_a_command_in_the_wrong_state_sends_nothing(state):
    session = Session(SITE)
    session.state = state
    with pytest.raises(WrongState):
        next(dialogues.stat(session))
    assert not session.wire.pending


def test_a_session_says_who_where_and_in_which_state_and_no_secret():
    site = RemoteSite("edi", Address("pop.example.com", 995), "orders", password="hush", access_token="hush")
    assert str(Session(site)) == "orders at pop.example.com:995, no TLS, greeting"
    assert repr(Pop3Client(site)) == "<Pop3Client orders at pop.example.com:995, no TLS, greeting>"
