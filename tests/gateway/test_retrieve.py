"""A session empties a maildrop and loses nothing, whatever the server does."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator

import pytest
from support.maildrop import Maildrop, letter

from airflow_pop3_gateway.errors import (
    AuthenticationFailed,
    ConfigurationError,
    ConnectionLost,
    LoginDelayed,
    MailboxInUse,
    Pop3Error,
    ServerBroken,
    ServerUnavailable,
    StoreError,
    StoreUnavailable,
    TimedOut,
)
from airflow_pop3_gateway.gateway import retrieve
from airflow_pop3_gateway.pop3 import Pop3Client
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.store.ledger import Ledger

Open = Callable[..., Maildrop]


def test_every_mail_is_stored_octet_for_octet_and_deleted(maildrop: Open) -> None:
    mails = [letter(1), letter(2, b".dot\r\n..two\r\n\r\n"), letter(3, b"\xff\x00 bare\nLF\r\n")]
    drop = maildrop(*mails)
    result = drop.poll()
    assert (result.messages, result.deleted, result.more) == (3, 3, False)
    assert drop.spooled() == mails
    assert drop.left == []


def test_an_empty_maildrop_writes_nothing(maildrop: Open) -> None:
    drop = maildrop()
    assert drop.poll().batch is None
    assert list(drop.store.walk("ledger")) == []


def test_the_second_session_stores_nothing_again(maildrop: Open) -> None:
    drop = maildrop(letter(1))
    first, second = drop.poll(), drop.poll()
    assert second.messages == 0
    assert second.batches == (first.batch,), "the batch still waits to be classified"


# ------------------------------------------------------------------------------------------------ retention


def test_keep_leaves_mails_and_never_downloads_them_again(maildrop: Open) -> None:
    drop = maildrop(letter(1), letter(2), retention="keep")
    assert drop.poll().kept == 2
    drop.mailbox.deliver(letter(3))
    assert drop.poll().messages == 1
    assert drop.commands("RETR") == ["RETR 3"] and not drop.commands("DELE")
    assert len(drop.left) == 3


def test_delete_after_days_counts_from_the_moment_of_storing(maildrop: Open) -> None:
    drop = maildrop(letter(1), retention_days=7)
    drop.poll()
    drop.now.pass_days(6.9)
    assert drop.poll().deleted == 0
    drop.now.pass_days(0.2)
    assert drop.poll().deleted == 1
    assert drop.left == [] and len(drop.spooled()) == 1


def test_a_site_that_kept_and_now_deletes_deletes_after_proof(maildrop: Open) -> None:
    drop = maildrop(letter(1), retention="keep")
    drop.poll()
    assert drop.setup(retention="delete").poll().deleted == 1
    assert drop.commands("TOP") == ["TOP 1 0"] and not drop.commands("RETR")


def test_a_kept_mail_survives_a_session_that_listed_nothing(maildrop: Open) -> None:
    drop = maildrop(letter(1), retention="keep")
    drop.poll()
    mails, drop.mailbox.mails = drop.mailbox.mails, {}
    drop.poll()
    drop.mailbox.mails = mails
    assert drop.poll().messages == 0


# --------------------------------------------------------------------------------------------------- bounds


def test_max_messages_leaves_the_rest_for_the_next_session(maildrop: Open) -> None:
    drop = maildrop(*map(letter, range(5)), max_messages=2)
    results = [drop.poll() for _ in range(3)]
    assert [result.messages for result in results] == [2, 2, 1]
    assert [result.more for result in results] == [True, True, False]


def test_max_bytes_takes_at_least_one_mail(maildrop: Open) -> None:
    drop = maildrop(letter(1, b"x" * 1000), letter(2), letter(3), max_bytes=500)
    assert [drop.poll().messages for _ in range(3)] == [1, 2, 0]


def test_a_mail_past_its_bound_stays_and_the_others_go_on(maildrop: Open) -> None:
    drop = maildrop(letter(1, b"x" * 5000 + b"\r\n"), letter(2), max_message_bytes=1000)
    result = drop.poll()
    assert (result.messages, result.too_large, result.more) == (1, 1, False)
    assert drop.left == [letter(1, b"x" * 5000 + b"\r\n")]


def test_mails_the_server_never_gives_do_not_starve_the_others(maildrop: Open) -> None:
    drop = maildrop(*map(letter, range(3)), max_messages=1)
    refused = [drop.poll("retr-err:1") for _ in range(3)]
    assert [result.refused for result in refused] == [1, 0, 0]
    assert drop.left == [letter(0)]


# -------------------------------------------------------------------------------------------- trouble at QUIT


@pytest.mark.parametrize("fault", ["quit-rollback", "quit-err"])
def test_a_deletion_that_was_not_confirmed_is_done_again_without_a_download(
    maildrop: Open, fault: str
) -> None:
    drop = maildrop(letter(1), letter(2))
    first = drop.poll(fault)
    assert (first.messages, first.deleted) == (2, 0) and first.interrupted
    assert len(drop.left) == 2
    second = drop.poll()
    assert (second.messages, second.deleted) == (0, 2)
    assert drop.commands("TOP") == ["TOP 1 0", "TOP 2 0"] and not drop.commands("RETR")
    assert drop.left == [] and len(drop.spooled()) == 2


def test_a_lost_answer_to_quit_is_settled_by_the_next_listing(maildrop: Open) -> None:
    drop = maildrop(letter(1))
    assert drop.poll("quit-lost").deleted == 0
    assert drop.poll().messages == 0
    assert Ledger.load(drop.store, "edi").entries == {}


def test_a_server_that_lies_at_quit_is_asked_again(maildrop: Open) -> None:
    drop = maildrop(letter(1))
    assert drop.poll("quit-lies").deleted == 1
    assert drop.poll().deleted == 1
    assert drop.left == [] and len(drop.spooled()) == 1


@pytest.mark.parametrize("fault", ["no-top", "top-differs"])
def test_without_a_proof_by_top_the_octets_prove_it(maildrop: Open, fault: str) -> None:
    drop = maildrop(letter(1))
    drop.poll("quit-rollback", fault)
    result = drop.poll(fault)
    assert drop.commands("RETR") == ["RETR 1"]
    assert (result.messages, result.deleted) == (0, 1)
    assert len(drop.spooled()) == 1 and drop.left == []


def test_another_mail_under_a_reused_uidl_is_a_new_mail(maildrop: Open) -> None:
    """The pending deletion must not hit the newcomer."""
    drop = maildrop(letter(1))
    drop.poll("quit-rollback")
    drop.mailbox.mails = dict.fromkeys(drop.mailbox.mails, letter(2))
    result = drop.poll()
    assert result.messages == 1
    assert sorted(drop.spooled()) == [letter(1), letter(2)]


def test_pending_mails_of_the_same_octets_are_each_known_by_them(maildrop: Open) -> None:
    drop = maildrop(letter(1), letter(1))
    drop.poll("quit-rollback", "no-top")
    result = drop.poll("no-top")
    assert (result.messages, result.deleted) == (0, 2)
    assert len(drop.spooled()) == 2 and drop.left == []


def test_mails_that_take_each_others_uidls_are_known_by_their_octets(maildrop: Open) -> None:
    drop = maildrop(letter(1), letter(2))
    drop.poll("quit-rollback")
    drop.mailbox.mails = dict(zip(drop.mailbox.mails, reversed(drop.left), strict=True))
    result = drop.poll()
    assert (result.messages, result.deleted) == (0, 2)
    assert drop.left == [] and drop.spooled() == [letter(1), letter(2)]


def test_a_second_delivery_of_the_octets_of_a_pending_mail_is_a_mail(maildrop: Open) -> None:
    drop = maildrop(letter(1))
    drop.poll("quit-rollback")
    drop.mailbox.deliver(letter(1))
    result = drop.poll()
    assert (result.messages, result.deleted) == (1, 2)
    assert drop.spooled() == [letter(1), letter(1)] and drop.left == []


# ------------------------------------------------------------------------------------------ trouble at RETR


def test_a_connection_cut_in_a_mail_costs_nothing_but_time(maildrop: Open) -> None:
    drop = maildrop(letter(1), letter(2, b"x" * 500 + b"\r\n"), letter(3))
    first = drop.poll("retr-cut:200")
    assert first.messages == 1 and first.more and first.interrupted
    second = drop.poll()
    assert (second.messages, second.deleted) == (2, 3)
    assert sorted(drop.spooled()) == sorted([letter(1), letter(2, b"x" * 500 + b"\r\n"), letter(3)])


def test_a_session_that_brought_nothing_raises_what_broke_it(maildrop: Open) -> None:
    drop = maildrop(letter(1, b"x" * 500))
    with pytest.raises(ConnectionLost):
        drop.poll("retr-cut:50")
    assert drop.poll().messages == 1


def test_an_empty_answer_is_never_followed_by_dele(maildrop: Open) -> None:
    drop = maildrop(letter(1), letter(2))
    result = drop.poll("retr-empty:1")
    assert (result.messages, result.refused) == (1, 1)
    assert drop.commands("DELE") == ["DELE 2"]


def test_a_dele_that_is_refused_stays_pending(maildrop: Open) -> None:
    drop = maildrop(letter(1))
    assert drop.poll("err:DELE").deleted == 0
    assert drop.poll().deleted == 1
    assert len(drop.spooled()) == 1


# ---------------------------------------------------------------------------------------------- identities


def test_a_mail_that_has_the_number_of_a_kept_one_is_not_taken_for_it(maildrop: Open) -> None:
    """The server's UIDLs are its numbers, and somebody else deleted the first mail."""
    drop = maildrop(letter(1), letter(2), retention="keep")
    drop.poll("uidl-number")
    drop.mailbox.mails.pop(next(iter(drop.mailbox.mails)))
    drop.mailbox.deliver(letter(3))
    assert drop.poll("uidl-number").messages == 1
    assert sorted(drop.spooled()) == [letter(1), letter(2), letter(3)]


@pytest.mark.parametrize("fault", ["no-uidl", "uidl-blank", "uidl-same", "uidl-number"])
def test_without_a_usable_uidl_mails_are_told_apart_by_their_headers(maildrop: Open, fault: str) -> None:
    drop = maildrop(letter(1), letter(2), letter(2), retention="keep")
    assert drop.poll(fault).messages == 3
    drop.mailbox.deliver(letter(4))
    assert drop.poll(fault).messages == 1


def test_keep_needs_uidl_or_top(maildrop: Open) -> None:
    drop = maildrop(letter(1), retention="keep")
    with pytest.raises(ConfigurationError, match='use retention="delete"'):
        drop.poll("no-uidl", "no-top")
    assert drop.setup(retention="delete").poll("no-uidl", "no-top").deleted == 1


def test_a_change_of_all_uidls_downloads_nothing_again(maildrop: Open) -> None:
    """A migrated server: the UIDL epoch changed, the mails did not; two of them are the same."""
    drop = maildrop(*map(letter, (0, 1, 2, 3, 3)), retention="keep")
    drop.poll()
    drop.mailbox.deliver(letter(9))
    result = drop.poll("uidl-epoch:new-")
    assert result.messages == 1
    assert drop.poll("uidl-epoch:new-").messages == 0


def test_list_sizes_that_lie_do_no_harm(maildrop: Open) -> None:
    drop = maildrop(letter(1), retention="keep")
    drop.poll("list-lies")
    assert drop.poll("list-lies").messages == 0
    assert drop.spooled() == [letter(1)]


# --------------------------------------------------------------------------------------- what is not a session


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("auth-fail", AuthenticationFailed),
        ("in-use", MailboxInUse),
        ("login-delay", LoginDelayed),
        ("sys-temp", ServerUnavailable),
        ("sys-perm", ServerBroken),
        ("greeting-err", ServerUnavailable),
        ("greeting-hang", TimedOut),
        ("hang:PASS", TimedOut),
        ("hang:LIST", TimedOut),
        ("hang:UIDL", TimedOut),
        ("hang:RETR", TimedOut),
        ("retr-hang:7", TimedOut),
        ("cut:LIST", ConnectionLost),
        ("cut:RETR", ConnectionLost),
        ("err:LIST", Pop3Error),
    ],
)
def test_trouble_is_a_typed_error_and_the_next_session_has_every_mail(
    maildrop: Open, fault: str, error: type[Exception]
) -> None:
    drop = maildrop(letter(1))
    with pytest.raises(error):
        drop.poll(fault)
    assert drop.poll().messages == 1
    assert drop.spooled() == [letter(1)] and drop.left == []


@pytest.mark.parametrize("fault", ["hang:DELE", "cut:DELE", "hang:QUIT", "cut:QUIT"])
def test_trouble_after_the_commit_loses_nothing(maildrop: Open, fault: str) -> None:
    drop = maildrop(letter(1))
    assert drop.poll(fault).messages == 1
    assert drop.poll().deleted == 1
    assert drop.spooled() == [letter(1)] and drop.left == []


def test_a_store_that_fails_stops_the_session_before_any_deletion(maildrop: Open) -> None:
    drop = maildrop(letter(1))
    drop.store.put("spool", b"a file where the folder should be")
    with pytest.raises(StoreError):
        drop.poll()
    assert drop.left == [letter(1)] and not drop.commands("DELE")
    drop.store.delete("spool")
    assert drop.poll().messages == 1


def test_a_full_store_loses_nothing(maildrop: Open) -> None:
    drop = maildrop(letter(1, b"x" * 5000 + b"\r\n"), letter(2))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # writing past it fails like a full disk
    try:
        with pytest.raises(StoreUnavailable) as told:
            drop.poll()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert told.value.retriable
    assert len(drop.left) == 2 and not drop.commands("DELE")
    assert drop.poll().messages == 2 and drop.left == []


def test_a_session_that_dies_while_another_writes_the_ledger_is_taken_over(
    maildrop: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the other one's look at the ledger and its last write a whole session runs, up to the kill after QUIT."""
    drop = maildrop(letter(1))
    save, replace = Ledger.save, Store.replace

    def killed(ledger: Ledger, store: Store) -> None:
        if drop.commands("QUIT"):
            raise KeyboardInterrupt
        save(ledger, store)

    def late(store: Store, key: str, data: bytes | Iterator[bytes]) -> None:
        if drop.commands("QUIT"):
            drop.mailbox.deliver(letter(2))
            monkeypatch.setattr(Ledger, "save", killed)
            with pytest.raises(KeyboardInterrupt):
                drop.poll()
            monkeypatch.undo()
        replace(store, key, data)

    monkeypatch.setattr(Store, "replace", late)
    drop.poll()
    assert drop.left == [], "both deleted what they stored"
    assert len(drop.poll().batches) == 2


def test_progress_is_told_with_messages_octets_and_total(maildrop: Open) -> None:
    drop = maildrop(letter(1), letter(2))
    told: list[tuple[int, int, int]] = []
    retrieve(drop.site, drop.store, Pop3Client.connect, on_progress=lambda *now: told.append(now))
    size = len(letter(1))
    assert told == [(1, size, 2), (2, 2 * size, 2)]
