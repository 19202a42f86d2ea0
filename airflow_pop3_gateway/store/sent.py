"""Transfers we sent: the record before SMTP, an event for whatever happens after it, a mark while we wait.

Strategy: everything is created once and found by its name. The key is the digest of the *xfer ident*, which comes
back as ENVID and, for a mail we built, as Message-ID; a ready-made mail's own Message-ID leads to the key.

Invariant: record and events are never rewritten; an event has one name however often it is appended.
"""

from __future__ import annotations

import contextlib
import json
from typing import TypeVar

from airflow_pop3_gateway.errors import AlreadyStored, StoreCorrupt
from airflow_pop3_gateway.records import Jsonable, as_json, digest_key
from airflow_pop3_gateway.records.sent import SentEvent, SentTransfer
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.store.objects import Store

J = TypeVar("J", bound=Jsonable)


def key_of(xfer_ident: str) -> str:
    """The key of the transfer with this *xfer ident* (with its angle brackets)."""
    return digest_key("sent", xfer_ident)


def xfer_ident(store: Store, local_ident: str, proposed: str) -> str:
    """The *xfer ident* of what asks for a transfer: the proposed one, or that of the attempt that was first."""
    key = layout.sent_request(local_ident)
    found = store.find(key)
    if found is None:
        if _put(store, key, proposed.encode()):
            return proposed
        found = store.read(key)
    return found.decode()


def supersede(store: Store, before: SentTransfer, proposed: str) -> str:
    """A transfer that nobody got is given up; what asked for it gets another *xfer ident*."""
    store.replace(layout.sent_request(before.local_ident), proposed.encode())
    settle(store, before.key)
    return proposed


def create(store: Store, transfer: SentTransfer) -> SentTransfer:
    """Write a transfer down before SMTP, with its mark when it asks for an acknowledgment.

    :returns: the record, of now or of the attempt that wrote it first.
    """
    if transfer.message_id not in ("", transfer.xfer_ident):
        _put(store, layout.sent_ident(transfer.message_id), transfer.key.encode())
    if transfer.requested:
        wait(store, transfer.key)
    if _put(store, layout.sent(transfer.key), as_json(transfer)):
        return transfer
    return read(store, transfer.key)


def find(store: Store, ident: str) -> SentTransfer | None:
    """The transfer an ENVID or Message-ID belongs to, ``None`` when it is none of ours."""
    if (found := find_key(store, key_of(ident))) is not None:
        return found
    key = store.find(layout.sent_ident(ident))
    return None if key is None else find_key(store, key.decode())


def find_key(store: Store, key: str) -> SentTransfer | None:
    """The transfer under a key, ``None`` when there is none."""
    data = store.find(layout.sent(key))
    return None if data is None else _load(SentTransfer, layout.sent(key), data)


def read(store: Store, key: str) -> SentTransfer:
    """The transfer under a key. :raises StoreCorrupt: when it is missing or not a transfer."""
    return _load(SentTransfer, layout.sent(key), store.read(layout.sent(key)))


def append(store: Store, key: str, event: SentEvent) -> bool:
    """Append an event. :returns: whether it is new."""
    return _put(store, layout.sent_event(key, event.name), as_json(event))


def events(store: Store, key: str) -> list[SentEvent]:
    """Everything that happened to a transfer, in the order of time."""
    folder = layout.sent_event(key)
    found = [
        _load(SentEvent, f"{folder}/{name}", store.read(f"{folder}/{name}")) for name in store.names(folder)
    ]
    return sorted(found, key=lambda event: (event.at, event.name))


def count_events(store: Store, key: str) -> int:
    """How many there are, by one request."""
    return len(store.names(layout.sent_event(key)))


def waiting_keys(store: Store) -> list[str]:
    """Keys of the transfers that are marked as waiting for their acknowledgment."""
    return store.names(layout.sent_waiting())


def wait(store: Store, key: str) -> None:
    """The transfer waits for its acknowledgment; harmless when it does already."""
    _put(store, layout.sent_waiting(key), b"")


def settle(store: Store, key: str) -> None:
    """The transfer waits no longer; harmless when it did not."""
    store.delete(layout.sent_waiting(key))


def _put(store: Store, key: str, data: bytes) -> bool:
    with contextlib.suppress(AlreadyStored):
        store.put(key, data)
        return True
    return False


def _load(kind: type[J], key: str, data: bytes) -> J:
    try:
        return kind.from_json(json.loads(data))
    except (ValueError, TypeError) as error:
        raise StoreCorrupt(f"{key} cannot be read: {error}", key=key) from None
