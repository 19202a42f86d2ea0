"""Requests for receipts that wait, and the answers they got.

Strategy: a request is an object below its site, so that a list of what waits reads nothing else; an answer is created
under the mail's local ident, and whoever comes second finds the first. A mark stands while a request is being answered,
so that what a process that died left undone is found without reading what waits.

Invariant: one answer for each mail, for good.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import TypeVar

from airflow_pop3_gateway.errors import AlreadyStored, StoreCorrupt
from airflow_pop3_gateway.records import Jsonable, as_json
from airflow_pop3_gateway.records.asked import Answer, WaitingRequest
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.store.objects import Store

J = TypeVar("J", bound=Jsonable)


def wait(store: Store, request: WaitingRequest) -> None:
    """Let a request wait, unless it waits or was answered."""
    if store.exists(layout.answer(request.local_ident)):
        return
    with contextlib.suppress(AlreadyStored):
        store.put(layout.waiting_request(request.site, request.local_ident), as_json(request))


def waiting(store: Store, site: str) -> list[str]:
    """Local idents of the requests of a site that wait, oldest first."""
    answered = {ident for ident in unfinished(store, site) if store.exists(layout.answer(ident))}
    names = store.names(layout.waiting_request(site))
    return [ident for name in names if (ident := name.removesuffix(".json")) not in answered]


def find_request(store: Store, site: str, local_ident: str) -> WaitingRequest | None:
    """The request of a mail, ``None`` when it does not wait."""
    return _find(WaitingRequest, store, layout.waiting_request(site, local_ident))


def requests(store: Store, site: str, batches: Sequence[str] | None = None) -> Iterator[WaitingRequest]:
    """The requests of a site, or of some of its batches, that wait for an answer, oldest first."""
    for local_ident in waiting(store, site):
        if batches is not None and not local_ident.startswith(tuple(batches)):
            continue
        if request := find_request(store, site, local_ident):
            yield request


def unfinished(store: Store, site: str) -> list[str]:
    """Local idents of requests that somebody is answering, or died while answering."""
    return store.names(layout.answering(site))


def answer(store: Store, given: Answer) -> Answer:
    """Answer a request, until :func:`settle`. :returns: the answer that counts: this one, or the one of before."""
    with contextlib.suppress(AlreadyStored):
        store.put(layout.answering(given.site, given.local_ident), b"")
    try:
        store.put(layout.answer(given.local_ident), as_json(given))
    except AlreadyStored:
        return find_answer(store, given.local_ident) or given
    return given


def find_answer(store: Store, local_ident: str) -> Answer | None:
    """The answer a mail's request got, ``None`` when it got none."""
    return _find(Answer, store, layout.answer(local_ident))


def answers_of(store: Store, batch: str) -> Iterator[Answer]:
    """The answers the mails of a batch got."""
    for name in store.names(layout.answers_of_day(batch)):
        if name.startswith(batch) and (found := find_answer(store, name.removesuffix(".json"))):
            yield found


def settle(store: Store, site: str, local_ident: str) -> None:
    """The request waits no longer, and whatever its answer makes is done; harmless when it did not."""
    store.delete(layout.waiting_request(site, local_ident))
    store.delete(layout.answering(site, local_ident))


def forget(store: Store, site: str, before: str) -> int:
    """Remove the requests of the batches up to a name. :returns: how many."""
    old = [local_ident for local_ident in waiting(store, site) if local_ident < before]
    for local_ident in old:
        settle(store, site, local_ident)
    return len(old)


def _find(kind: type[J], store: Store, key: str) -> J | None:
    data = store.find(key)
    try:
        return None if data is None else kind.from_json(json.loads(data))
    except (ValueError, TypeError) as error:
        raise StoreCorrupt(f"{key} cannot be read: {error}", key=key) from None
