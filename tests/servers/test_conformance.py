"""Both clients against servers nobody here wrote: Courier, Dovecot, GNU Mailutils, Twisted; in the clear, by STLS, in TLS.

What a server may do differently is said in ``support.served``; everything else is the same for all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from support.clients import Box
from support.served import Served, complete

from airflow_pop3_gateway.config import Address
from airflow_pop3_gateway.errors import (
    AuthenticationFailed,
    CommandRefused,
    ConnectionLost,
    MailboxInUse,
    Pop3Error,
    SecurityRefused,
    TimedOut,
    TlsFailed,
)
from airflow_pop3_gateway.pop3 import Pop3Client
from airflow_pop3_gateway.testing import letters
from airflow_pop3_gateway.testing.certificates import Certificates
from airflow_pop3_gateway.testing.pop3_server import Pop3Server

Connect = Callable[..., Pop3Client]
Serve = Callable[[str, str], Served]
SMALL = [letters.message(number) for number in range(1, 5)]

TRICKY = {
    "dots": b"Subject: dots\r\n\r\n.\r\n..\r\n.a\r\n\r\n.\r\n",
    "a dot at every boundary": b"Subject: dots\r\n\r\n" + b".\r\n" * 30_000,
    "no final line end": b"Subject: cut\r\n\r\none\r\ntwo",
    "ends in a dot": b"Subject: dot\r\n\r\none\r\n.",
    "every octet above 127": b"Subject: 8bit\r\n\r\n" + bytes(range(128, 256)) * 40 + b"\r\n",
    "one line of 200,000": b"Subject: long\r\n\r\n" + b"x" * 200_000 + b"\r\n",
    "empty lines": b"Subject: empty\r\n\r\n" + b"\r\n" * 500,
    "no body": b"Subject: no body\r\n\r\n",
    "nested": letters.nested(),
    "a megabyte": letters.large_file(1_000_000),
}


def fetched(client: Pop3Client, numbers: list[int]) -> Box:
    box = Box()
    client.retrieve(numbers, box)
    return box


def test_octets_come_as_they_were_delivered(served: Served, connect: Connect) -> None:
    client = connect(served.mailbox(*TRICKY.values()))

    box = fetched(client, list(range(1, len(TRICKY) + 1)))

    for number, (name, mail) in enumerate(TRICKY.items(), 1):
        assert served.as_kept(box.mails[number]) == complete(mail), name
    assert box.order == sorted(box.mails)


def test_stat_list_and_uidl_tell_the_same_mailbox(served: Served, connect: Connect) -> None:
    client = connect(served.mailbox(*SMALL))

    names, sizes = client.uidl(), client.list()

    assert names is not None
    assert list(sizes) == list(names) == [1, 2, 3, 4]
    assert client.stat() == (4, sum(sizes.values()))
    assert client.list_one(3) == sizes[3]
    assert client.uidl_one(3) == names[3]
    assert len(set(names.values())) == 4


def test_an_empty_mailbox_is_empty(served: Served, connect: Connect) -> None:
    client = connect(served.mailbox())

    assert (client.stat(), client.list(), client.uidl()) == ((0, 0), {}, {})
    client.quit()


@pytest.mark.parametrize("security", ["plain"], indirect=True)
@pytest.mark.parametrize("count", [0, 3, 1000])
def test_the_listings_may_be_asked_with_the_login(served: Served, connect: Connect, count: int) -> None:
    """Where a server loses what lies behind the password, they are asked after it."""
    site = served.mailbox(*[letters.message(number) for number in range(1, count + 1)])

    asked_ahead = connect(site, listings=True)
    sizes, names = asked_ahead.listings()
    asked_ahead.quit()

    assert len(sizes) == count
    assert connect(site).listings() == (sizes, names)


def test_uidls_survive_sessions_and_deletions(served: Served, connect: Connect) -> None:
    site = served.mailbox(*SMALL)
    first = connect(site)
    before = first.uidl()
    first.delete([1])
    first.quit()

    after = connect(site).uidl()

    assert before is not None
    assert after == {1: before[2], 2: before[3], 3: before[4]}


def test_top_gives_the_header_and_so_many_lines(served: Served, connect: Connect) -> None:
    head = b"Subject: top\r\nX-Long: " + b"y" * 2000 + b"\r\n\r\n"
    client = connect(served.mailbox(head + b".one\r\ntwo\r\nthree\r\n"))

    assert served.as_kept(client.top(1, 0)) == head
    assert served.as_kept(client.top(1, 2)) == head + served.top_adds + b".one\r\ntwo\r\n"


def test_many_heads_come_in_order(served: Served, connect: Connect) -> None:
    client = connect(served.mailbox(*SMALL))
    box = Box()

    client.top_many([4, 1, 3], box)

    heads = {number: mail.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" for number, mail in enumerate(SMALL, 1)}
    assert box.order == [4, 1, 3]
    assert all(served.as_kept(box.mails[number]) == heads[number] for number in box.order)


def test_quit_makes_deletions_count(served: Served, connect: Connect) -> None:
    site = served.mailbox(*SMALL)
    client = connect(site)

    assert client.delete([1, 3]) == {}
    client.quit()

    assert len(served.left(site.login)) == 2


def test_rset_and_a_lost_connection_forget_deletions(served: Served, connect: Connect) -> None:
    site = served.mailbox(*SMALL)
    reset = connect(site)
    reset.delete([1])
    reset.rset()
    reset.quit()
    with connect(dataclasses.replace(site)) as dropped:
        dropped.delete([2])

    assert len(served.left(site.login)) == 4


def test_a_refused_number_does_not_stop_the_others(served: Served, connect: Connect) -> None:
    client = connect(served.mailbox(*SMALL))
    client.delete([2])

    refused = client.delete([99, 3])
    box = fetched(client, [1, 2, 4])

    assert list(refused) == [99]
    assert list(box.errors) == [2]
    assert [served.as_kept(box.mails[number]) for number in (1, 4)] == [SMALL[0], SMALL[3]]
    with pytest.raises(CommandRefused):
        client.list_one(99)
    client.noop()


def test_a_marked_mail_is_listed_no_more(served: Served, connect: Connect) -> None:
    client = connect(served.mailbox(*SMALL))
    client.delete([2])

    if not served.shows_deleted:
        assert list(client.list()) == [1, 3, 4]
        assert client.stat()[0] == 3


def test_a_wrong_password_is_a_no(served: Served, connect: Connect) -> None:
    site = served.mailbox(*SMALL, password="geheimnis")

    with pytest.raises(AuthenticationFailed) as refused:
        connect(site)

    assert not refused.value.retriable
    assert "geheimnis" not in str(refused.value)


def test_a_stranger_is_a_no(served: Served, connect: Connect) -> None:
    with pytest.raises(AuthenticationFailed):
        connect(dataclasses.replace(served.site, login="stranger@box.example"))


def test_tls_is_there_when_it_was_asked_for(served: Served, connect: Connect) -> None:
    client = connect(served.mailbox())

    if served.site.security == "plain":
        assert client.tls is None
    else:
        assert client.tls is not None
        assert client.tls.version in ("TLSv1.2", "TLSv1.3")


@pytest.mark.parametrize("security", ["starttls", "tls"], indirect=True)
@pytest.mark.parametrize(
    "options", [{"ca_file": ""}, {"server_hostname": "mail.other.example"}], ids=["authority", "name"]
)
def test_a_certificate_of_somebody_else_ends_it_before_the_login(
    served: Served, connect: Connect, options: dict[str, str]
) -> None:
    with pytest.raises(TlsFailed):
        connect(served.mailbox(**options))


@pytest.mark.parametrize("security", ["plain"], indirect=True)
def test_hundreds_of_mails_go_through_one_pipeline(served: Served, connect: Connect) -> None:
    mails = [letters.message(number) for number in range(1, 301)]
    site = served.mailbox(*mails)
    client = connect(site)
    assert "PIPELINING" in client.capabilities

    box = fetched(client, list(range(1, 301)))
    client.delete(list(range(1, 301)))
    client.quit()

    assert [served.as_kept(box.mails[number]) for number in range(1, 301)] == mails
    assert served.left(site.login) == []


@pytest.mark.parametrize("server_name", ["dovecot", "mailutils", "twisted"], indirect=True)
def test_a_maildrop_in_use_is_for_later(serve: Serve, server_name: str) -> None:
    """One client is enough here: Dovecot thinks about it for ten seconds. Courier locks nothing."""
    site = serve(server_name, "plain").mailbox(*SMALL)

    with Pop3Client.connect(site) as holder:
        holder.list()
        with pytest.raises(MailboxInUse) as refused:
            Pop3Client.connect(site)

    assert refused.value.retriable


@pytest.mark.parametrize("security", ["plain", "tls"])
@pytest.mark.parametrize(
    "auth", ["auto", "basic", "apop", "plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256"]
)
def test_dovecot_takes_every_way_to_log_in(serve: Serve, connect: Connect, security: str, auth: str) -> None:
    client = connect(serve("dovecot", security).mailbox(*SMALL, auth=auth))

    assert client.stat()[0] == 4


@pytest.mark.parametrize("auth", ["apop", "cram-md5"])
def test_twisted_takes_what_proves_the_password_without_saying_it(
    serve: Serve, connect: Connect, auth: str
) -> None:
    client = connect(serve("twisted", "plain").mailbox(*SMALL, auth=auth))

    assert client.stat()[0] == 4


def test_a_server_without_stls_never_sees_the_password(
    pop3_server: Callable[..., Pop3Server], serve: Serve, connect: Connect
) -> None:
    plain = pop3_server({"edi": SMALL})
    site = dataclasses.replace(
        serve("twisted", "starttls").site, login="edi", address=Address("localhost", plain.port)
    )

    with pytest.raises(SecurityRefused):
        connect(site)

    assert plain.transcript == ["CAPA"]


def test_tls_spoken_to_a_port_in_the_clear_fails_at_once(serve: Serve, connect: Connect) -> None:
    clear, protected = serve("dovecot", "plain").site, serve("dovecot", "tls").mailbox()

    with pytest.raises(TlsFailed):
        connect(dataclasses.replace(protected, address=clear.address))


def test_words_in_the_clear_to_a_tls_port_get_no_answer(serve: Serve, connect: Connect) -> None:
    clear, protected = serve("dovecot", "plain").mailbox(reply_timeout=0.3), serve("dovecot", "tls").site

    with pytest.raises(TimedOut):
        connect(dataclasses.replace(clear, address=protected.address))


def test_an_alternate_address_serves_when_the_main_one_is_dead(serve: Serve, connect: Connect) -> None:
    live = serve("dovecot", "tls").mailbox(*SMALL)
    site = dataclasses.replace(live, address=Address("localhost", 1), alternates=(live.address,))

    assert connect(site).stat()[0] == 4


def test_nobody_there_is_said_at_once(serve: Serve, connect: Connect) -> None:
    site = dataclasses.replace(serve("dovecot", "plain").site, address=Address("localhost", 1), login="x")

    with pytest.raises(ConnectionLost) as lost:
        connect(site)

    assert lost.value.retriable


def test_a_pinned_certificate_needs_no_authority(
    serve: Serve, connect: Connect, certificates: Certificates
) -> None:
    site = serve("dovecot", "tls").mailbox(*SMALL, ca_file="", fingerprint=certificates.fingerprint)
    assert connect(site).stat()[0] == 4

    with pytest.raises(Pop3Error):
        connect(dataclasses.replace(site, fingerprint="00" * 32))
