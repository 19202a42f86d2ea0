"""What a mail costs on an object store, where every request is paid and waited for."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from support.maildrop import Maildrop, attachment, multipart, text
from upath import UPath

from airflow_pop3_gateway.gateway import classify
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.testing.object_store import S3Server

FEW, MANY = 3, 15


@pytest.fixture
def counted(
    maildrop: Callable[..., Maildrop], s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], tuple[Counter[str], Counter[str]]]:
    """The requests of a session and of a classification of so many mails with one file each, by their names."""

    def run(mails: int) -> tuple[Counter[str], Counter[str]]:
        base = UPath(f"s3://{s3_server.bucket}/{uuid.uuid4().hex}", **s3_server.storage_options)
        drop = maildrop(*(multipart(n, text(b"t"), attachment(b"a.edi", b"UNA")) for n in range(mails)))
        drop.store = Store.at(base)
        requests: Counter[str] = Counter()
        send = type(base.fs)._call_s3

        async def call(fs: Any, method: str, *arguments: Any, **options: Any) -> Any:
            requests[method] += 1
            return await send(fs, method, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(type(base.fs), "_call_s3", call)
            drop.poll()
            session = Counter(requests)
            requests.clear()
            assert classify(drop.site, drop.store).files == mails
        return session, requests

    return run


def test_a_session_costs_the_same_requests_whatever_the_number_of_small_mails(
    counted: Callable[[int], tuple[Counter[str], Counter[str]]],
) -> None:
    assert counted(FEW)[0] == counted(MANY)[0]


def test_a_mail_costs_one_request_and_one_for_each_file(
    counted: Callable[[int], tuple[Counter[str], Counter[str]]],
) -> None:
    few, many = counted(FEW)[1], counted(MANY)[1]
    assert many - few == Counter(put_object=2 * (MANY - FEW))
