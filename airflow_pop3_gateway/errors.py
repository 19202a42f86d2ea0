"""Every exception of this package, named by what the caller does next.

::

    GatewayError
        ConfigurationError            (ValueError)       correct the connection or the argument
            ConnectionMissing                            Airflow cannot give it, perhaps only now: later
        Pop3Error
            CommandRefused                               -ERR; the connection is still good
                AuthenticationFailed                     [AUTH]: no, do not try again (lock-out)
                MailboxInUse                             [IN-USE]: later
                LoginDelayed                             [LOGIN-DELAY]: later
                ServerUnavailable                        [SYS/TEMP]: later
                ServerBroken                             [SYS/PERM]: no
            ProtocolViolation                            not POP3 any more: drop the connection
            WrongState                (RuntimeError)     our own misuse: a bug
            ConnectionLost            (ConnectionError)  reconnect
            TimedOut                  (TimeoutError)     the connection is dead: reconnect
            TlsFailed                 (ConnectionError)  certificate or handshake: no
            SecurityRefused           (PermissionError)  would have sent a secret in the clear: no
        MailError
            LimitExceeded                                a named bound was passed: quarantine the mail
            MailRefused                                  content we must not take: quarantine the mail
        StoreError
            StoreUnsuitable                              cannot create exclusively: choose another store
            StoreUnavailable          (OSError)          full, read-only, unreachable: later
            AlreadyStored             (FileExistsError)  somebody was first; never an accident
            StoreCorrupt                                 what we read is not what we wrote
        AcknowledgmentError
            SourceChanged                                the file is not the one that was written down: no
            RelayRefused                                 5xx: no
            RelayUnavailable          (ConnectionError)  4xx, network: later
            NotAcknowledged                              a mail server or a recipient said no
            AcknowledgmentOverdue                        nothing came before the deadline: a person must ask

Invariant: each error carries its consequence as class attributes (``retriable``: the same call may succeed
later; ``disposition``: what becomes of the thing at hand) and its facts as attributes; each can be pickled, for
Airflow carries errors between processes; none ever holds a secret.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

Disposition = Literal["fail", "retry", "reconnect", "quarantine", "continue"]


def _rebuild(cls: type[GatewayError], message: str, facts: dict[str, Any]) -> GatewayError:
    return cls(message, **facts)


class GatewayError(Exception):
    """Base of all errors of this package.

    :param message: one sentence that says what happened and what to do about it.
    :param facts: JSON-plain details; each becomes an attribute of the error.
    """

    retriable: ClassVar[bool] = False
    disposition: ClassVar[Disposition] = "fail"

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.facts = facts
        for name, value in facts.items():
            setattr(self, name, value)

    @property
    def message(self) -> str:
        """The sentence without the class name."""
        return str(self.args[0])

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.facts)


class ConfigurationError(GatewayError, ValueError):
    """A connection, a site or an argument does not make sense; the message names the field and the remedy."""


class ConnectionMissing(ConfigurationError):
    """There is no connection of this id. Airflow says the same while its API or a secrets backend cannot be reached."""

    retriable = True
    disposition: ClassVar[Disposition] = "retry"


class Pop3Error(GatewayError):
    """Something in the conversation with a POP3 server."""


class CommandRefused(Pop3Error):
    """The server answered ``-ERR``; the connection is still good (RFC 1939 §3).

    :ivar command: the verb that was refused, never its arguments.
    :ivar text: the server's words after ``-ERR`` and after the response code.
    :ivar code: the response code of RFC 2449/3206 without brackets, upper case, or ``""``.
    """

    disposition: ClassVar[Disposition] = "continue"
    command: str = ""
    text: str = ""
    code: str = ""


class AuthenticationFailed(CommandRefused):
    """``[AUTH]`` (RFC 3206), or a refusal at login that says nothing of "later"."""

    disposition: ClassVar[Disposition] = "fail"


class MailboxInUse(CommandRefused):
    """``[IN-USE]`` (RFC 2449 §8.1.2): another session holds the maildrop."""

    retriable = True
    disposition: ClassVar[Disposition] = "retry"


class LoginDelayed(CommandRefused):
    """``[LOGIN-DELAY]`` (RFC 2449 §8.1.1): too soon after the last login.

    :ivar delay: seconds the server's CAPA asks for between logins, 0 when it does not say.
    """

    retriable = True
    disposition: ClassVar[Disposition] = "retry"
    delay: int = 0


class ServerUnavailable(CommandRefused):
    """``[SYS/TEMP]`` (RFC 3206): the server's own trouble, likely to pass."""

    retriable = True
    disposition: ClassVar[Disposition] = "retry"


class ServerBroken(CommandRefused):
    """``[SYS/PERM]`` (RFC 3206): the server's own trouble, needs a human there."""

    disposition: ClassVar[Disposition] = "fail"


class ProtocolViolation(Pop3Error):
    """What arrived is not POP3, or not now; nothing more on this connection can be believed."""

    retriable = True
    disposition: ClassVar[Disposition] = "reconnect"


class WrongState(Pop3Error, RuntimeError):
    """A command that is not allowed in this state (RFC 1939 §3); a defect in the calling code."""


class ConnectionLost(Pop3Error, ConnectionError):
    """Refused, reset, closed or unresolvable; nothing of the unfinished answer is used."""

    retriable = True
    disposition: ClassVar[Disposition] = "reconnect"


class TimedOut(Pop3Error, TimeoutError):
    """A named deadline passed. :ivar seconds: the deadline."""

    retriable = True
    disposition: ClassVar[Disposition] = "reconnect"


class TlsFailed(Pop3Error, ConnectionError):
    """The handshake failed or the certificate is not the one asked for.

    :ivar sha256: of the certificate where it is not the one that was pinned, hexadecimal.
    """

    sha256: str = ""


class SecurityRefused(Pop3Error, PermissionError):
    """Going on would have put a secret on a connection that does not protect it."""


class MailError(GatewayError):
    """One mail cannot be taken as it is; the others go on."""

    disposition: ClassVar[Disposition] = "quarantine"


class LimitExceeded(MailError):
    """A named bound was passed. :ivar limit: its name in :class:`config.Limits`; :ivar value: the bound."""

    limit: str = ""
    value: int = 0


class MailRefused(MailError):
    """The mail is understood, and must not be taken. :ivar code: reason code of ``docs/reference/reasons.md``."""

    code: str = ""


class StoreError(GatewayError):
    """Object storage did not do what was asked."""


class StoreUnsuitable(StoreError):
    """The store cannot create an object exclusively and all at once, so it cannot carry the journal."""


class StoreUnavailable(StoreError, OSError):
    """Full, read-only, unreachable or refusing; nothing was published."""

    retriable = True
    disposition: ClassVar[Disposition] = "retry"


class AlreadyStored(StoreError, FileExistsError):
    """The exclusive create found the object there. :ivar path: its key below the base path."""

    disposition: ClassVar[Disposition] = "continue"
    path: str = ""


class StoreCorrupt(StoreError):
    """An object is missing, cut short or has another digest than the one that was written down."""


class AcknowledgmentError(GatewayError):
    """A receipt or a transfer could not be sent."""


class SourceChanged(AcknowledgmentError):
    """A file is not the one the record of the transfer names; nothing was sent."""


class RelayRefused(AcknowledgmentError):
    """The SMTP relay said 5xx. :ivar refused: recipient → reply."""


class RelayUnavailable(AcknowledgmentError, ConnectionError):
    """The SMTP relay said 4xx or could not be reached."""

    retriable = True
    disposition: ClassVar[Disposition] = "retry"


class NotAcknowledged(AcknowledgmentError):
    """A transfer did not arrive, or somebody said no. :ivar state: the Gateway's word; :ivar key: of the transfer."""

    state: str = ""
    key: str = ""


class AcknowledgmentOverdue(AcknowledgmentError):
    """A transfer still waits for its acknowledgment after its deadline. :ivar keys: of the transfers."""

    keys: tuple[str, ...] = ()
