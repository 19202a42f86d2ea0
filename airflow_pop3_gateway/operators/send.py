"""Send as a task: a file, a message, both, or a ready-made mail goes out by SMTP, once for each recipient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, ObjectStoragePath, XComArg

from airflow_pop3_gateway.config import one_of
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway.outgoing import SendOption
from airflow_pop3_gateway.hooks.arguments import A_BASE_PATH, A_MAILBOX, refuse_unless
from airflow_pop3_gateway.hooks.links import COLOUR, TransfersLink
from airflow_pop3_gateway.hooks.send import send_transfer

if TYPE_CHECKING:
    from airflow.sdk import Context

_KINDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "file": ((str, ObjectStoragePath), "a URL, as file:///… or s3://connection_id@bucket/key"),
    "message": (str, "a text"),
    "ready_made": ((str, ObjectStoragePath), "the URL of a whole mail"),
    "to": ((str, list, tuple), "an address, or a list of them"),
    "cc": ((str, list, tuple), "an address, or a list of them"),
    "bcc": ((str, list, tuple), "an address, or a list of them"),
    "from_": (str, "an address"),
    "subject": (str, "a text"),
    "xfb": (Mapping, "a dictionary of appli, org, dest, filename"),
    "file_name": (str, "a file name"),
    "content_type": (str, "a media type"),
    "headers": (Mapping, "a dictionary of header fields"),
    "ack_within": (timedelta, "a timedelta"),
    "pop3_conn_id": (str, A_MAILBOX),
    "smtp_conn_id": (str, "the id of a connection of type smtp"),
    "transfer_id": (str, "a text that names the transfer"),
    "base_path": (str, A_BASE_PATH),
}
_NOT_READY_MADE = ("file", "message", "subject", "xfb", "headers", "file_name", "content_type")


class SendTransferOperator(BaseOperator):
    """Sends a file, a message, both, or a ready-made mail; asks for acknowledgments; writes down what it did.

    Run it again after any failure: recipients that have the mail do not get it again. A relay that says "later" fails
    the task so that Airflow tries again. Returns :class:`~airflow_pop3_gateway.records.sent.Sent`, with ``base_path``.
    All arguments are templated, but ``acknowledgment_option`` and ``ack_within``.

    :param file: URL of the file to attach, on any storage Airflow knows.
    :param message: the user message: text for people, with the file or alone.
    :param ready_made: URL of a whole mail that is sent as it is, instead of ``file`` and ``message``.
    :param to: with ``cc`` and ``bcc``: addresses, as a list or with commas; default: ``to_email`` in the extra of the
        smtp connection. They are the only recipients of a ready-made mail, whatever its header says.
    :param from_: who sends and gets the acknowledgments; default: the address of ``pop3_conn_id``, else ``from_email``
        of the smtp connection.
    :param subject: needed for a mail that is built, unless ``xfb`` is given.
    :param xfb: parameters to be written into the subject: ``appli``, ``org``, ``dest``, ``filename``.
    :param file_name: what recipients see; default: the last part of the URL.
    :param content_type: of the file; default: by the name's ending.
    :param headers: further header fields.
    :param acknowledgment_option: ``to_ack`` asks for DSN and MDN (DSN only for a ready-made mail); ``not_to_ack``.
    :param ack_within: until when the acknowledgment is expected.
    :param pop3_conn_id: the mailbox the acknowledgments come back to; brings ``from_``, ``smtp_conn_id``, the
        delimiter of ``xfb``, and the partners whose mail is signed and encrypted.
    :param smtp_conn_id: Airflow connection of type ``smtp``; default: the one the mailbox names, else ``smtp_default``.
    :param transfer_id: what makes the transfer itself; default: DAG, run, task and map index.
    :param base_path: where everything durable lies; default: ``[pop3_gateway] base_path``.
    """

    template_fields: Sequence[str] = tuple(name for name in _KINDS if name != "ack_within")
    template_fields_renderers = {"message": "text", "xfb": "json", "headers": "json"}
    ui_color = COLOUR
    operator_extra_links = (TransfersLink(),)

    def __init__(
        self,
        *,
        file: str | ObjectStoragePath | XComArg | None = None,
        message: str | XComArg | None = None,
        ready_made: str | ObjectStoragePath | XComArg | None = None,
        to: str | Sequence[str] | XComArg | None = None,
        cc: str | Sequence[str] | XComArg | None = None,
        bcc: str | Sequence[str] | XComArg | None = None,
        from_: str | XComArg | None = None,
        subject: str | XComArg | None = None,
        xfb: Mapping[str, str] | XComArg | None = None,
        file_name: str | XComArg | None = None,
        content_type: str | XComArg | None = None,
        headers: Mapping[str, str] | XComArg | None = None,
        acknowledgment_option: SendOption = "to_ack",
        ack_within: timedelta | None = None,
        pop3_conn_id: str | XComArg | None = None,
        smtp_conn_id: str | XComArg | None = None,
        transfer_id: str | XComArg | None = None,
        base_path: str | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.file = file
        self.message = message
        self.ready_made = ready_made
        self.to = to
        self.cc = cc
        self.bcc = bcc
        self.from_ = from_
        self.subject = subject
        self.xfb = xfb
        self.file_name = file_name
        self.content_type = content_type
        self.headers = headers
        self.acknowledgment_option = acknowledgment_option
        self.ack_within = ack_within
        self.pop3_conn_id = pop3_conn_id
        self.smtp_conn_id = smtp_conn_id
        self.transfer_id = transfer_id
        self.base_path = base_path
        for name, (kind, meaning) in _KINDS.items():
            refuse_unless(self, name, getattr(self, name), kind, meaning)
        one_of("acknowledgment_option", acknowledgment_option, SendOption)
        self._check_together()

    @property
    def page_site(self) -> str:
        """The mailbox the acknowledgments come back to, where one is named."""
        return str(self.pop3_conn_id or "")

    def _check_together(self) -> None:
        given = {name for name in _KINDS if getattr(self, name) is not None}
        if not given & {"file", "message", "ready_made"}:
            raise self._wrong("file", "give a file, a message or a ready_made mail.")
        if "ready_made" in given and (needless := [name for name in _NOT_READY_MADE if name in given]):
            raise self._wrong(
                needless[0], f"a ready_made mail is sent as it is; leave out {', '.join(needless)}."
            )
        if "ready_made" not in given and not given & {"subject", "xfb"}:
            raise self._wrong("subject", "a mail that is built needs a subject, or xfb.")

    def _wrong(self, field: str, words: str) -> ConfigurationError:
        return ConfigurationError(f"Task {self.task_id!r}: {words}", field=field)

    def execute(self, context: Context) -> dict[str, Any]:
        """Send it to those who have not got it."""
        arguments: dict[str, Any] = {name: getattr(self, name) for name in _KINDS}
        return send_transfer(acknowledgment_option=self.acknowledgment_option, **arguments)
