"""A transfer from a task: arguments and connections become a request, the gateway sends it.

Strategy: what an argument leaves open, the mailbox's connection says, and what that leaves open the SMTP connection.
Who asks is the run of the task (DAG, run, task, map index), so that a retry is the same transfer; outside of a task,
and for several transfers of one task, a ``transfer_id`` says which one it is.

Invariant: one transfer for each who asks, however often it is tried; an error that another attempt cannot mend fails
the task at once.
"""

from __future__ import annotations

import logging
import mimetypes
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from airflow.sdk import ObjectStoragePath, get_current_context

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway import outgoing
from airflow_pop3_gateway.gateway.clock import utc_now
from airflow_pop3_gateway.gateway.outgoing import SendOption, SendRequest, Source
from airflow_pop3_gateway.gateway.protecting import protection_for
from airflow_pop3_gateway.gateway.send import send
from airflow_pop3_gateway.hooks.outcome import told_to_airflow
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.hooks.smtp import GatewaySmtpHook
from airflow_pop3_gateway.hooks.store import base_path_in_force, open_store, place_at
from airflow_pop3_gateway.mail.compose import READ
from airflow_pop3_gateway.mail.fields import Mailbox, mailboxes
from airflow_pop3_gateway.store.writers import mapped

log = logging.getLogger(__name__)

Addresses = str | Sequence[str] | None
_TYPES = mimetypes.MimeTypes(filenames=())
_OCTETS = "application/octet-stream"
_MEDIA_TYPE = re.compile(r"(?i)(?!multipart/|message/)[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,100}")
_LONGEST_NAME = 255


def send_transfer(
    *,
    file: str | ObjectStoragePath | None = None,
    message: str | None = None,
    ready_made: str | ObjectStoragePath | None = None,
    to: Addresses = None,
    cc: Addresses = None,
    bcc: Addresses = None,
    from_: str | None = None,
    subject: str | None = None,
    xfb: Mapping[str, str] | None = None,
    file_name: str | None = None,
    content_type: str | None = None,
    headers: Mapping[str, str] | None = None,
    acknowledgment_option: SendOption = "to_ack",
    ack_within: timedelta | None = None,
    pop3_conn_id: str | None = None,
    smtp_conn_id: str | None = None,
    transfer_id: str | None = None,
    base_path: str | None = None,
) -> dict[str, Any]:
    """Send a file, a message, both, or a ready-made mail; call it from a task, as often as it takes.

    The arguments are those of :class:`~airflow_pop3_gateway.operators.SendTransferOperator`.

    :returns: :class:`~airflow_pop3_gateway.records.sent.Sent` as a dictionary, with ``base_path``.
    :raises AirflowFailException: for what another attempt cannot mend; its cause is the error itself.
    :raises RelayUnavailable: at least one recipient has not got it yet; the next attempt sends to those.
    """
    with told_to_airflow():
        site = Pop3Hook(pop3_conn_id).site if pop3_conn_id else None
        conn_id = smtp_conn_id or (site.smtp_conn_id if site else GatewaySmtpHook.default_conn_name)
        asked_by = _asked_by()
        if not (transfer_id or asked_by):
            raise ConfigurationError(
                "Outside of a task a transfer_id must say which transfer it is.", field="transfer_id"
            )
        with GatewaySmtpHook(conn_id) as relay:
            if to is None and cc is None and bcc is None:
                to = relay.default_recipients
            boxes = {"to": mailboxes(to, "to"), "cc": mailboxes(cc, "cc"), "bcc": mailboxes(bcc, "bcc")}
            protection = None
            if site is not None and site.smime is not None and not ready_made:
                everybody = (box.address for field in boxes.values() for box in field)
                protection = protection_for(site.smime, everybody, utc_now(), site.limits)
            request = SendRequest(
                local_ident=outgoing.local_ident(*([str(transfer_id)] if transfer_id else asked_by.values())),
                smtp_conn_id=conn_id,
                from_=_sender(from_, site, relay),
                **boxes,
                subject="" if subject is None else str(subject).strip(),
                xfb=_texts(xfb),
                delimiter=site.subject_delimiter if site else SendRequest.delimiter,
                message=None if message is None else str(message),
                file=source_of(file, "file", file_name, content_type) if file else None,
                ready_made=source_of(ready_made, "ready_made") if ready_made else None,
                headers=_texts(headers),
                acknowledgment_option="to_ack"
                if protection and protection.receipt
                else acknowledgment_option,
                ack_within=ack_within,
                asked_by=asked_by,
                protect=protection,
            )
            place = base_path_in_force(base_path)
            result = send(request, open_store(place), relay)
    log.info(
        "%s: %d of %d recipients were taken, %d refused for good, in %d attempts",
        result.xfer_ident,
        result.accepted,
        result.recipients,
        result.refused,
        result.attempts,
    )
    return {**result.to_json(), "base_path": place}


def _texts(given: Mapping[str, str] | None) -> dict[str, str]:
    """As text: templates that are rendered as native objects bring numbers."""
    return {str(name): str(value) for name, value in (given or {}).items()}


def _sender(from_: str | None, site: RemoteSite | None, relay: GatewaySmtpHook) -> Mailbox:
    own = site.own_address if site is not None else ""
    found = mailboxes(from_ or own or relay.default_sender, "from_")
    if len(found) != 1:
        raise ConfigurationError(
            f"from_ must be one address, not {len(found)}: as an argument, mail_address of the pop3 connection, or "
            "from_email of the smtp connection.",
            field="from_",
        )
    return found[0]


def _asked_by() -> dict[str, str]:
    """The run of the task that calls; nothing outside of a task."""
    try:
        ti = get_current_context()["ti"]
    except RuntimeError:
        return {}
    names = ("dag_id", "run_id", "task_id", "map_index")
    return {name: str(getattr(ti, name)) for name in names}


def source_of(
    url: str | ObjectStoragePath, argument: str, name: str | None = None, content_type: str | None = None
) -> Source:
    """A file on any storage Airflow knows, read in pieces.

    :param name: what recipients see; default: the last part of the URL.
    :param content_type: default: by the name's ending. Texts go as octets, for agents change their line ends.
    :raises ConfigurationError: when the URL is none, the name cannot be the name of a file, or the type not that of one
        in base64.
    """
    path = place_at(url, argument)
    name = name or path.name
    if not name or not name.isprintable() or set(name) & {"/", "\\"} or len(name.encode()) > _LONGEST_NAME:
        raise ConfigurationError(f"{name!r:.300} cannot be the name of a file.", field="file_name")
    if content_type is not None and not _MEDIA_TYPE.fullmatch(content_type):
        raise ConfigurationError(
            f"content_type {content_type!r:.200} is not the type of an attached file.", field="content_type"
        )
    guessed = _TYPES.guess_type(name, strict=True)
    if guessed[1] or (guessed[0] or "text/").startswith(("text/", "message/")):
        guessed = (_OCTETS, None)

    def octets() -> Iterator[bytes]:
        with mapped(str(url)):
            try:
                with path.fs.open(path.path, "rb", cache_type="none") as file:
                    while piece := file.read(READ):
                        yield piece
            except FileNotFoundError:
                raise ConfigurationError(
                    f"{argument}: there is no file {str(url)!r}.", field=argument
                ) from None

    return Source(str(url), name, octets, content_type or guessed[0] or _OCTETS)
