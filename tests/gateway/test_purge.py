"""A purge removes what is done and old, and nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from support.maildrop import Maildrop, letter

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway import classify, purge
from airflow_pop3_gateway.store.ledger import Ledger

Open = Callable[..., Maildrop]


def test_a_classified_batch_goes_when_it_is_old_enough(maildrop: Open) -> None:
    drop = maildrop(letter(1))
    drop.poll()
    classify(drop.site, drop.store)
    assert purge(drop.site, drop.store, days=30, now=drop.now).batches == 0
    drop.now.pass_days(31)
    assert purge(drop.site, drop.store, days=30, now=drop.now).batches == 1
    assert drop.store.names("spool/edi") == []
    assert len(list(drop.store.walk("records"))) == 1, "records are the memory of duplicates"


def test_a_batch_that_was_never_classified_stays(maildrop: Open) -> None:
    drop = maildrop(letter(1))
    drop.poll()
    drop.now.pass_days(100)
    result = purge(drop.site, drop.store, days=30, now=drop.now)
    assert (result.batches, result.unfinished) == (0, 1)
    assert drop.spooled() == [letter(1)]


def test_a_batch_whose_session_died_stays_until_another_knows_its_mails(
    maildrop: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was killed after its manifest, and classified; without the manifest the kept mail would be downloaded again."""
    drop = maildrop(letter(1), retention="keep")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Ledger, "save", killed)
        drop.poll()
    classify(drop.site, drop.store)
    drop.now.pass_days(31)
    result = purge(drop.site, drop.store, now=drop.now)
    assert (result.batches, result.unfinished) == (0, 1)
    assert drop.poll().messages == 0
    assert purge(drop.site, drop.store, now=drop.now).batches == 1
    assert drop.poll().messages == 0


def test_what_a_dead_session_left_goes_when_no_session_can_be_at_it(maildrop: Open) -> None:
    drop = maildrop()
    drop.store.put("spool/edi/20261123T080000000Z-00000001/segment-0000.eml", b"half a mail")
    drop.now.pass_days(1)
    assert purge(drop.site, drop.store, days=0, now=drop.now).batches == 0
    drop.now.pass_days(2)
    assert purge(drop.site, drop.store, days=0, now=drop.now).batches == 1


def test_what_a_dead_writer_left_half_done_goes_too_and_what_a_living_one_writes_stays(
    maildrop: Open, tmp_path: Path
) -> None:
    drop = maildrop()
    dead, living = drop.store.create("files/MAIL/a"), drop.store.create("files/MAIL/b")
    (first,) = [path for path in (tmp_path / "files" / "MAIL").iterdir() if path.name in str(vars(dead))]
    three_days_ago = (drop.now() - timedelta(days=3)).timestamp()
    now = drop.now().timestamp()
    for path in (tmp_path / "files" / "MAIL").iterdir():
        age = three_days_ago if path == first else now
        os.utime(path, (age, age))
    assert purge(drop.site, drop.store, now=drop.now).unpublished == 1
    assert not first.exists()
    living.write(b"whole")
    assert living.commit() == "files/MAIL/b"
    dead.discard()


def test_negative_days_are_refused(maildrop: Open) -> None:
    drop = maildrop()
    with pytest.raises(ConfigurationError, match="days"):
        purge(drop.site, drop.store, days=-1)
