"""What the server holds: a number, a size and an identity for each mail.

Strategy: the identity is the UIDL where it is one (there, not blank, not given twice, not just the number); elsewhere
it is the digest of the header block that TOP n 0 gives, which is also the proof that a mail is still the one that was
stored.

Invariant: identities are unique within a listing; two listings of an unchanged maildrop give the same ones, unless
the server has neither UIDL nor TOP, and then none is ever believed twice.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import CommandRefused, ConfigurationError

Proofs = tuple[str, ...]


class MailClient(Protocol):
    """What a session needs of a POP3 client (:class:`pop3.Pop3Client` is one)."""

    def listings(self) -> tuple[dict[int, int], dict[int, str] | None]: ...
    def top_many(self, numbers: Sequence[int], sink: Any, lines: int = 0) -> None: ...
    def retrieve(self, numbers: Sequence[int], sink: Any) -> None: ...
    def quit(self, deleting: Sequence[int] = ()) -> dict[int, CommandRefused]: ...
    def leave(self) -> None: ...


@dataclass(frozen=True)
class Listing:
    """One LIST and UIDL. :ivar sizes: number → octets by LIST; :ivar names: number → identity; :ivar numbers: back."""

    sizes: Mapping[int, int]
    names: Mapping[int, str]
    numbers: Mapping[str, int]


def take_listing(client: MailClient, site: RemoteSite, started_at: datetime) -> Listing:
    """Ask the server what it holds.

    :raises ConfigurationError: when mails are to be kept and cannot be told apart in the next session.
    """
    sizes, ids = client.listings()
    unnamed = nameless(sizes, ids)
    heads = head_digests(client, unnamed)
    if site.retention == "keep" and len(heads) < len(unnamed):
        raise ConfigurationError(
            f"{site.name}: for {len(unnamed) - len(heads)} mails the server gives neither a unique UIDL nor TOP, "
            'so a kept mail cannot be told from a new one; use retention="delete".',
            field="retention",
        )
    return named(sizes, ids, unnamed, heads, started_at.isoformat())


def nameless(sizes: Mapping[int, int], ids: Mapping[int, str] | None) -> list[int]:
    """Numbers whose UIDL is no identity: not there, blank, given twice, or the number, where all are."""
    given = ids or {}
    if all(given.get(n) == str(n) for n in sizes):  # and when a mail is gone, the next one has its UIDL
        return list(sizes)
    count = Counter(given.values())
    return [n for n in sizes if not given.get(n, "").strip() or count[given[n]] > 1]


def named(
    sizes: Mapping[int, int],
    ids: Mapping[int, str] | None,
    unnamed: Sequence[int],
    heads: Mapping[int, Proofs],
    session: str,
) -> Listing:
    """Give each mail its identity.

    :param unnamed: those that are :func:`nameless`; :param heads: of these, as far as TOP was answered;
        :param session: what makes a mail without any proof another one than the mails of other sessions.
    """
    given = ids or {}
    names = {n: given.get(n, "") for n in sizes}
    seen: Counter[str] = Counter()
    for n in unnamed:
        name = f"head:{heads[n][0]}" if n in heads else f"unknown:{session}:{n}"
        seen[name] += 1
        names[n] = name if seen[name] == 1 else f"{name}:{seen[name]}"
    return Listing(sizes, names, {name: n for n, name in names.items()})


def head_digests(client: MailClient, numbers: Sequence[int]) -> dict[int, Proofs]:
    """TOP n 0: the digests each header block may have had when it was stored; refused numbers are absent."""
    sink = HeadDigests()
    if numbers:
        client.top_many(numbers, sink, 0)
    return sink.digests


class HeadDigests:
    """A sink for TOP n 0. :ivar digests: number → the digests its header block may have had when it was stored."""

    def __init__(self) -> None:
        self.digests: dict[int, Proofs] = {}
        self._digest = hashlib.sha256()

    def begin(self, number: int) -> None:
        self._digest = hashlib.sha256()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._digest.update(data)

    def end(self, number: int) -> None:
        with_line = self._digest.copy()
        with_line.update(b"\r\n")  # some servers leave out the empty line that ends the header block
        self.digests[number] = (self._digest.hexdigest(), with_line.hexdigest())

    def refused(self, number: int, error: CommandRefused) -> None:
        """No proof for this one; it is downloaded again instead."""
