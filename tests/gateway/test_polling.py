"""A held site is not connected to, and what it brought before still goes on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timezone

import pytest
from support.maildrop import Maildrop, letter

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.gateway import classify, poll, resume, status, suspend
from airflow_pop3_gateway.gateway.listing import MailClient
from airflow_pop3_gateway.windows import PollingWindows

NOW = datetime(2026, 11, 23, 11, 0, tzinfo=timezone.utc)


def nobody(site: RemoteSite) -> AbstractContextManager[MailClient]:
    pytest.fail(f"a session with {site.name} was opened")


def test_a_suspended_site_is_left_alone_and_its_stored_mails_are_still_classified(
    maildrop: Callable[..., Maildrop],
) -> None:
    drop = maildrop(letter(1))
    stored = drop.poll()
    assert suspend(drop.site.name, drop.store, NOW, by="ann", reason="their server moves")
    held = poll(drop.site, drop.store, nobody, now=lambda: NOW)
    assert held.held == "suspended since 2026-11-23T11:00:00.000Z by ann: their server moves"
    assert held.batches == stored.batches
    assert classify(drop.site, drop.store, held.batches).messages == 1
    assert resume(drop.site.name, drop.store)


def test_outside_its_windows_a_site_is_left_alone_and_says_until_when(
    maildrop: Callable[..., Maildrop],
) -> None:
    drop = maildrop(letter(1))
    site = dataclasses.replace(drop.site, polling_windows=PollingWindows("mon 12:30-13:00 @ Europe/Paris"))
    held = poll(site, drop.store, nobody, now=lambda: NOW)
    assert held.held.endswith("until 2026-11-23T11:30:00.000Z")


def test_status_tells_what_the_store_knows(maildrop: Callable[..., Maildrop]) -> None:
    drop = maildrop(letter(1), letter(2))
    stored = drop.poll()
    suspend(drop.site.name, drop.store, NOW, by="ann")
    standing = status(drop.site, drop.store, NOW)
    assert standing.held.startswith("suspended since")
    assert (standing.last_batch, standing.waiting_batches) == (stored.batch, stored.batches)
    assert standing.ledger == {"DELETED": 2}
    assert standing.pending_receipts == 0
