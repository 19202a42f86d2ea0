"""Ask a person as a task: requests for receipts that no machine may answer, decided in Airflow's UI.

Strategy: one task lists what waits, a mapped one asks for each and parks without a worker until somebody has decided.
What a stranger wrote is shown as code, so that it is never Markdown, a link or a template.

Invariant: only what a person chose is an answer; silence sends nothing and the request keeps waiting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param, XComArg

from airflow_pop3_gateway import gateway
from airflow_pop3_gateway.config import at_least
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway.answers import waiting, waits
from airflow_pop3_gateway.hooks.arguments import refuse_unless
from airflow_pop3_gateway.hooks.links import COLOUR, TransfersLink
from airflow_pop3_gateway.hooks.outcome import told_to_airflow
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.hooks.store import open_store
from airflow_pop3_gateway.operators.site import SiteOperator
from airflow_pop3_gateway.records import Outcome
from airflow_pop3_gateway.records.asked import Answered, WaitingRequest

if TYPE_CHECKING:
    from airflow.sdk import Context

CHOICES: Mapping[str, Outcome] = {"Acknowledge": "processed", "Refuse": "failed", "No receipt": "none"}
PATIENCE = timedelta(days=7)
"""How long a person is asked: over a week-end and a short absence, below the days after which requests are purged."""
_SHOWN = 300  # characters of one value


class ReceiptRequestsOperator(SiteOperator):
    """Lists the requests for receipts that wait for a person, for :class:`AskForReceiptOperator` to be mapped over.

    Returns a list of small dictionaries: ``pop3_conn_id``, ``base_path``, ``local_ident``, and what is shown to the
    person as ``subject`` and ``body``.

    :param classified: output of a :class:`ClassifyOperator` (templated): only mails of its batches. Without it: all
        that wait at ``pop3_conn_id``.
    :param application: only mails of this Application (templated).
    :param most: so many at once, the oldest first; the others are listed next time.
    """

    template_fields: Sequence[str] = (*SiteOperator.template_fields, "classified", "application")
    template_fields_renderers = {"classified": "json"}
    reference_field = "classified"

    def __init__(
        self,
        *,
        classified: Mapping[str, Any] | XComArg | None = None,
        application: str | XComArg | None = None,
        most: int = 100,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.classified = classified
        self.application = application
        self.most = most
        refuse_unless(self, "classified", classified, Mapping, "the output of the task before")
        refuse_unless(self, "application", application, str, "a name")
        at_least("most", most, 1)

    def execute(self, context: Context) -> Any:
        """List what waits."""
        with told_to_airflow():
            conn_id, base_path = self.place()
            reference = self.reference()
            requests = [
                {
                    "pop3_conn_id": conn_id,
                    "base_path": base_path,
                    "local_ident": request.local_ident,
                    "subject": f"Receipt for {request.local_ident}?",
                    "body": body_of(request),
                }
                for request in waiting(
                    Pop3Hook(conn_id).site,
                    open_store(base_path),
                    batches=None if reference is None else reference.get("batches"),
                    application=None if self.application is None else str(self.application),
                    for_a_person=True,
                )
            ]
        self.log.info("%s: %d requests for receipts wait for a person", conn_id, len(requests))
        return requests[: self.most]


class AskForReceiptOperator(HITLOperator):
    """Asks a person in Airflow's UI whether a mail gets its receipt, and answers as the person chose.

    The choices are *Acknowledge*, *Refuse* (a negative acknowledgement) and *No receipt*, with a text for the sender.
    The receipt says that a person decided (manual-action/MDN-sent-manually) and waits in the outbox for an
    :class:`AcknowledgeOperator`. When nobody decides in time nothing is sent; the request keeps waiting and can be
    answered on the command line. Returns :class:`~airflow_pop3_gateway.records.asked.Answered`.

    :param request: one of what :class:`ReceiptRequestsOperator` returns (templated, mappable).
    :param response_timeout: how long to wait for the person; default seven days.
    :param kwargs: further arguments of Airflow's ``HITLOperator``: ``assigned_users``, ``notifiers``.
    """

    template_fields: Sequence[str] = ("request",)
    template_fields_renderers = {"request": "json"}
    ui_color = COLOUR
    operator_extra_links = (TransfersLink(),)

    def __init__(
        self,
        *,
        request: Mapping[str, Any] | XComArg,
        response_timeout: timedelta = PATIENCE,
        **kwargs: Any,
    ) -> None:
        text = Param("", type=["string", "null"], title="Text for the sender", maxLength=1000)
        super().__init__(
            subject="Receipt?",
            options=list(CHOICES),
            defaults=["No receipt"],
            params={"text": text},
            response_timeout=response_timeout,
            **kwargs,
        )
        self.request = request
        refuse_unless(self, "request", request, Mapping, "one of the requests that wait")

    def execute(self, context: Context) -> Any:
        """Ask, unless the request was answered meanwhile."""
        with told_to_airflow():
            request = self._request()
            site, store = Pop3Hook(request["pop3_conn_id"]).site, open_store(request["base_path"])
            if not waits(site, store, request["local_ident"]):
                self.log.info("%s: %s waits no longer", site.name, request["local_ident"])
                return Answered(site.name, "none").to_json()
        self.subject, self.body = request["subject"], request["body"]
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Answer as the person chose."""
        given = super().execute_complete(context, event)
        request, person = self._request(), event.get("responded_by_user")
        if event.get("timedout") or not person:
            self.log.warning("Nobody decided about %s in time: it keeps waiting", request["local_ident"])
            return Answered(request["pop3_conn_id"], "none").to_json()
        (choice,) = given["chosen_options"]
        with told_to_airflow():
            result = gateway.answer(
                Pop3Hook(request["pop3_conn_id"]).site,
                open_store(request["base_path"]),
                CHOICES[choice],
                str(given["params_input"].get("text") or ""),
                local_idents=[request["local_ident"]],
                by=str(person["name"]),
                by_a_person=True,
            )
        self.log.info("%s: %s by %s", request["local_ident"], choice, person["name"])
        return result.to_json()

    @property
    def page_site(self) -> str:
        """The site of the mail that asks."""
        return str(self._request()["pop3_conn_id"])

    def _request(self) -> Mapping[str, Any]:
        needed = {"pop3_conn_id", "base_path", "local_ident", "subject", "body"}
        if not isinstance(self.request, Mapping) or not needed <= self.request.keys():
            raise ConfigurationError(
                f"request is not one of those that wait: {self.request!r:.200}", field="request"
            )
        return self.request


def body_of(request: WaitingRequest) -> str:
    """What the person reads, as Markdown."""
    rows = {
        "From": request.from_,
        "Subject": request.subject,
        "Date": request.date or "",
        "Receipt to": ", ".join(request.ack_to),
        "Application": request.application,
        "Why a person": request.why,
        "Duplicate": "yes" if request.duplicate else "",
    }
    return "\n".join(f"* {name}: {as_code(value)}" for name, value in rows.items() if value)


def as_code(text: str) -> str:
    """A stranger's text as a code span on one line: nothing in it is Markdown."""
    line = " ".join(text.split())[:_SHOWN]
    fence = "`" * (max(map(len, re.findall("`+", line)), default=0) + 1)
    return f"{fence} {line} {fence}"
