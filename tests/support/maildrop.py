"""A maildrop on a server that can misbehave, a store to empty it into, and small mails."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone
from typing import Any

from airflow_pop3_gateway.config import Address, LocalSite, RemoteSite
from airflow_pop3_gateway.gateway import retrieve
from airflow_pop3_gateway.pop3 import Pop3Client
from airflow_pop3_gateway.records import ManifestEntry, Retrieved
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.store.spool import open_mail, read_manifest
from airflow_pop3_gateway.testing.faulty_pop3_server import FaultyPop3Server, Mailbox


def letter(number: int, body: bytes = b"body\r\n") -> bytes:
    """A small mail with a Message-ID of its own."""
    return (
        b"Message-ID: <%d@partner.example>\r\nFrom: p@partner.example\r\nSubject: %d\r\n\r\n"
        % (number, number)
        + body
    )


class Clock:
    """The time, when a test says so."""

    def __init__(self) -> None:
        self.time = datetime(2026, 11, 23, 8, 0, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        return self.time

    def pass_days(self, days: float) -> None:
        self.time += timedelta(days=days)


class Maildrop:
    """One site, its server and its store; :meth:`poll` runs a session."""

    def __init__(self, server: FaultyPop3Server, store: Store) -> None:
        self.server, self.store, self.now = server, store, Clock()
        self.site = RemoteSite(
            name="edi",
            address=Address(server.host, server.port),
            login="edi",
            password=server.password,
            security="plain",
            reply_timeout=1,
            connect_timeout=1,
            retry_count_max=0,
            local_site=LocalSite(mail_address="edi@us.example"),
        )

    @property
    def mailbox(self) -> Mailbox:
        return self.server.mailboxes["edi"]

    @property
    def left(self) -> list[bytes]:
        """What the server still holds."""
        return list(self.mailbox.mails.values())

    def setup(self, **options: Any) -> Maildrop:
        self.site = dataclasses.replace(self.site, **options)
        return self

    def poll(self, *faults: str) -> Retrieved:
        """One session under these faults, as soon as the server has noticed that the last one ended."""
        with self.mailbox.lock:
            self.server.faults = set(faults)
        self.server.transcript.clear()
        result = retrieve(self.site, self.store, Pop3Client.connect, now=self.now)
        self.server.faults = set()
        return result

    def commands(self, verb: str) -> list[str]:
        """What the last session sent of a command."""
        return [line for line in self.server.transcript if line.split()[0] == verb]

    def manifests(self) -> list[ManifestEntry]:
        """Every mail of every committed batch."""
        batches = self.store.names("spool/edi")
        return [entry for batch in batches for entry in read_manifest(self.store, "edi", batch) or ()]

    def spooled(self) -> list[bytes]:
        """The exact octets of every mail that was ever committed."""
        return [b"".join(open_mail(self.store, entry)) for entry in self.manifests()]


def multipart(number: int, *parts: bytes, headers: bytes = b"") -> bytes:
    """A multipart/mixed with a Message-ID of its own; each part brings its header."""
    head = b"Message-ID: <%d@partner.example>\r\nFrom: p@partner.example\r\nTo: edi@us.example\r\n" % number
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    kind = b'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n'
    return head + headers + kind + b"\r\n" + body + b"--b--\r\n"


def text(body: bytes) -> bytes:
    """A text part."""
    return b"Content-Type: text/plain\r\n\r\n" + body


def attachment(name: bytes, octets: bytes) -> bytes:
    """A part with a file name."""
    return b'Content-Type: application/octet-stream; name="' + name + b'"\r\n\r\n' + octets


ASKS_FOR_A_RECEIPT = b"Return-Path: <p@partner.example>\r\nDisposition-Notification-To: p@partner.example\r\n"
