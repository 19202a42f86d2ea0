"""What was rejected can be released, and history asked again; nothing is downloaded and nothing rewritten."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import json
import zipfile
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from support.maildrop import ASKS_FOR_A_RECEIPT, Maildrop, attachment, letter, multipart, text

from airflow_pop3_gateway.config import Application
from airflow_pop3_gateway.errors import ConfigurationError, MailRefused
from airflow_pop3_gateway.gateway import classify, dismiss, purge, quarantine, quarantined, release, replay
from airflow_pop3_gateway.gateway.applications import Rules
from airflow_pop3_gateway.gateway.deposit import released_key
from airflow_pop3_gateway.gateway.handover import hand_on, processing
from airflow_pop3_gateway.store import outbox
from airflow_pop3_gateway.store.writers import LocalWriter

Open = Callable[..., Maildrop]
TWO_FILES = multipart(1, attachment(b"a.txt", b"a"), attachment(b"b.txt", b"b"), headers=ASKS_FOR_A_RECEIPT)
SEVERAL = {"MAIL": Application("MAIL", multiple_attachments="extract")}


def received(drop: Maildrop) -> Maildrop:
    drop.poll()
    classify(drop.site, drop.store)
    return drop


def test_quarantine_lists_what_was_rejected(maildrop: Open) -> None:
    drop = received(maildrop(letter(7), TWO_FILES, letter(7)))
    codes = [line["rejected"]["reason"]["code"] for line in quarantined(drop.store, drop.site)]
    assert codes == ["multiple-attachments", "duplicate-octets"]


def test_a_released_mail_is_taken_as_the_rules_are_now(maildrop: Open) -> None:
    drop = received(maildrop(TWO_FILES))
    (line,) = quarantined(drop.store, drop.site)
    (record,) = release(drop.site, drop.store, [line["local_ident"]], applications=SEVERAL, now=drop.now)
    assert (record.type, record.file_name, record.rejected) == ("XFER", "a.txt", None)
    assert record.replaces == line["key"]
    assert [drop.store.read(file.path) for file in record.files] == [b"a", b"b"]
    assert list(quarantined(drop.store, drop.site)) == []
    assert len(outbox.pending(drop.store, "edi")) == 1, "and now it is acknowledged"


def test_the_lines_of_a_release_are_published_beside_the_old_ones(maildrop: Open) -> None:
    drop = received(maildrop(TWO_FILES))
    (line,) = quarantined(drop.store, drop.site)
    (record,) = release(drop.site, drop.store, [line["local_ident"]], applications=SEVERAL, now=drop.now)
    lines = [json.loads(x) for key in drop.store.walk("transfers") for x in drop.store.read(key).splitlines()]
    assert {x["key"] for x in lines} == {line["key"], record.key}


class Killed(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("effect", [False, True], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize("step", range(1, 7))
def test_a_release_that_dies_at_any_step_is_finished_by_the_next(
    maildrop: Open, monkeypatch: pytest.MonkeyPatch, step: int, effect: bool
) -> None:
    drop = received(maildrop(TWO_FILES))
    (line,) = quarantined(drop.store, drop.site)
    steps = 0

    def commit(writer: LocalWriter, over: bool = False) -> str:
        nonlocal steps
        steps += 1
        if steps == step and not effect:
            raise Killed
        key = whole(writer, over)
        if steps == step:
            raise Killed
        return key

    whole = LocalWriter.commit
    monkeypatch.setattr(LocalWriter, "commit", commit)
    with contextlib.suppress(Killed):
        release(drop.site, drop.store, [line["local_ident"]], applications=SEVERAL, now=drop.now)
    assert steps >= step, "there is such a step"
    monkeypatch.undo()
    drop.now.time += timedelta(hours=1)
    if left := [one["local_ident"] for one in quarantined(drop.store, drop.site)]:
        release(drop.site, drop.store, left, applications=SEVERAL, now=drop.now)
    assert list(quarantined(drop.store, drop.site)) == []
    keys = sorted(one["key"] for one in handed_lines(drop))
    assert keys == sorted([line["key"], released_key(line["key"])])
    assert len(outbox.pending(drop.store, "edi")) == 1


def handed_lines(drop: Maildrop) -> list[dict[str, Any]]:
    """What a consumer of ``transfers/`` reads."""
    return [json.loads(x) for key in drop.store.walk("transfers") for x in drop.store.read(key).splitlines()]


def test_of_two_who_release_a_mail_at_once_one_line_stays(
    maildrop: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = received(maildrop(TWO_FILES))
    (line,) = quarantined(drop.store, drop.site)
    monkeypatch.setattr(quarantine, "_wanted", lambda store, site, idents: [line])  # both looked before
    records = []
    for _ in range(2):
        drop.now.time += timedelta(minutes=1)
        records += release(drop.site, drop.store, [line["local_ident"]], applications=SEVERAL, now=drop.now)
    assert records[0] == records[1]
    assert len(handed_lines(drop)) == 2


def test_a_release_that_began_goes_on_even_by_rules_that_would_reject_the_mail(maildrop: Open) -> None:
    drop = received(maildrop(TWO_FILES))
    (line,) = quarantined(drop.store, drop.site)
    (record,) = release(drop.site, drop.store, [line["local_ident"]], applications=SEVERAL, now=drop.now)
    drop.store.delete(next(key for key in drop.store.walk("transfers") if record.key[:8] in key))
    assert release(drop.site, drop.store, [line["local_ident"]], now=drop.now) == [record]
    assert [drop.store.read(file.path) for file in record.files] == [b"a", b"b"]


def test_a_released_mail_is_handed_on_once(maildrop: Open) -> None:
    drop = received(maildrop(TWO_FILES))
    (line,) = quarantined(drop.store, drop.site)
    (record,) = release(drop.site, drop.store, [line["local_ident"]], applications=SEVERAL, now=drop.now)
    keys = hand_on(drop.store, "MAIL", "sweep 1", now=drop.now).keys
    assert record.key in keys
    for key in keys:
        with processing(drop.store, key, "run", now=drop.now) as found:
            assert found is not None
    drop.now.time += timedelta(hours=2)
    assert hand_on(drop.store, "MAIL", "sweep 2", now=drop.now).keys == ()


def test_a_duplicate_that_is_none_can_be_released(maildrop: Open) -> None:
    drop = received(maildrop(letter(1), letter(1, b"another order\r\n")))
    (line,) = quarantined(drop.store, drop.site)
    (record,) = release(drop.site, drop.store, [line["local_ident"]], now=drop.now)
    assert (record.type, (record.user_message or "").strip()) == ("MSG", "another order")


def stored(drop: Maildrop) -> dict[str, bytes]:
    """What lies there of mails."""
    folders = ("files", "ledger", "records", "spool", "transfers")
    return {key: drop.store.read(key) for folder in folders for key in drop.store.walk(folder)}


def test_what_is_dismissed_is_no_longer_in_quarantine_and_everything_stays(maildrop: Open) -> None:
    drop = received(maildrop(letter(7), TWO_FILES, letter(7)))
    two_files, duplicate = quarantined(drop.store, drop.site)
    before = stored(drop)
    for by in ("the first", "the second"):
        dismiss(drop.site, drop.store, [two_files["local_ident"]], by=by, reason="spam", now=drop.now)
    assert list(quarantined(drop.store, drop.site)) == [duplicate]
    (written,) = drop.store.walk("dismissed")
    assert stored(drop) == before
    found = json.loads(drop.store.read(written))
    assert (found["record"], found["by"], found["reason"]) == (two_files["key"], "the first", "spam")


def test_what_was_dismissed_can_be_released_all_the_same(maildrop: Open) -> None:
    drop = received(maildrop(TWO_FILES))
    (line,) = quarantined(drop.store, drop.site)
    dismiss(drop.site, drop.store, [line["local_ident"]], by="ops", now=drop.now)
    (record,) = release(drop.site, drop.store, [line["local_ident"]], applications=SEVERAL, now=drop.now)
    assert record.replaces == line["key"]


@pytest.mark.parametrize("decide", [functools.partial(dismiss, by="ops"), release])
def test_one_mail_that_is_not_in_quarantine_and_nothing_is_done(
    maildrop: Open, decide: Callable[..., object]
) -> None:
    drop = received(maildrop(letter(1), letter(1, b"another order\r\n")))
    (line,) = quarantined(drop.store, drop.site)
    with pytest.raises(ConfigurationError, match=r"^nowhere: not in quarantine at edi; list what is\.$"):
        decide(drop.site, drop.store, [line["local_ident"], "nowhere"])
    assert list(quarantined(drop.store, drop.site)) == [line]


def test_a_mail_that_would_be_rejected_again_stays(maildrop: Open) -> None:
    drop = received(maildrop(TWO_FILES))
    files = list(drop.store.walk("files"))
    (line,) = quarantined(drop.store, drop.site)
    with pytest.raises(MailRefused, match="multiple-attachments"):
        release(drop.site, drop.store, [line["local_ident"]], now=drop.now)
    assert len(list(quarantined(drop.store, drop.site))) == 1
    assert list(drop.store.walk("files")) == files


def test_a_release_after_the_spool_was_purged_uses_the_copy_that_recover_kept(maildrop: Open) -> None:
    drop = received(maildrop(TWO_FILES))
    drop.now.pass_days(40)
    assert purge(drop.site, drop.store, now=drop.now).batches == 1
    (line,) = quarantined(drop.store, drop.site)
    (record,) = release(drop.site, drop.store, [line["local_ident"]], applications=SEVERAL, now=drop.now)
    assert len(record.files) == 2


def test_a_replay_with_the_same_rules_finds_no_difference(maildrop: Open) -> None:
    drop = received(
        maildrop(letter(1), letter(1), TWO_FILES, multipart(2, text(b"t"), attachment(b"a", b"a")))
    )
    before = sorted(drop.store.walk("records"))
    result = replay(drop.site, drop.store, now=drop.now)
    assert (result.batches, result.messages, result.differences, result.report) == (1, 4, 0, None)
    assert sorted(drop.store.walk("records")) == before


def test_a_replay_knows_what_was_released(maildrop: Open) -> None:
    drop = received(maildrop(TWO_FILES, letter(7), letter(7)))
    lines = list(quarantined(drop.store, drop.site))
    idents = [line["local_ident"] for line in lines]
    release(drop.site, drop.store, idents, applications=SEVERAL, now=drop.now)
    assert replay(drop.site, drop.store, applications=SEVERAL, now=drop.now).differences == 0
    differences: list[Any] = []
    replay(drop.site, drop.store, now=drop.now, on_difference=differences.append)
    (back,) = differences
    assert (back["local_ident"], back["before"]["rejected"], back["after"]["rejected"]) == (
        f"{idents[0]}.released",
        None,
        "multiple-attachments",
    )


def test_a_replay_tells_what_would_come_out_of_zips(maildrop: Open) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("order.csv", b"a;b")
    drop = received(maildrop(multipart(1, attachment(b"orders.zip", out.getvalue()))))
    told: list[Any] = []
    drop.setup(unzip=True)
    assert replay(drop.site, drop.store, now=drop.now, on_difference=told.append).differences == 1
    assert told[0]["before"]["unpacked"] == []
    assert [file["name"] for file in told[0]["after"]["unpacked"]] == ["order.csv"]


def test_a_replay_with_new_rules_reports_each_difference_and_changes_nothing(maildrop: Open) -> None:
    drop = received(maildrop(letter(7), TWO_FILES, multipart(2, attachment(b"x.csv", b"x"))))
    objects = {key: drop.store.read(key) for key in drop.store.walk("records")}
    rules = Rules.of([{"application": "CSV", "file_name": "*.csv"}])
    result = replay(drop.site, drop.store, choose=rules, applications=SEVERAL, now=drop.now)
    assert (result.messages, result.differences) == (3, 2)
    assert result.report is not None
    lines = [json.loads(line) for line in drop.store.read(result.report).splitlines()]
    assert [(line["before"]["rejected"], line["after"]["rejected"]) for line in lines] == [
        ("multiple-attachments", None),
        (None, None),
    ]
    assert (lines[1]["before"]["application"], lines[1]["after"]["application"]) == ("MAIL", "CSV")
    assert {key: drop.store.read(key) for key in drop.store.walk("records")} == objects


def test_a_whole_mail_that_is_a_duplicate_leaves_one_file(maildrop: Open) -> None:
    drop = received(maildrop(letter(1), letter(1), extract_file=False))
    assert len(list(drop.store.walk("files"))) == 2


def test_another_sites_mails_are_not_listed(maildrop: Open) -> None:
    drop = received(maildrop(TWO_FILES))
    assert list(quarantined(drop.store, dataclasses.replace(drop.site, name="ed"))) == []
