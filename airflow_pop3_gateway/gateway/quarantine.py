"""Quarantine and replay: what was rejected can be looked at and released, and history can be asked again.

Strategy: everything needed lies in the spool and in ``transfers/``; nothing is downloaded. A replay understands stored
mails with the rules of now and writes down where the answer would differ; it changes nothing. A release takes a mail
that was rejected, with a record of its own beside the old one, and then a batch of its own in ``transfers/``, named
after the record: whoever reads batches meets it there once. A dismissal says that a mail needs nobody, and no more.

Invariant: records are never rewritten; a mail is released once, however often and by however many it is asked for; it
is in quarantine until the line of its release is there, or it is dismissed; what would be rejected again stays there.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from airflow_pop3_gateway.config import Application, RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError, StoreCorrupt
from airflow_pop3_gateway.gateway.applications import Chooser, Octets, proposed_application
from airflow_pop3_gateway.gateway.clock import Clock, utc_now
from airflow_pop3_gateway.gateway.deposit import Deposit, released_key
from airflow_pop3_gateway.records import DISMISSAL_SCHEMA, Dismissal, ManifestEntry, Replayed, TransferRecord
from airflow_pop3_gateway.store import Store, dismissals, layout
from airflow_pop3_gateway.store.batches import BatchReader
from airflow_pop3_gateway.store.spool import read_manifest
from airflow_pop3_gateway.store.transfers import TransferLines, read_lines, read_record

COMPARED = ("type", "file_name", "application", "rule", "user_message")
"""Fields whose change makes a difference, besides the files and the reason of a rejection."""


def quarantined(store: Store, site: RemoteSite) -> Iterator[dict[str, Any]]:
    """The lines of every mail of a site that was rejected, and neither released nor dismissed since, oldest first."""
    dismissed = dismissals.Dismissed(store)
    return (line for line in _not_released(store, site) if line["local_ident"] not in dismissed)


def _not_released(store: Store, site: RemoteSite) -> Iterator[dict[str, Any]]:
    for batch in _batches(store, site.name):
        for line in read_lines(store, site.name, batch) or ():
            if line["rejected"] and not _is_released(store, site.name, line["key"]):
                yield line


def _is_released(store: Store, site: str, rejected: str) -> bool:
    """Whether all of it is done: a release that died after its record goes on when it is asked for again."""
    key = released_key(rejected)
    if not store.exists(layout.record(key)):
        return False
    batch = _batch_of(read_record(store, key))
    return not batch or store.exists(layout.transfers(site, batch))


def _batch_of(released: TransferRecord) -> str:
    """The batch of a release; ``""`` of those that earlier versions named by chance."""
    at = released.released_at
    return layout.batch_name(layout.moment(at), released.key[:8]) if at else ""


def release(
    site: RemoteSite,
    store: Store,
    local_idents: Sequence[str],
    *,
    choose: Chooser = proposed_application,
    applications: Mapping[str, Application] | None = None,
    now: Clock = utc_now,
) -> list[TransferRecord]:
    """Take mails out of quarantine, with the site, rules and Applications of now; also those that were dismissed.

    :param local_idents: as ``quarantined`` gives them.
    :returns: the records that replace the rejected ones.
    :raises ConfigurationError: when a local ident is not in quarantine; nothing is released then.
    :raises MailRefused: when a mail would be rejected again; those before it are released.
    """
    deposit = Deposit(site, store, choose, applications or {})
    released: list[TransferRecord] = []
    for line in _wanted(store, site, local_idents):
        before = read_record(store, line["key"])
        record = deposit.release(*_stored(store, before), before, layout.timestamp(now()))
        lines = TransferLines(store, site.name, _batch_of(record))
        try:
            lines.add(record.line())
            lines.commit()
        finally:
            lines.discard()
        released.append(record)
    return released


def dismiss(
    site: RemoteSite,
    store: Store,
    local_idents: Sequence[str],
    *,
    by: str,
    reason: str = "",
    now: Clock = utc_now,
) -> None:
    """Write down that mails in quarantine need nobody any more. They stay where they are, and can be released.

    :param local_idents: as ``quarantined`` gives them; :param by: who says so; :param reason: why, for people.
    :raises ConfigurationError: when a local ident is not in quarantine; nothing is dismissed then.
    """
    for line in _wanted(store, site, local_idents):
        ident, key, at = line["local_ident"], line["key"], layout.timestamp(now())
        dismissals.dismiss(store, Dismissal(DISMISSAL_SCHEMA, site.name, ident, key, at, by, reason))


def _wanted(store: Store, site: RemoteSite, local_idents: Sequence[str]) -> list[dict[str, Any]]:
    """The lines of these mails. :raises ConfigurationError: one of them is not in quarantine."""
    waiting = {line["local_ident"]: line for line in _not_released(store, site)}
    if unknown := [local_ident for local_ident in local_idents if local_ident not in waiting]:
        raise ConfigurationError(
            f"{', '.join(unknown)}: not in quarantine at {site.name}; list what is.", field="local_ident"
        )
    return [waiting[local_ident] for local_ident in local_idents]


def _stored(store: Store, record: TransferRecord) -> tuple[ManifestEntry, Octets]:
    """The manifest line and the octets of a mail: from the spool, or from the whole mail that RECOVER kept."""
    raw = record.raw
    manifest = read_manifest(store, raw.site, raw.batch)
    if manifest is not None:
        entry = manifest[raw.index]
        return entry, _again(BatchReader(store, [entry]), entry)
    if not record.files:
        raise StoreCorrupt(
            f"{record.local_ident}: its raw mail was purged and no copy was kept.", key=record.key
        )
    (whole,) = record.files
    entry = ManifestEntry(
        "",
        raw.site,
        raw.batch,
        raw.index,
        raw.uidl,
        raw.segment,
        0,
        raw.length,
        raw.sha256,
        "",
        0,
        record.created_at,
        {},
    )
    return entry, lambda: store.stream(whole.path, 0, whole.size)


def _again(reader: BatchReader, entry: ManifestEntry) -> Octets:
    return lambda: reader.mail(entry)


def replay(
    site: RemoteSite,
    store: Store,
    batches: Sequence[str] | None = None,
    *,
    choose: Chooser = proposed_application,
    applications: Mapping[str, Application] | None = None,
    now: Clock = utc_now,
    on_difference: Callable[[Mapping[str, Any]], None] = lambda line: None,
) -> Replayed:
    """Ask what stored mails would be with the rules of now, beside what they are. Nothing is changed.

    :param batches: classified batches; ``None`` for all that are still in the spool.
    :param on_difference: gets each line of the report: ``local_ident``, ``xfer_ident``, ``before``, ``after``.
    :returns: counts, and where the report lies.
    """
    deposit = Deposit(site, store, choose, applications or {})
    key = layout.replay(site.name, layout.batch_name(now(), secrets.token_hex(4)))
    report = store.create(key)
    read = messages = differences = 0
    try:
        for batch in _batches(store, site.name) if batches is None else batches:
            manifest = read_manifest(store, site.name, batch)
            lines = read_lines(store, site.name, batch)
            if manifest is None or lines is None:
                continue
            read += 1
            reader = BatchReader(store, manifest)
            for first in lines:
                messages += 1
                line = _as_released(store, first)
                entry = manifest[line["raw"]["index"]]
                difference = _difference(line, deposit, entry, _again(reader, entry))
                if difference is not None:
                    differences += 1
                    report.write(json.dumps(difference, separators=(",", ":")).encode() + b"\n")
                    on_difference(difference)
        if differences:
            report.commit()
    finally:
        report.discard()
    return Replayed(site.name, read, messages, differences, key if differences else None)


def _batches(store: Store, site: str) -> list[str]:
    """Names of the batches of a site that have lines, oldest first: from the spool, and of purged and released ones."""
    found = set(filter(layout.is_batch, store.names(layout.spool(site))))
    prefix = f"{layout.segment(site)}-"
    for key in store.walk("transfers"):
        name = key.rpartition("/")[2].removesuffix(".jsonl")
        if name.startswith(prefix) and layout.is_batch(name.removeprefix(prefix)):
            found.add(name.removeprefix(prefix))
    return sorted(found)


def _as_released(store: Store, line: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a mail is by now: of a rejected one that was released since, the record that replaces it."""
    key = released_key(line["key"])
    released = line["rejected"] and store.exists(layout.record(key))
    return read_record(store, key).to_json() if released else line


def _difference(
    line: Mapping[str, Any], deposit: Deposit, entry: ManifestEntry, octets: Octets
) -> dict[str, Any] | None:
    """What would change, ``None`` when nothing would; a duplicate stays one whatever the rules are."""
    if line["rejected"] and line["rejected"]["duplicate_of"]:
        return None
    before, after = _essence(line), _essence(deposit.consider(entry, octets).to_json())
    if before == after:
        return None
    return {
        "local_ident": line["local_ident"],
        "key": line["key"],
        "xfer_ident": line["xfer_ident"],
        "before": before,
        "after": after,
    }


def _contents(files: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{name: file[name] for name in ("name", "size", "sha256")} for file in files]


def _essence(record: Mapping[str, Any]) -> dict[str, Any]:
    rejected = record["rejected"]
    return {
        **{name: record[name] for name in COMPARED},
        **{kind: _contents(record.get(kind, ())) for kind in ("files", "unpacked")},
        "rejected": rejected["reason"]["code"] if rejected else None,
    }
