"""Processes that take turns at a store, a maildrop and a relay in memory, and die, or see them fail, at any step.

A step is every moment before something happens outside a process. One process runs at a time; a seed says which one is
next, which one dies, and what fails, so a run can be repeated.
"""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from email import message_from_bytes
from typing import Any

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import (
    AlreadyStored,
    CommandRefused,
    ConnectionLost,
    GatewayError,
    MailboxInUse,
    StoreCorrupt,
    StoreUnavailable,
)
from airflow_pop3_gateway.store import Store


class Killed(BaseException):
    """The process is no more; nothing it still does has an effect."""


class Process:
    """Work in a thread that stops at each step until it is told to go on.

    :ivar gave: Message-ID of what it gave to the relay and has not written down yet.
    """

    def __init__(self, world: World, work: Callable[[], object]) -> None:
        self.dead = self.ended = False
        self.gave = ""
        self.error: BaseException | None = None
        self._world, self._work = world, work
        self._turn = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self._turn.acquire()
        try:
            if not self.dead:
                self._work()
        except (Killed, GatewayError):
            pass
        except BaseException as error:  # noqa: BLE001 - the test tells of it
            self.error = error
        self.ended = True
        self._world.turn.release()

    def wait(self) -> None:
        """Called in the thread: let the others go first."""
        if not self.dead:
            self._world.turn.release()
            self._turn.acquire()
        if self.dead:
            raise Killed

    def go(self) -> None:
        """Run up to the next step."""
        self._world.now_runs = self
        self._turn.release()
        self._world.turn.acquire()

    def kill(self) -> None:
        """Let it die where it stands."""
        self.dead = True
        self.go()


class World:
    """Everything outside the processes.

    :ivar calm: nothing fails any more; :ivar confirmed: Message-ID → how often a process gave it to the relay and wrote
        that down.
    """

    def __init__(self, seed: int, *, kills: float, faults: float, locks: bool) -> None:
        self.chance = random.Random(seed)
        self.time = datetime(2026, 11, 23, 8, 0, tzinfo=timezone.utc)
        self.turn = threading.Semaphore(0)
        self.now_runs: Process | None = None
        self.calm = False
        self.store = MemoryStore(self)
        self.maildrop = Maildrop(self, locks)
        self.confirmed: Counter[str] = Counter()
        self._kills, self._faults = kills, faults

    def now(self) -> datetime:
        """The time, which passes with the steps."""
        return self.time

    def step(self) -> None:
        """Before something happens outside."""
        self.time += timedelta(milliseconds=self.chance.choice((0, 0, 1)))
        if self.now_runs is not None:
            self.now_runs.wait()

    def fails(self) -> bool:
        """Whether what was asked for fails."""
        return not self.calm and self.chance.random() < self._faults

    def run(self, *works: Callable[[], object]) -> None:
        """Side by side until all have ended."""
        running = [Process(self, work) for work in works]
        while running:
            process = self.chance.choice(running)
            if not self.calm and self.chance.random() < self._kills:
                process.kill()
            else:
                process.go()
            if process.error is not None:
                raise process.error
            running = [one for one in running if not one.ended]
        self.now_runs = None

    def send(self, mail_from: str, recipients: Sequence[str], message: bytes) -> None:
        """Take a mail."""
        self.step()
        if self.now_runs is not None:
            self.now_runs.gave = message_from_bytes(message)["Message-ID"]

    def confirm(self) -> None:
        """That a receipt went out is written down."""
        if self.now_runs is not None and self.now_runs.gave:
            self.confirmed[self.now_runs.gave] += 1
            self.now_runs.gave = ""


class MemoryStore(Store):
    """Objects in a dictionary; any request may fail before its effect, and any write after it too."""

    def __init__(self, world: World) -> None:
        super().__init__(None, "memory", "memory://memory")
        self.objects: dict[str, bytes] = {}
        self.committed: set[str] = set()
        self._world = world

    def _request(self, key: str) -> None:
        self._path(key)
        self._world.step()
        self._fail(key)

    def _fail(self, key: str) -> None:
        if self._world.fails():
            raise StoreUnavailable(f"{key}: made to fail", key=key)

    def create(self, key: str, group: object = None) -> Any:
        return _Writer(self, key)

    def group(self) -> None:
        return None

    def publish(self, key: str, octets: bytes) -> None:
        self._request(key)
        if key in self.objects:
            raise AlreadyStored(f"{key} is already stored.", path=key)
        self.objects[key] = octets
        if key.endswith("manifest.jsonl"):
            self.committed |= {json.loads(line)["sha256"] for line in octets.splitlines()}
        self._fail(key)

    def replace(self, key: str, data: bytes | Iterator[bytes]) -> None:
        self._request(key)
        self.objects[key] = data if isinstance(data, bytes) else b"".join(data)
        if b'"state":"SENT"' in self.objects[key]:
            self._world.confirm()
        self._fail(key)

    def find(self, key: str) -> bytes | None:
        self._request(key)
        return self.objects.get(key)

    def stream(self, key: str, offset: int, length: int, chunk: int = 0) -> Iterator[bytes]:
        self._request(key)
        if key not in self.objects:
            raise StoreCorrupt(f"{key} is missing.", key=key)
        yield self.objects[key][offset : offset + length]

    def exists(self, key: str) -> bool:
        self._request(key)
        return key in self.objects

    def below(self, key: str) -> list[str]:
        """Keys below a key; no step."""
        return sorted(one for one in self.objects if one.startswith(f"{key}/"))

    def names(self, key: str) -> list[str]:
        self._request(key)
        return sorted({one[len(key) + 1 :].partition("/")[0] for one in self.below(key)})

    def walk(self, key: str) -> Iterator[str]:
        self._request(key)
        yield from self.below(key)

    def delete(self, key: str) -> None:
        self._request(key)
        self.objects.pop(key, None)
        self._fail(key)

    def delete_tree(self, key: str) -> None:
        for one in self.below(key):
            self.delete(one)

    def forget_unpublished(self, before: float) -> int:
        return 0


class _Writer:
    def __init__(self, store: MemoryStore, key: str) -> None:
        self.key = key
        self._store, self._octets = store, bytearray()

    def write(self, data: bytes) -> None:
        self._octets += data

    def commit(self) -> str:
        self._store.publish(self.key, bytes(self._octets))
        return self.key

    def discard(self) -> None:
        self._octets.clear()


class Maildrop:
    """Mails with a UIDL each, and at most one session where it locks.

    :ivar mails: UIDL → octets; :ivar delivered: every mail there ever was; :ivar early: what was deleted before its
        manifest was there.
    """

    def __init__(self, world: World, locks: bool) -> None:
        self.world, self.locks = world, locks
        self.mails: dict[str, bytes] = {}
        self.delivered: list[bytes] = []
        self.early: list[bytes] = []
        self.session: object = None

    def deliver(self, mail: bytes) -> None:
        """A mail comes."""
        self.delivered.append(mail)
        self.mails[f"u{len(self.delivered)}"] = mail

    @contextmanager
    def connect(self, site: RemoteSite, *, listings: bool) -> Iterator[Any]:
        """A session; it ends with its process."""
        self.world.step()
        if self.locks and self.session is not None:
            raise MailboxInUse("another session has this maildrop")
        session = self.session = _Session(self)
        try:
            yield session
        finally:
            session.close()


class _Session:
    def __init__(self, maildrop: Maildrop) -> None:
        self._maildrop, self._world = maildrop, maildrop.world
        self._listed = list(maildrop.mails.items())

    def _command(self) -> None:
        self._world.step()
        if self._world.fails():
            self.close()
            raise ConnectionLost("made to fail")

    def close(self) -> None:
        if self._maildrop.session is self:
            self._maildrop.session = None

    def listings(self) -> tuple[dict[int, int], dict[int, str]]:
        self._command()
        numbered = list(enumerate(self._listed, 1))
        return {n: len(mail) for n, (_, mail) in numbered}, {n: uidl for n, (uidl, _) in numbered}

    def top_many(self, numbers: Sequence[int], sink: Any, lines: int = 0) -> None:
        for number in numbers:
            self._command()
            head, empty, _ = self._listed[number - 1][1].partition(b"\r\n\r\n")
            sink.begin(number)
            sink.write(head + empty)
            sink.end(number)

    def retrieve(self, numbers: Sequence[int], sink: Any) -> None:
        for number in numbers:
            self._command()
            mail = self._listed[number - 1][1]
            sink.begin(number)
            sink.write(mail[:40])
            self._command()
            sink.write(mail[40:])
            sink.end(number)

    def quit(self, deleting: Sequence[int] = ()) -> dict[int, CommandRefused]:
        self._command()
        for uidl, mail in [self._listed[number - 1] for number in deleting]:
            stored = hashlib.sha256(mail).hexdigest() in self._world.store.committed
            if self._maildrop.mails.pop(uidl, None) is not None and not stored:
                self._maildrop.early.append(mail)
        self.close()
        self._command()
        return {}

    def leave(self) -> None:
        self._world.step()
        self.close()
