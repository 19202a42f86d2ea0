"""Servers nobody here wrote, behind one face, each protected in one way; imported by tests as ``support.served``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from support.courier import Courier
from support.dovecot import Dovecot
from support.mailutils import Mailutils

from airflow_pop3_gateway.config import Address, RemoteSite
from airflow_pop3_gateway.testing.certificates import Certificates
from airflow_pop3_gateway.testing.pop3_server import Pop3Server

SECURITIES = ("plain", "starttls", "tls")
HOST = "localhost"
_numbers = itertools.count(1)


def new_name() -> str:
    """A name for a mailbox that no test had before."""
    return f"box{next(_numbers)}"


def complete(mail: bytes) -> bytes:
    """A mail as POP3 can carry it: the line before the final dot has an end."""
    return mail if mail.endswith(b"\r\n") else mail + b"\r\n"


def without_added_field(mail: bytes) -> bytes:
    """Without the field that Mailutils adds to every mail it serves."""
    return re.sub(rb"X-UIDL: [^\r]*\r\n", b"", mail, count=1)


@dataclass(frozen=True)
class Served:
    """A running server. :ivar add: (login, mails) makes a mailbox and gives the login to use; :ivar left: its mails.

    :ivar as_kept: turns what was served into what was delivered; :ivar shows_deleted: LIST and UIDL go on to number
        what is marked for deletion; :ivar top_adds: what TOP puts between header and body.
    """

    name: str
    site: RemoteSite
    add: Callable[..., str]
    left: Callable[[str], list[bytes]]
    as_kept: Callable[[bytes], bytes] = bytes
    shows_deleted: bool = False
    top_adds: bytes = b""

    def mailbox(self, *mails: bytes, **options: Any) -> RemoteSite:
        """A new mailbox with these mails, as a site with these options."""
        return replace(self.site, login=self.add(new_name(), *mails), **options)


def site(security: Any, port: int, certificates: Certificates) -> RemoteSite:
    """A site for a server of this machine, with short deadlines and no second try."""
    return RemoteSite(
        name="conformance",
        address=Address(HOST, port),
        login="",
        password="secret",
        security=security,
        ca_file=certificates.ca_file if security != "plain" else "",
        retry_count_max=0,
        reply_timeout=30.0,
    )


def real(server: Courier | Dovecot | Mailutils, security: str, certificates: Certificates) -> Served:
    """Courier, Dovecot or Mailutils by one of their ports; Mailutils greets with a timestamp and yet knows nobody by APOP."""
    port = server.tls_port if security == "tls" else server.port
    found = Served(server.name, site(security, port, certificates), server.add, server.mails)
    if isinstance(server, Mailutils):
        basic = replace(found.site, auth="basic")
        return replace(found, site=basic, as_kept=without_added_field, top_adds=b"\r\n")
    return found


def embedded(server: Pop3Server, security: str, certificates: Certificates) -> Served:
    """Twisted's protocol."""
    return Served(
        "twisted", site(security, server.port, certificates), server.add, server.mails, shows_deleted=True
    )
