"""Where everything lies below the base path: the only place that builds keys.

Invariant: a key is made of our own words, dates and digests, or of a stranger's word after :func:`segment`; the
documented layout and this module say the same.
"""

from __future__ import annotations

import functools
import re
from datetime import datetime, timezone
from urllib.parse import quote

from airflow_pop3_gateway.records import digest_key

_PLAIN = re.compile(r"[A-Za-z0-9_@=+-][A-Za-z0-9_.@=+-]{0,99}")
_BATCH = re.compile(r"\d{8}T\d{9}Z-[0-9a-f]{8}")


def segment(word: str) -> str:
    """One part of a key made from any text: plain words stay readable, the rest is percent-quoted.

    What is too long for a file system is cut, with a digest in its place, so that two words never become one.
    """
    if _PLAIN.fullmatch(word):
        return word
    quoted = "%" + quote(word, safe="@=+-_", errors="surrogateescape")
    return quoted if len(quoted) <= 160 else f"{quoted[:119]}~{digest_key(word)}"


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with milliseconds: how every time is written down."""
    return f"{moment.astimezone(timezone.utc).isoformat(timespec='milliseconds')[:-6]}Z"


@functools.lru_cache(maxsize=256)  # mails of a batch come many in a millisecond
def moment(text: str) -> datetime:
    """The inverse of :func:`timestamp`. :raises ValueError: when the text is no such time."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc)


def batch_name(now: datetime, salt: str) -> str:
    """A batch's name: sorts by time, and a salt of eight hexadecimal digits keeps two workers apart."""
    now = now.astimezone(timezone.utc)
    return f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z-{salt}"


def is_batch(name: str) -> bool:
    """Whether a folder below ``spool/<site>/`` is a batch of ours."""
    return _BATCH.fullmatch(name) is not None


def batch_day(batch: str) -> str:
    """``yyyy/mm/dd`` of a batch, from its name: the same whenever it is asked."""
    return f"{batch[:4]}/{batch[4:6]}/{batch[6:8]}"


def spool(site: str, batch: str = "") -> str:
    """The folder of a batch, or of a site's batches."""
    return f"spool/{segment(site)}" + (f"/{batch}" if batch else "")


def segment_name(number: int) -> str:
    """The name of a spool segment within its batch."""
    return f"segment-{number:04d}.eml"


def manifest(site: str, batch: str) -> str:
    """The manifest of a batch; that it exists is the batch's commit."""
    return f"{spool(site, batch)}/manifest.jsonl"


def ledger(site: str) -> str:
    """The ledger of a site."""
    return f"ledger/{segment(site)}.json"


def announced(site: str, batch: str = "") -> str:
    """That a batch was begun and is not settled, or the folder of these marks of a site."""
    return f"announced/{segment(site)}" + (f"/{batch}" if batch else "")


def files(application: str) -> str:
    """The folder of an Application's files."""
    return f"files/{segment(application)}"


def file(application: str, batch: str, local_ident: str, name: str) -> str:
    """An extracted file; ``name`` is already safe. The day is the batch's, so a second run finds the same key."""
    return f"{files(application)}/{batch_day(batch)}/{local_ident}/{name}"


def suspension(site: str) -> str:
    """That it exists says that the site is not polled."""
    return f"suspended/{segment(site)}.json"


def dismissal(local_ident: str) -> str:
    """That it exists says that a mail in quarantine needs nobody any more."""
    return f"dismissed/{batch_day(local_ident)}/{local_ident}.json"


def record(key: str) -> str:
    """A transfer record; its exclusive creation is the duplicate check."""
    return f"records/{key[:2]}/{key}.json"


def transfers(site: str, batch: str) -> str:
    """The lines of a classified batch; that it exists says that the batch is done."""
    return f"transfers/{batch_day(batch)}/{session(site, batch)}.jsonl"


def transfers_of_day(day: datetime) -> str:
    """The folder of what was classified of the sessions of a day (timezone.utc)."""
    return f"transfers/{day.astimezone(timezone.utc):%Y/%m/%d}"


def replay(site: str, batch: str) -> str:
    """The lines of a replay: mails that would be something else now."""
    return f"replays/{batch_day(batch)}/{segment(site)}-{batch}.jsonl"


def receipt(key: str) -> str:
    """An acknowledgment of ours."""
    return f"outbox/{key}.json"


def pending_receipt(site: str, created_at: str = "", key: str = "") -> str:
    """The mark that an acknowledgment still has to go out, so that a sweep reads what waits and nothing else.

    Its name begins with the time it was made (RFC 3339): a listing has the oldest first.
    """
    name = f"/{re.sub('[-:.]', '', created_at)}-{key}" if key else ""
    return f"outbox/pending/{segment(site)}{name}"


def refused_receipt(site: str, key: str = "") -> str:
    """The mark that an acknowledgment was refused or given up, so that a person finds it, or the folder of those."""
    return f"outbox/refused/{segment(site)}" + (f"/{key}" if key else "")


def waiting_request(site: str, local_ident: str = "") -> str:
    """A request for a receipt that nobody has answered, or the folder of those of a site."""
    return f"outbox/waiting/{segment(site)}" + (f"/{segment(local_ident)}.json" if local_ident else "")


def answering(site: str, local_ident: str = "") -> str:
    """The mark that a request is being answered, or the folder of those of a site."""
    return f"outbox/answering/{segment(site)}" + (f"/{segment(local_ident)}" if local_ident else "")


def answers_of_day(local_ident: str) -> str:
    """The folder of the answers to the mails of the day of this local ident or batch."""
    return (
        f"outbox/answers/{segment(local_ident[:4])}/{segment(local_ident[4:6])}/{segment(local_ident[6:8])}"
    )


def answer(local_ident: str) -> str:
    """The answer to a request for a receipt; its exclusive creation makes it the only one."""
    return f"{answers_of_day(local_ident)}/{segment(local_ident)}.json"


def receipts_of_hour(site: str, hour: datetime | None = None, address: str = "", key: str = "") -> str:
    """What went to an address within an hour (timezone.utc), one name a receipt, or a folder above it."""
    parts = ["outbox/hours", segment(site)]
    if hour is not None:
        parts += [f"{hour.astimezone(timezone.utc):%Y%m%dT%H}"]
        parts += [digest_key(address.lower())] if address else []
    return "/".join([*parts, *([key] if key else [])])


def receipt_attempt(key: str, attempt: int) -> str:
    """The claim of one attempt to send: of two workers exactly one creates it."""
    return f"outbox/attempts/{key}/{attempt:04d}"


def sent(key: str) -> str:
    """A transfer we sent."""
    return f"sent/{key[:2]}/{key}.json"


def sent_event(key: str, name: str = "") -> str:
    """Something that happened to a transfer we sent, or the folder of all of it."""
    return f"sent/{key[:2]}/{key}/events" + (f"/{name}.json" if name else "")


def sent_request(local_ident: str) -> str:
    """Leads from what asks for a transfer to its *xfer ident*: the first attempt decides on it."""
    return f"sent/requests/{local_ident[:2]}/{local_ident}"


def sent_attempt(key: str, attempt: int) -> str:
    """The claim of one attempt to give a transfer to the relay."""
    return f"sent/{key[:2]}/{key}/attempts/{attempt:04d}"


def sent_ident(ident: str) -> str:
    """Leads from a Message-ID that is not the transfer's own *xfer ident* to its key."""
    digest = digest_key("message-id", ident)
    return f"sent/idents/{digest[:2]}/{digest}"


def sent_waiting(key: str = "") -> str:
    """The mark that a transfer still waits for its acknowledgment."""
    return "sent/waiting" + (f"/{key}" if key else "")


def session(site: str, batch: str) -> str:
    """What a batch is called where those of all sites lie together."""
    return f"{segment(site)}-{batch}"


def batch_of_session(name: str) -> str:
    """The batch in the name of a :func:`session`, ``""`` when it is none."""
    batch = name[-28:]
    return batch if is_batch(batch) and name[:-28].endswith("-") else ""


def session_day(name: str) -> str:
    """``yyyymmdd`` of the batch of a :func:`session`, by its name."""
    return name[-len("20261123T080000000Z-00000000") :][:8]


def handed_on(consumer: str, name: str) -> str:
    """The folder of the claims to hand on what the batch of this :func:`session` has; the last one counts."""
    return f"handed/{segment(consumer)}/on/{name}"


def processed(consumer: str, name: str, key: str = "") -> str:
    """That a consumer is done with a record, or the folder of these marks of a batch."""
    return f"handed/{segment(consumer)}/processed/{name}" + (f"/{key}" if key else "")


def taken(consumer: str, key: str) -> str:
    """The folder of the claims to process a record; the last one counts."""
    return f"handed/{segment(consumer)}/taken/{key[:2]}/{key}"


def settled(consumer: str, name: str = "") -> str:
    """That nothing of a batch is left for a consumer, or the folder of these marks."""
    return f"handed/{segment(consumer)}/settled" + (f"/{name}" if name else "")
