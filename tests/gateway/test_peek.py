"""A look counts what the ledger does not know, and leaves no trace."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from support.maildrop import Maildrop, letter

from airflow_pop3_gateway.errors import ConfigurationError, LoginDelayed, MailboxInUse
from airflow_pop3_gateway.gateway import suspend
from airflow_pop3_gateway.gateway.peek import Awaited, Lookout, Sight
from airflow_pop3_gateway.pop3 import Pop3Client
from airflow_pop3_gateway.store import layout

Open = Callable[..., Maildrop]


def look(box: Maildrop, awaited: Awaited = Awaited(), lookout: Lookout | None = None) -> Sight:
    box.server.transcript.clear()
    return (lookout or Lookout(box.store, awaited)).look(box.site, Pop3Client.connect, now=box.now)


def seen(sight: Sight) -> tuple[int, int, int]:
    return sight.messages, sight.octets, sight.listed


def test_mails_that_were_never_stored_are_counted_and_nothing_is_changed(maildrop: Open) -> None:
    box = maildrop(letter(1), letter(2))
    before = list(box.store.walk("ledger"))
    assert seen(look(box)) == (2, len(letter(1)) + len(letter(2)), 2)
    assert seen(look(box)) == (2, len(letter(1)) + len(letter(2)), 2)
    assert list(box.store.walk("ledger")) == before == []
    assert {line.split()[0] for line in box.server.transcript} <= {
        "CAPA",
        "USER",
        "PASS",
        "LIST",
        "UIDL",
        "QUIT",
    }
    assert len(box.left) == 2


def test_what_travels_are_counts(maildrop: Open) -> None:
    travels = json.dumps(look(maildrop(letter(1))).counts().to_json())
    assert json.loads(travels) == {
        "site": "edi",
        "messages": 1,
        "octets": len(letter(1)),
        "listed": 1,
        "held": "",
    }


def test_a_mail_that_is_kept_on_the_server_does_not_count(maildrop: Open) -> None:
    box = maildrop(letter(1), retention="keep")
    box.poll()
    box.mailbox.deliver(letter(2))
    assert seen(look(box)) == (1, len(letter(2)), 2)
    box.poll()
    assert seen(look(box)) == (0, 0, 2)


@pytest.mark.parametrize("fault", ["quit-rollback", "quit-lies"])
def test_a_mail_that_still_has_to_be_deleted_does_not_count(maildrop: Open, fault: str) -> None:
    box = maildrop(letter(1))
    box.poll(fault)
    assert len(box.left) == 1
    assert look(box).messages == 0


def test_a_mail_of_a_session_that_died_after_its_commit_does_not_count(maildrop: Open) -> None:
    """Between manifest and ledger: the batch is announced, the manifest has it."""
    box = maildrop(letter(1), retention="keep")
    box.poll()
    box.store.delete(layout.ledger("edi"))
    assert look(box).messages == 0


def test_the_same_uidl_with_another_size_is_another_mail(maildrop: Open) -> None:
    box = maildrop(letter(1), retention="keep")
    box.poll()
    (uidl,) = box.mailbox.mails
    box.mailbox.mails[uidl] = letter(1, b"longer\r\n" * 3)
    assert look(box).messages == 1


def test_a_mail_no_session_would_fetch_does_not_count(maildrop: Open) -> None:
    box = maildrop(letter(1), letter(2, b"x" * 500 + b"\r\n"), max_message_bytes=300)
    assert seen(look(box)) == (1, len(letter(1)), 2)


@pytest.mark.parametrize("faults", [{"no-uidl"}, {"uidl-blank"}, {"uidl-same"}, {"no-uidl", "no-top"}])
def test_without_usable_uidls_two_looks_see_the_same_mails(maildrop: Open, faults: set[str]) -> None:
    box = maildrop(letter(1), letter(2))
    box.server.faults = faults
    first, second = look(box), look(box)
    assert first.unknown == second.unknown
    assert first.messages == 2


def test_the_ledger_is_read_only_when_something_is_listed_that_it_did_not_know(
    maildrop: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand mailboxes are looked at every minute, and most have nothing new."""
    box = maildrop(letter(1), retention="keep")
    box.poll()
    lookout = Lookout(box.store)
    assert look(box, lookout=lookout).messages == 0
    read: list[str] = []
    find = type(box.store).find

    def noted(store: object, key: str) -> bytes | None:
        read.append(key)
        return find(box.store, key)

    monkeypatch.setattr(type(box.store), "find", noted)
    assert look(box, lookout=lookout).messages == 0
    assert layout.ledger("edi") not in read
    box.mailbox.deliver(letter(2))
    assert look(box, lookout=lookout).messages == 1
    assert layout.ledger("edi") in read


def test_a_mail_that_no_session_fetches_makes_nobody_read_the_ledger(maildrop: Open) -> None:
    box = maildrop(letter(1), max_message_bytes=1)
    box.store.put(layout.ledger("edi"), b"reading this fails")
    assert look(box).messages == 0


@pytest.mark.parametrize(
    ("awaited", "messages"),
    [
        (Awaited(sender="*@PARTNER.example"), 3),
        (Awaited(sender="*@elsewhere.example"), 0),
        (Awaited(subject="1*"), 2),
        (Awaited(subject="?", sender="p@*"), 2),
    ],
)
def test_sender_and_subject_decide_by_the_header_alone(
    maildrop: Open, awaited: Awaited, messages: int
) -> None:
    box = maildrop(letter(1), letter(2), letter(10))
    assert look(box, awaited).messages == messages
    assert sorted(box.commands("TOP")) == ["TOP 1 0", "TOP 2 0", "TOP 3 0"]
    assert box.commands("RETR") == []


def test_a_header_is_judged_once(maildrop: Open) -> None:
    box = maildrop(letter(1), letter(2))
    lookout = Lookout(box.store, Awaited(subject="2"))
    assert look(box, lookout=lookout).messages == 1
    box.mailbox.deliver(letter(3))
    assert look(box, lookout=lookout).messages == 1
    assert box.commands("TOP") == ["TOP 3 0"]


def test_a_mail_whose_header_cannot_be_had_counts(maildrop: Open) -> None:
    """A ring too many costs a session, one too few a mail that waits."""
    box = maildrop(letter(1))
    box.server.faults = {"no-top"}
    assert look(box, Awaited(subject="x")).messages == 1


def test_enough_is_a_number_of_mails_and_of_octets(maildrop: Open) -> None:
    sight = look(maildrop(letter(1), letter(2)))
    assert Awaited(2).met_by(sight)
    assert not Awaited(3).met_by(sight)
    assert Awaited(min_bytes=sight.octets).met_by(sight)
    assert not Awaited(min_bytes=sight.octets + 1).met_by(sight)
    assert not Awaited().met_by(Sight("edi"))


@pytest.mark.parametrize("wrong", [{"min_messages": 0}, {"min_bytes": -1}, {"sender": 7}, {"subject": None}])
def test_what_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Awaited(**wrong)  # type: ignore[arg-type]


def test_nobody_connects_to_a_site_that_is_suspended(maildrop: Open) -> None:
    box = maildrop(letter(1))
    suspend("edi", box.store, box.now(), by="operator")
    sight = look(box)
    assert "suspended" in sight.held
    assert sight.messages == 0
    assert box.server.transcript == []


@pytest.mark.parametrize(("fault", "error"), [("in-use", MailboxInUse), ("login-delay", LoginDelayed)])
def test_later_is_said_in_an_error_of_its_own(maildrop: Open, fault: str, error: type[Exception]) -> None:
    box = maildrop(letter(1))
    box.server.faults = {fault}
    with pytest.raises(error):
        look(box)
