"""Deposit: one mail of the spool becomes one record, with what belongs to it.

Strategy: the mail is understood while it streams; files go to keys made from its place in the spool; the record is
created last and decides. A record found under the identity is either this mail's own, of a run that died after it, or
another's: then this one is a duplicate. What cannot be taken is disposed of (Gateway: *error_mail_disposal*):
RECOVER keeps the whole mail undecoded as ``<xfer ident>.<local ident>``, LEAVE and DELETE cancel the transfer.

Invariant: at most one record names this place of the spool; files are taken back only when a record is there that does
not name them; a receipt enters the outbox, and a request begins to wait, only after its record exists.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Generator, Mapping, Sequence, Set
from dataclasses import dataclass

from msgspec.structs import replace

from airflow_pop3_gateway.config import Application, RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError, MailError, MailRefused, StoreError
from airflow_pop3_gateway.gateway import track
from airflow_pop3_gateway.gateway.applications import (
    Choice,
    Chooser,
    Octets,
    chosen,
    named,
    policy_of,
    proposed_application,
)
from airflow_pop3_gateway.gateway.protection import Inspected, inspected
from airflow_pop3_gateway.gateway.receipts import decide, receipts_for, request_for
from airflow_pop3_gateway.gateway.together import Each, where_it_pays
from airflow_pop3_gateway.gateway.writers import Nothing, Repeatable
from airflow_pop3_gateway.mail.extract import Policy, Understanding, understand
from airflow_pop3_gateway.mail.headers import Head, identity, split_subject
from airflow_pop3_gateway.records import (
    RECORD_SCHEMA,
    Defect,
    ManifestEntry,
    Reason,
    Rejected,
    StoredFile,
    TransferRecord,
    digest_key,
)
from airflow_pop3_gateway.store import Store, Writer, answers, layout, outbox
from airflow_pop3_gateway.store.batches import SMALL_BYTES
from airflow_pop3_gateway.store.groups import Group
from airflow_pop3_gateway.store.transfers import create_record, publish_record, read_record

log = logging.getLogger(__name__)

RELEASED = ".released"
"""What the local ident of a released mail ends in, so that its files never meet those of before."""


@dataclass(frozen=True)
class Deposit:
    """Files the mails of one site; may be used by several threads at once."""

    site: RemoteSite
    store: Store
    choose: Chooser = proposed_application
    applications: Mapping[str, Application] = dataclasses.field(default_factory=dict)

    def file(self, entry: ManifestEntry, octets: Octets) -> TransferRecord:
        """Understand a mail and write down what it is.

        :param octets: gives the exact octets of the mail, each time it is called.
        :returns: the record, of now or of the run that wrote it first.
        :raises StoreError: when the store fails or the octets are not those that were retrieved.
        """
        steps = _Mail(self, entry, octets).file()
        next(steps), next(steps)
        return _last(steps, frozenset())

    def file_together(
        self, mails: Sequence[tuple[ManifestEntry, Octets]], each: Each = map
    ) -> list[TransferRecord]:
        """:meth:`file` for many; where the store can, their files become durable together, and then their records.

        :param each: ``map``, or that of a pool.
        """
        if self.store.url.startswith("file:") and all(entry.length <= SMALL_BYTES for entry, _ in mails):
            each = where_it_pays(each)
        files, records = self.store.group(), self.store.group()
        if files is None or records is None:
            return list(each(lambda mail: self.file(*mail), mails))
        with contextlib.closing(files), contextlib.closing(records):
            under_way = [_Mail(self, *mail, group=files).file(records) for mail in mails]
            list(each(next, under_way))
            list(map(next, under_way))
            taken = files.publish(records)
            return [_last(steps, taken) for steps in under_way]

    def consider(self, entry: ManifestEntry, octets: Octets) -> TransferRecord:
        """What the record of a mail would be, duplicates aside; nothing is stored."""
        return _Mail(dataclasses.replace(self, store=Nothing()), entry, octets).consider()

    def release(
        self, entry: ManifestEntry, octets: Octets, rejected: TransferRecord, at: str
    ) -> TransferRecord:
        """Take a mail that was rejected, as the rules are now.

        :param at: when; the record of an earlier call keeps its time.
        :returns: a record of its own that ``replaces`` the rejected one; the same at each call.
        :raises MailRefused: when the mail would be rejected again; nothing is stored then.
        """
        return _Mail(self, entry, octets, RELEASED).release(rejected, at)


def released_key(rejected: str) -> str:
    """The key of the record that replaces a rejected one."""
    return digest_key(rejected, RELEASED)


class _Mail:
    """One mail on its way; the state that the callbacks of :func:`understand` share."""

    def __init__(
        self,
        deposit: Deposit,
        entry: ManifestEntry,
        octets: Octets,
        suffix: str = "",
        group: Group | None = None,
    ) -> None:
        self._group = group
        self._octets = octets
        self._inside = Inspected(octets)
        self._local_ident = entry.local_ident + suffix
        self._site, self._store, self._deposit, self._entry = deposit.site, deposit.store, deposit, entry
        self._head = Head([])
        self._application = named(self._site.application, deposit.applications)
        self._subject, self._xfb = "", dict[str, str]()
        self._xfer_ident, self._source = "", "header-hash"
        self._keys: set[str] = set()
        self._defects: list[Defect] = []

    def file(self, records: Group | None = None) -> Generator[None, Set[str], TransferRecord]:
        """Stops until others are as far, then until all is durable, and is told which keys were taken."""
        record = self.consider()
        yield
        fresh = publish_record(self._store, record, records)
        taken = yield
        self._group = None
        fresh = fresh and layout.record(record.key) not in taken
        stored = record if fresh else read_record(self._store, record.key)
        if stored.raw != record.raw:  # its identity is another mail's
            rejected = record.rejected or Rejected(self._xfer_ident, _duplicate_reason(stored, record))
            duplicate = replace(rejected, duplicate_of=stored.key)
            fresh, stored = False, create_record(self._store, self._dispose(record, duplicate, stored))
        if stored.rejected or not fresh:
            self._take_back(stored)
        self._enqueue(stored)
        return stored

    def consider(self) -> TransferRecord:
        """The record, duplicates aside."""
        understanding, rejected = self._understand()
        record = self._record(understanding)
        return record if rejected is None else self._dispose(record, rejected)

    def release(self, before: TransferRecord, at: str) -> TransferRecord:
        key = released_key(before.key)
        understanding, rejected = self._understand()
        if rejected is None:
            released = replace(
                self._record(understanding),
                key=key,
                replaces=before.key,
                released_at=at,
                acknowledgment=decide(self._site, self._head, before.key),
            )
            stored = create_record(self._store, released)
        elif self._store.exists(layout.record(key)):  # by rules of before: its files are these
            stored = read_record(self._store, key)
        else:
            self._take_back(before)
            code = rejected.reason.code
            raise MailRefused(f"{before.local_ident} would be rejected again: {code}", code=code)
        self._enqueue(stored)
        answers.settle(self._store, self._site.name, before.local_ident)
        return stored

    # ------------------------------------------------------------------------------------- understanding

    def _understand(self) -> tuple[Understanding | None, Rejected | None]:
        if self._site.smime is None:
            return self._understand_inside()
        with inspected(self._site, self._octets, self._entry) as self._inside:
            understood = self._understand_inside()
        self._inside = dataclasses.replace(self._inside, octets=self._octets)  # what was inside leaves memory
        return understood

    def _understand_inside(self) -> tuple[Understanding | None, Rejected | None]:
        understanding: Understanding | None = None
        inside = self._inside
        try:
            understanding = understand(inside.octets(), self._policy, self._open_file)
            reason = inside.broken or understanding.rejected
            if understanding.type != "EERP":
                reason = reason or inside.objection
        except StoreError:
            raise
        except MailError as error:
            code = getattr(error, "code", "") or getattr(error, "limit", "") or "mail-error"
            reason = Reason(code, str(error))
        except Exception as error:  # one bad mail never stops a maildrop, not even by a defect of ours
            log.exception("%s: %s could not be understood", self._site.name, self._entry.local_ident)
            reason = Reason("internal-error", f"{type(error).__name__}: {error}")
        if not self._xfer_ident:
            self._identify(understanding.head if understanding else self._head)
        return understanding, None if reason is None else Rejected(self._xfer_ident, reason)

    def _identify(self, head: Head) -> None:
        self._head = head
        self._subject = head.subject
        nobody = self._entry.sha256, "header-hash"
        self._xfer_ident, self._source = identity(head) if head.fields else nobody

    def _policy(self, head: Head) -> Policy:
        """Choose the Application, and with it how the mail is extracted (Gateway: Application, then Remote Site)."""
        self._identify(head)
        site = self._site
        subject, xfb = split_subject(head.subject, site.subject_delimiter)
        choice = Choice(
            site.name,
            site.login,
            head.from_,
            head.to,
            self._xfer_ident,
            head.subject,
            xfb.get("appli") or site.application,
            self._entry.length,
            head,
            self._inside.octets,
        )
        name = chosen(self._deposit.choose, choice)
        try:
            self._application = named(name, self._deposit.applications)
        except ConfigurationError as error:
            self._defects.append(Defect("application-name", "", str(error)))
        policy = policy_of(self._application, site)
        if policy.extract_file:
            self._subject, self._xfb = subject, xfb
        return policy

    # ------------------------------------------------------------------------------------------- storing

    def _key(self, name: str) -> str:
        return layout.file(self._application.name, self._entry.batch, self._local_ident, name)

    def _open_file(self, name: str, content_type: str) -> Writer:
        key = self._key(name)
        self._keys.add(key)
        return Repeatable(self._store.create(key, self._group))

    def _take_back(self, record: TransferRecord) -> None:
        """Remove the files that the record does not name; a run of before may have made it by other rules."""
        named = {file.path for file in (*record.files, *record.unpacked, *record.evidence)}
        for key in self._keys - named - {record.user_message_file}:
            self._store.delete(key)

    def _keep_whole(self, name: str) -> StoredFile:
        """The exact octets of the mail as a file."""
        if (key := self._key(name)) in self._keys:  # an attachment has this name
            self._store.delete(key)
        writer = self._open_file(name, "message/rfc822")
        try:
            for chunk in self._octets():
                writer.write(chunk)
            writer.commit()
        finally:
            writer.discard()
        return StoredFile(writer.key, name, None, "message/rfc822", self._entry.length, self._entry.sha256)

    # -------------------------------------------------------------------------------------------- record

    def _record(self, understanding: Understanding | None) -> TransferRecord:
        entry, head = self._entry, self._head
        key = digest_key(self._site.name, self._xfer_ident)
        found = understanding or Understanding(head, "XFER", "", "", entry.length)
        whole = found.rule == "whole-mail"
        return TransferRecord(
            schema=RECORD_SCHEMA,
            key=key,
            local_ident=self._local_ident,
            type=found.type,
            file_name=found.file_name,
            state="ENDED",
            protocol="POP3",
            originator=self._site.name,
            destination=self._site.login,
            application=self._application.name,
            from_=head.from_,
            to=head.to,
            cc=head.cc,
            subject=self._subject,
            date=head.date,
            xfer_ident=self._xfer_ident,
            xfer_ident_source="message-id" if self._source == "message-id" else "header-hash",
            raw=entry.raw,
            created_at=entry.retrieved_at,
            xfb=self._xfb,
            user_message=found.user_message,
            user_message_file=found.user_message_file,
            files=(self._keep_whole(found.file_name),) if whole else found.files,
            unpacked=found.unpacked,
            evidence=found.evidence,
            protection=self._inside.protection,
            mic=self._inside.mic,
            acknowledgment=decide(self._site, head, key),
            rule=found.rule,
            auto_submitted=head.auto_submitted,
            defects=(*self._inside.defects, *self._defects, *found.defects),
            leaves=found.leaves,
            **track.reported(self._store, found),
        )

    def _dispose(
        self, record: TransferRecord, rejected: Rejected, first: TransferRecord | None = None
    ) -> TransferRecord:
        """Apply error_mail_disposal; a duplicate's key is its own, for its identity belongs to the first."""
        if self._group is not None:
            self._group.withdraw(*self._keys)
        site, duplicate = self._site, rejected.duplicate_of is not None
        own_ident = f"{self._xfer_ident}.{self._entry.local_ident}"
        key = digest_key(site.name, own_ident if duplicate else self._xfer_ident)
        disposed = replace(
            record,
            key=key,
            rejected=rejected,
            disposal=site.error_mail_disposal,
            type="XFER",
            file_name="",
            files=(),
            unpacked=(),
            evidence=(),
            user_message=None,
            user_message_file=None,
            leaves=tuple(replace(leaf, outcome="within_recover", file=None) for leaf in record.leaves),
            report=None,
            acknowledges=None,
            acknowledgment=decide(
                site,
                self._head,
                key,
                rejected,
                repeated=first is not None and first.raw.sha256 == record.raw.sha256,
            ),
        )
        if site.error_mail_disposal != "recover":
            return replace(disposed, state="CANCELED")
        word = "DUPLICATE" if duplicate else "RECOVER"
        return replace(
            disposed,
            file_name=word,
            file_type="DATA",
            xfer_ident=own_ident,
            files=(self._keep_whole(f"{word}.eml"),),
        )

    def _enqueue(self, record: TransferRecord) -> None:
        track.append(self._site, self._store, record, self._head)
        for receipt in receipts_for(self._site, record, self._head):
            outbox.enqueue(self._store, receipt)
        if (request := request_for(record, self._head)) is not None:
            answers.wait(self._store, request)


def _last(steps: Generator[None, Set[str], TransferRecord], taken: Set[str]) -> TransferRecord:
    try:
        steps.send(taken)
    except StopIteration as stop:
        record: TransferRecord = stop.value
        return record
    raise AssertionError("a mail is filed once it is durable")


def _duplicate_reason(first: TransferRecord, second: TransferRecord) -> Reason:
    if first.raw.sha256 == second.raw.sha256:
        return Reason("duplicate-octets", f"the same octets are stored as {first.local_ident}")
    return Reason(
        f"duplicate-{second.xfer_ident_source}", f"{first.local_ident} has the same identity, other octets"
    )
