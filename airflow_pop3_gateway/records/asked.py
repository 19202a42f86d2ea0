"""What is written down of a request for a receipt that waits, and of its answer.

Strategy: a request that waits has everything an answer needs, so that the raw mail may be purged meanwhile. An answer
is written once; the first one stays.

Invariant: as in :mod:`airflow_pop3_gateway.records`.
"""

from __future__ import annotations

from airflow_pop3_gateway.records.jsonable import Jsonable
from airflow_pop3_gateway.records.transfer import Outcome

WAITING_SCHEMA = "airflow-pop3-gateway/waiting-request/1"
ANSWER_SCHEMA = "airflow-pop3-gateway/answer/1"

AFTER_PROCESSING = "after-processing"
"""Why a request waits that needs no person: a task says how processing ended."""


class WaitingRequest(Jsonable, frozen=True):
    """A request for a receipt that nobody has answered: ``outbox/waiting/<site>/<local ident>.json``.

    :ivar why: a code of ``docs/reference/reasons.md``; :ivar duplicate: the mail's identity was known before.
    :ivar receipts: the keys its receipts will have in the outbox, one for each address of ``ack_to``.
    :ivar head: the header of the mail, base64; :ivar mic: what a signed receipt repeats (RFC 3335).
    """

    schema: str
    site: str
    local_ident: str
    record: str
    application: str
    from_: str
    subject: str
    date: str | None
    ack_to: tuple[str, ...]
    receipts: tuple[str, ...]
    why: str
    head: str
    created_at: str
    duplicate: bool = False
    mic: str | None = None


class Answer(Jsonable, frozen=True):
    """How a request was answered: ``outbox/answers/<yyyy>/<mm>/<dd>/<local ident>.json``; the first answer stays.

    :ivar text: for the sender to read; :ivar by: who answered, :ivar by_a_person: and whether it is a person.
    """

    schema: str
    site: str
    local_ident: str
    application: str
    outcome: Outcome
    text: str
    by: str
    by_a_person: bool
    at: str
    receipts: tuple[str, ...] = ()


class Answered(Jsonable, frozen=True):
    """What answering brought.

    :ivar answered: requests that have this answer now; :ivar again: had it before.
    :ivar contradicted: local idents that had another answer before, which stays; :ivar held: those only a person may
        answer.
    """

    site: str
    outcome: Outcome
    answered: int = 0
    again: int = 0
    contradicted: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
