"""Answer: what waits for the outcome of processing, or for a person, gets its receipt (Gateway: *Ack a transfer*).

The order of the steps is the guarantee, for one request::

    1  mark that it is being answered
    2  create the answer                    the commit: of two answers the first one stays
    3  put the receipts into the outbox
    4  remove the request and the mark

Invariant: one answer for each mail; a process that dies after step 2 leaves the rest to :func:`finish`, which every
sweep of the outbox begins with; what only a person may answer is answered by no task.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import get_args

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway.clock import Clock, utc_now
from airflow_pop3_gateway.gateway.receipts import head_of, own_address, receipts_of_answer
from airflow_pop3_gateway.records import Outcome
from airflow_pop3_gateway.records.asked import (
    AFTER_PROCESSING,
    ANSWER_SCHEMA,
    Answer,
    Answered,
    WaitingRequest,
)
from airflow_pop3_gateway.store import Store, answers, layout, outbox

log = logging.getLogger(__name__)

OUTCOMES = tuple(word for word in get_args(Outcome) if word != "unsupported")
MOST_TEXT = 10_000
"""Characters of an answer's text that are kept: a receipt is a note, not a report."""


def waiting(
    site: RemoteSite,
    store: Store,
    *,
    batches: Sequence[str] | None = None,
    application: str | None = None,
    for_a_person: bool = False,
) -> Iterator[WaitingRequest]:
    """The requests of a site that wait for an answer, oldest first.

    :param batches: only of mails of these; :param application: only of mails of this Application.
    :param for_a_person: only those that no task may answer.
    """
    for request in answers.requests(store, site.name, batches):
        if application in (None, request.application) and not (
            for_a_person and request.why == AFTER_PROCESSING
        ):
            yield request


def waits(site: RemoteSite, store: Store, local_ident: str) -> bool:
    """Whether a mail's request waits for an answer."""
    request = answers.find_request(store, site.name, local_ident)
    return request is not None and answers.find_answer(store, local_ident) is None


def answer(
    site: RemoteSite,
    store: Store,
    outcome: Outcome,
    text: str = "",
    *,
    local_idents: Iterable[str] | None = None,
    batches: Sequence[str] | None = None,
    application: str | None = None,
    by: str = "",
    by_a_person: bool = False,
    now: Clock = utc_now,
) -> Answered:
    """Answer requests; nothing is sent here. Mails that wait for no answer are passed over.

    :param outcome: what the receipt says; ``none`` that none is given.
    :param local_idents: the mails; without them those of ``batches`` and ``application``, or all that wait.
    :returns: how many have this answer now, and which have another one.
    :raises ConfigurationError: for an outcome that is none, or where nobody says which address is ours.
    """
    if outcome not in OUTCOMES:
        raise ConfigurationError(f"outcome={outcome!r} is not one of {', '.join(OUTCOMES)}.", field="outcome")
    if local_idents is None:
        chosen = {
            request.local_ident
            for request in waiting(site, store, batches=batches, application=application)
            if by_a_person or request.why == AFTER_PROCESSING
        }
        chosen |= {
            given.local_ident
            for batch in batches or ()
            for given in answers.answers_of(store, batch)
            if application in (None, given.application) and given.by_a_person == by_a_person
        }
    else:
        chosen = set(filter(None, local_idents))
    moment = layout.timestamp(now())
    answered = again = 0
    contradicted, held = [], []
    for local_ident in sorted(chosen):
        counts = answers.find_answer(store, local_ident)
        request = answers.find_request(store, site.name, local_ident)
        given = None
        if counts is None:
            if request is None:
                continue
            if not by_a_person and request.why != AFTER_PROCESSING:
                log.warning("%s: the receipt for %s needs a person: %s", site.name, local_ident, request.why)
                held.append(local_ident)
                continue
            if outcome != "none":
                own_address(site, head_of(site, request))
            given = Answer(
                schema=ANSWER_SCHEMA,
                site=site.name,
                local_ident=local_ident,
                application=request.application,
                outcome=outcome,
                text=text[:MOST_TEXT],
                by=by,
                by_a_person=by_a_person,
                at=moment,
                receipts=() if outcome == "none" else request.receipts,
            )
            counts = answers.answer(store, given)
        if request is not None:
            _finish(site, store, request, counts)
        if counts is given:
            answered += 1
        elif counts.outcome == outcome:
            again += 1
        else:
            contradicted.append(local_ident)
            log.warning(
                "%s: %s was answered %r by %s at %s; %r comes too late and is not sent",
                *(site.name, local_ident, counts.outcome, counts.by or "a task", counts.at, outcome),
            )
    return Answered(site.name, outcome, answered, again, tuple(contradicted), tuple(held))


def finish(site: RemoteSite, store: Store) -> None:
    """Do what is left of answers whose process died."""
    for local_ident in answers.unfinished(store, site.name):
        request = answers.find_request(store, site.name, local_ident)
        given = answers.find_answer(store, local_ident)
        if request is None:
            answers.settle(store, site.name, local_ident)
        elif given is not None:
            _finish(site, store, request, given)


def _finish(site: RemoteSite, store: Store, request: WaitingRequest, given: Answer) -> None:
    for receipt in receipts_of_answer(site, request, given):
        outbox.enqueue(store, receipt)
    answers.settle(store, site.name, request.local_ident)
