"""S/MIME on reception: a mail is opened before it is understood, and what protected it is noted.

Strategy: only the header of a mail says whether anything has to be opened; a plain mail streams on as ever. A protected
one is read into memory and what is inside takes its place; large ones come one at a time.

Invariant: what cannot be opened is a reason, never an exception; what is shown is what was verified.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import LimitExceeded, MailRefused, StoreError
from airflow_pop3_gateway.gateway.applications import Octets
from airflow_pop3_gateway.gateway.signing import keyring_of, signing_for
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.records import Defect, ManifestEntry, Protection, Reason
from airflow_pop3_gateway.smime import Keyring, is_protected, objection, open_mail
from airflow_pop3_gateway.smime.entity import body_of
from airflow_pop3_gateway.smime.mic import mic_of, mic_of_plain
from airflow_pop3_gateway.store import layout

log = logging.getLogger(__name__)

SMALL = 1 << 20
"""Octets up to which protected mails are opened several at once."""
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class Inspected:
    """A mail as it is to be understood.

    :ivar octets: of what was inside, or of the mail; :ivar mic: what a signed receipt repeats, where one was asked for;
        :ivar broken: why it cannot be opened; :ivar objection: why it must not be taken unless it is a report.
    """

    octets: Octets
    protection: Protection | None = None
    mic: str | None = None
    broken: Reason | None = None
    objection: Reason | None = None
    defects: tuple[Defect, ...] = ()


@contextlib.contextmanager
def inspected(site: RemoteSite, octets: Octets, entry: ManifestEntry) -> Iterator[Inspected]:
    """Open a mail of a site with S/MIME for as long as it is worked on.

    :param octets: gives the mail, each time it is called.
    """
    head, body = _beginning(octets, site.limits.header_bytes)
    protected = is_protected(head)
    with _one_at_a_time if protected and entry.length > SMALL else contextlib.nullcontext():
        try:
            found = _opened(site, head, octets, entry) if protected else _plain(site, head, octets, body)
        except StoreError:
            raise
        except (MailRefused, LimitExceeded) as error:
            code = error.code if isinstance(error, MailRefused) else error.limit
            found = Inspected(octets, broken=Reason(code, str(error)))
        except Exception as error:  # one bad mail never stops a maildrop, not even by a defect of ours
            log.exception("%s: a mail could not be opened", site.name)
            found = Inspected(octets, broken=Reason("internal-error", f"{type(error).__name__}: {error}"))
        yield found


def _plain(site: RemoteSite, head: Head, octets: Octets, body: int) -> Inspected:
    asked = signing_for(site, head).algorithm
    mic = mic_of_plain(octets(), head, body, *asked) if asked else None
    return Inspected(octets, mic=mic, objection=objection(_keyring(site), head.from_, None))


def _opened(site: RemoteSite, head: Head, octets: Octets, entry: ManifestEntry) -> Inspected:
    bound = site.limits.smime_bytes
    if entry.length > bound:
        raise LimitExceeded(f"a protected mail of more octets than {bound}", limit="smime_bytes", value=bound)
    keyring = _keyring(site)
    opened = open_mail(b"".join(octets()), keyring, site.limits, layout.moment(entry.retrieved_at))
    if opened is None:
        return Inspected(octets)
    asked, content = signing_for(site, head).algorithm, opened.content
    return Inspected(
        octets if content is None else functools.partial(_pieces, content),
        opened.protection,
        mic_of(opened.covered, *asked) if asked else None,
        objection=objection(keyring, head.from_, opened.protection),
        defects=tuple(_defects(opened.protection)),
    )


def _keyring(site: RemoteSite) -> Keyring:
    assert site.smime is not None
    return keyring_of(site.smime)


def _pieces(content: bytes) -> Iterator[bytes]:
    yield content


def _defects(protection: Protection) -> Iterator[Defect]:
    for signer in protection.signers:
        if not signer.trusted:
            yield Defect("signer-untrusted", detail=signer.why)
        if signer.digest == "sha1":
            yield Defect("weak-digest", detail=signer.digest)


def _beginning(octets: Octets, bound: int) -> tuple[Head, int]:
    """The header block, and where the body begins; what is too long has none that counts."""
    beginning = b""
    for piece in octets():
        beginning += piece
        end, body = body_of(beginning)
        if body < len(beginning):
            break
        if len(beginning) > bound:
            return Head([]), 0
    else:
        end, body = body_of(beginning)
    try:
        return Head.from_bytes(beginning[:end]), body
    except LimitExceeded:
        return Head([]), 0
