"""Peek: how much mail is there that the ledger does not know.

The order of the steps::

    1  held?                       suspended, or outside its polling windows: nobody connects
    2  log in, list                what the server holds
    3  ledger                      read only when something is listed that it did not know already
    4  TOP                         only when a sender or a subject is asked for
    5  QUIT

Strategy: :class:`Lookout` holds the steps one by one, so that a blocking client (:meth:`Lookout.look`) and an event
loop go the same way; the conversations are dialogues for either. The ledger is asked after the server: a session that
ended in between only makes mails known.

Invariant: nothing is downloaded, deleted, claimed or written. A mail that is stored never counts, however long it stays
on the server; neither does one that no session would fetch, because it is larger than ``max_message_bytes``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from airflow_pop3_gateway.config import RemoteSite, at_least, wildcards
from airflow_pop3_gateway.errors import CommandRefused, ConfigurationError, LimitExceeded
from airflow_pop3_gateway.gateway.clock import Clock, utc_now
from airflow_pop3_gateway.gateway.listing import HeadDigests, Listing, named, nameless
from airflow_pop3_gateway.gateway.polling import hold
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.pop3 import Pop3Client, dialogues
from airflow_pop3_gateway.pop3.dialogues import Dialogue, Session
from airflow_pop3_gateway.records import Jsonable
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.store.ledger import Ledger

Connect = Callable[[RemoteSite], AbstractContextManager[Pop3Client]]

LONGEST_LOOK = 300.0
"""Seconds a session that only lists may take: a server that answers an octet a minute does not hold it for an hour."""


class Awaited(Jsonable, frozen=True):
    """Which mail is waited for, and how much of it.

    :ivar min_messages: so many mails; :ivar min_bytes: so many octets, of all of them together; :ivar sender: wildcards
        for the address in From; :ivar subject: wildcards for the subject, parameters included.
    """

    min_messages: int = 1
    min_bytes: int = 0
    sender: str = "*"
    subject: str = "*"

    def __post_init__(self) -> None:
        at_least("min_messages", self.min_messages, 1)
        at_least("min_bytes", self.min_bytes, 0)
        for name in ("sender", "subject"):
            if not isinstance(getattr(self, name), str):
                raise ConfigurationError(f"{name} must be a pattern as text.", field=name)

    @property
    def by_header(self) -> bool:
        """Whether a mail's header decides if it counts."""
        return (self.sender, self.subject) != ("*", "*")

    def fits(self, head: Head) -> bool:
        """Whether a mail counts."""
        return bool(
            wildcards(self.sender).fullmatch(head.from_) and wildcards(self.subject).fullmatch(head.subject)
        )

    def met_by(self, sight: Sight) -> bool:
        """Whether there is enough of it."""
        return sight.messages >= self.min_messages and sight.octets >= self.min_bytes


class Look(Jsonable, frozen=True):
    """What one look saw, as it travels: counts and no content.

    :ivar messages: mails that the ledger does not know; :ivar octets: of these, as the server counts; :ivar listed:
        everything on the server; :ivar held: why nobody looked, ``""`` when somebody did.
    """

    site: str
    messages: int = 0
    octets: int = 0
    listed: int = 0
    held: str = ""


@dataclass(frozen=True)
class Sight:
    """What one look saw. :ivar unknown: identity → octets by LIST, of the mails that count.

    :ivar login_delay: seconds the server wants between two logins.
    """

    site: str
    unknown: Mapping[str, int] = field(default_factory=dict, repr=False)
    listed: int = 0
    login_delay: int = 0
    held: str = ""

    @property
    def messages(self) -> int:
        """How many mails count."""
        return len(self.unknown)

    @cached_property
    def octets(self) -> int:
        """Their octets, as the server counts."""
        return sum(self.unknown.values())

    def counts(self) -> Look:
        """The part that may travel."""
        return Look(self.site, self.messages, self.octets, self.listed, self.held)


class Lookout:
    """Looks at one maildrop, again and again; remembers what the ledger knew and how headers were judged."""

    def __init__(self, store: Store, awaited: Awaited = Awaited()) -> None:
        self._store = store
        self._awaited = awaited
        self._known: dict[str, int] = {}
        self._verdicts: dict[str, bool] = {}

    def look(self, site: RemoteSite, connect: Connect = Pop3Client.connect, *, now: Clock = utc_now) -> Sight:
        """Look once.

        :raises Pop3Error: as a session does. :raises StoreError: when the ledger cannot be read.
        """
        if (held := self.held(site, now)) is not None:
            return held
        with connect(site) as client:
            listing = client.converse(take)
            numbers = self.unknown(site, listing)
            if self.judges:
                client.converse(self.judge, numbers, listing)
            sight = self.sight(site, numbers, listing, client.login_delay)
            client.quit()
        return sight

    def held(self, site: RemoteSite, now: Clock = utc_now) -> Sight | None:
        """Step 1: what there is to say of a site nobody may connect to now."""
        why = hold(site, self._store, now())
        return Sight(site.name, held=why) if why else None

    def unknown(self, site: RemoteSite, listing: Listing) -> list[int]:
        """Step 3: numbers that a session would fetch."""
        names, sizes, most = listing.names, listing.sizes, site.max_message_bytes
        self._known = {names[n]: sizes[n] for n in names if self._known.get(names[n]) == sizes[n]}
        strange = [n for n in names if names[n] not in self._known and (most is None or sizes[n] <= most)]
        if strange:
            ledger = Ledger.load(self._store, site.name)
            ledger.recover(self._store, "COMMITTED")
            for n in strange:
                entry = ledger.entries.get(names[n])
                if entry is not None and entry.list_size == sizes[n]:
                    self._known[names[n]] = sizes[n]
        return [n for n in strange if names[n] not in self._known]

    @property
    def judges(self) -> bool:
        """Whether step 4 is needed."""
        return self._awaited.by_header

    def judge(self, session: Session, numbers: Sequence[int], listing: Listing) -> Dialogue[None]:
        """Step 4: headers of the mails nobody judged yet; a mail whose header cannot be had counts."""
        before = self._verdicts
        self._verdicts = {name: before[name] for n in numbers if (name := listing.names[n]) in before}
        heads = _Heads(self._awaited, session.site.limits.header_bytes)
        yield from dialogues.bodies(
            session, "TOP", [n for n in numbers if listing.names[n] not in self._verdicts], heads, " 0"
        )
        self._verdicts.update((listing.names[n], verdict) for n, verdict in heads.verdicts.items())

    def sight(
        self, site: RemoteSite, numbers: Sequence[int], listing: Listing, login_delay: int | None
    ) -> Sight:
        """What was seen, by all the steps."""
        names = [listing.names[n] for n in numbers]
        return Sight(
            site.name,
            {name: listing.sizes[listing.numbers[name]] for name in names if self._verdicts.get(name, True)},
            listed=len(listing.sizes),
            login_delay=login_delay or 0,
        )


def take(session: Session) -> Dialogue[Listing]:
    """Step 2: what the server holds, each mail with an identity that another look gives it again."""
    sizes, ids = yield from dialogues.listings(session)
    heads = HeadDigests()
    unnamed = nameless(sizes, ids)
    if unnamed:
        yield from dialogues.bodies(session, "TOP", unnamed, heads, " 0")
    return named(sizes, ids, unnamed, heads.digests, "")


def patient(site: RemoteSite) -> RemoteSite:
    """The site for somebody who looks again anyway: no second attempt of the client's own, and a session that lists."""
    return dataclasses.replace(
        site, retry_count_max=0, session_timeout=min(site.session_timeout, LONGEST_LOOK)
    )


class _Heads:
    """A sink that judges header blocks, one at a time in memory."""

    def __init__(self, awaited: Awaited, most: int) -> None:
        self.verdicts: dict[int, bool] = {}
        self._awaited, self._most = awaited, most
        self._block = bytearray()

    def begin(self, number: int) -> None:
        self._block = bytearray()

    def write(self, data: Any) -> None:
        if len(self._block) <= self._most:
            self._block += data

    def end(self, number: int) -> None:
        try:
            self.verdicts[number] = self._awaited.fits(Head.from_bytes(bytes(self._block)))
        except LimitExceeded:
            self.verdicts[number] = True

    def refused(self, number: int, error: CommandRefused) -> None:
        self.verdicts[number] = True
