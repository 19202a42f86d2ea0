"""Which Application a mail belongs to (Gateway: *ExitPop3GetAppli*): rules as data, or any callable.

Strategy: a chooser is called once for a mail, as soon as its header is known, and sees what the Gateway's exit sees and
more. Rules are a chooser made of rows: the first row whose patterns all fit decides; ``*`` and ``?`` are wildcards,
case does not count. What the first file is called is looked up only when a row asks, in the first octets of the mail.

Invariant: the same mail and rules give the same Application, wherever they are asked: on reception, in a replay, from
the command line.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from airflow_pop3_gateway.config import Application, RemoteSite, at_least, wildcards
from airflow_pop3_gateway.errors import ConfigurationError, GatewayError, MailRefused
from airflow_pop3_gateway.mail.extract import Policy, understand
from airflow_pop3_gateway.mail.headers import Head
from airflow_pop3_gateway.records import Leaf

log = logging.getLogger(__name__)

Octets = Callable[[], Iterator[bytes]]
"""Gives the exact octets of a mail in pieces, from the start at each call."""

BEGINNING = 1 << 20
"""Octets of a mail in which its first file is looked for: what one request to the store brings."""


@dataclass(frozen=True)
class Choice:
    """What chooses an Application sees (Gateway: the arguments of *ExitPop3GetAppli*), and more.

    :ivar originator: the site; :ivar destination: the login; :ivar xfer_ident: the Message-ID, or the header's digest;
        :ivar subject: parameters included; :ivar application: the proposed one: ``APPLI`` of the subject, else the
        site's; :ivar size: octets of the whole mail; :ivar head: the header block.
    """

    originator: str
    destination: str
    from_: str
    to: tuple[str, ...]
    xfer_ident: str
    subject: str
    application: str
    size: int
    head: Head
    octets: Octets = field(repr=False, compare=False)

    @cached_property
    def _first_file(self) -> Leaf | None:
        several = Policy(multiple_attachments="extract")
        beginning = _up_to(BEGINNING, self.octets())
        attachments = understand(beginning, lambda head: several, lambda name, kind: Nowhere()).attachments
        return attachments[0] if attachments else None

    @property
    def file_name(self) -> str:
        """What the first attached file is called, ``""`` when there is none in the first :data:`BEGINNING` octets or it
        has no name."""
        return (self._first_file.name or "") if self._first_file else ""

    @property
    def content_types(self) -> tuple[str, ...]:
        """Content type of the mail, and of its first attached file."""
        own = self.head.content_type.value
        return (own, self._first_file.content_type) if self._first_file else (own,)


def _up_to(most: int, pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The first octets, however the pieces were cut."""
    left = most
    for piece in pieces:
        yield piece[:left]
        left -= len(piece)
        if left <= 0:
            break


Chooser = Callable[[Choice], str | None]
"""Names the Application; ``None`` for the proposed one; raises MailRefused to reject the mail."""


def proposed_application(choice: Choice) -> str | None:
    """The proposed Application: what the sample of the Gateway's exit does."""
    return choice.application


def chosen(choose: Chooser, choice: Choice) -> str:
    """The name of the Application a mail belongs to.

    :raises MailRefused: the mail is rejected, or what chooses has failed.
    """
    try:
        return choose(choice) or choice.application
    except GatewayError:
        raise
    except Exception as error:  # it is the user's, and one bad mail never stops a maildrop
        log.exception("%s: no Application for %s", choice.originator, choice.xfer_ident)
        raise MailRefused(
            f"what chooses Applications failed: {type(error).__name__}: {error}", code="choose-failed"
        ) from error


class Nowhere:
    """A file that nobody keeps."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Forget."""

    def commit(self) -> str:
        """Nothing is stored."""
        return ""

    def discard(self) -> None:
        """Nothing was stored."""


@dataclass(frozen=True)
class ApplicationRule:
    """One row: patterns that must all fit, and what follows.

    :ivar application: the Application's name; :ivar reject: refuse the mail instead (*error_mail_disposal* applies);
        :ivar min_size: octets of the whole mail, as :ivar max_size:. Every other field is a pattern for the field of
        :class:`Choice` of that name (as JSON, ``from`` without the underscore); ``to`` and ``content_type`` fit when
        one of several values fits.
    """

    application: str = ""
    reject: bool = False
    originator: str = "*"
    destination: str = "*"
    from_: str = "*"
    to: str = "*"
    subject: str = "*"
    xfer_ident: str = "*"
    file_name: str = "*"
    content_type: str = "*"
    min_size: int = 0
    max_size: int | None = None

    def __post_init__(self) -> None:
        for name in _PATTERNS:
            if not isinstance(getattr(self, name), str):
                raise ConfigurationError(f"{name} must be a pattern as text.", field=name.rstrip("_"))
        if not self.reject:
            Application(self.application)
        elif self.application:
            raise ConfigurationError("give an application or reject, not both.", field="reject")
        at_least("min_size", self.min_size, 0)
        at_least("max_size", self.max_size, self.min_size)

    def fits(self, choice: Choice) -> bool:
        """Whether every pattern fits."""
        if choice.size < self.min_size or (self.max_size is not None and choice.size > self.max_size):
            return False
        return all(self._fits(name, choice) for name in _PATTERNS if getattr(self, name) != "*")

    def _fits(self, name: str, choice: Choice) -> bool:
        value = getattr(choice, "content_types" if name == "content_type" else name)
        values = value if isinstance(value, tuple) else (value,)
        return any(wildcards(getattr(self, name)).fullmatch(one) for one in values)


T = TypeVar("T", ApplicationRule, Application)


def _read(kind: type[T], row: Mapping[str, Any]) -> T:
    names = {item.name.rstrip("_"): item.name for item in dataclasses.fields(kind)}
    for name in row:
        if name not in names:
            near = difflib.get_close_matches(str(name), names, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"fields are {', '.join(names)}."
            raise ConfigurationError(f"there is no field {name!r}; {advice}", field=str(name))
    return kind(**{names[name]: value for name, value in row.items()})


def _read_all(kind: type[T], what: str, rows: Sequence[T | Mapping[str, Any]]) -> Iterator[T]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, kind | Mapping):
            raise ConfigurationError(f"{what} {number} is not an object with fields.", field=f"{what}s")
        try:
            yield _read(kind, row) if isinstance(row, Mapping) else row
        except ConfigurationError as error:
            raise ConfigurationError(f"{what} {number}: {error}", field=f"{what}s") from None


def applications_of(rows: Any) -> dict[str, Application]:
    """Applications with options of their own by their names, from JSON: a list of objects.

    :raises ConfigurationError: naming the row and the field.
    """
    if not isinstance(rows, Sequence) or isinstance(rows, str):
        raise ConfigurationError("must be a list of Applications.", field="applications")
    return {one.name: one for one in _read_all(Application, "application", rows)}


_plain = functools.lru_cache(maxsize=64)(Application)  # its name is checked for every mail otherwise


def named(name: str, applications: Mapping[str, Application]) -> Application:
    """The Application of this name, with its options where it has some. :raises ConfigurationError: it is no name."""
    return applications.get(name) or _plain(name)


def policy_of(application: Application, site: RemoteSite | Policy) -> Policy:
    """How the mails of an Application are extracted (Gateway: Application, then Remote Site).

    :param site: what holds where the Application says nothing.
    """
    return Policy(
        application=application.name,
        extract_file=site.extract_file if application.extract_file is None else application.extract_file,
        multiple_attachments=application.multiple_attachments or site.multiple_attachments,
        user_message_limit=site.user_message_limit,
        unzip=site.unzip if application.unzip is None else application.unzip,
        limits=site.limits,
    )


_PATTERNS = ("originator", "destination", "from_", "to", "subject", "xfer_ident", "content_type", "file_name")


@dataclass(frozen=True)
class Rules:
    """A chooser made of rows: the first that fits decides; where none fits, the proposed Application stays."""

    rows: tuple[ApplicationRule, ...]

    @classmethod
    def of(cls, rows: Sequence[ApplicationRule | Mapping[str, Any]]) -> Rules:
        """Rows as values or as JSON. :raises ConfigurationError: naming the row and the field."""
        if not isinstance(rows, Sequence) or isinstance(rows, str):
            raise ConfigurationError("must be a callable or a list of rules.", field="rules")
        return cls(tuple(_read_all(ApplicationRule, "rule", rows)))

    def __call__(self, choice: Choice) -> str | None:
        for number, rule in enumerate(self.rows, 1):
            if rule.fits(choice):
                if rule.reject:
                    raise MailRefused(f"rule {number} rejects this mail", code="application-rejected")
                return rule.application
        return choice.application
