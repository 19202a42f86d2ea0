"""Finished messages go out by the Airflow connection type ``smtp``, octet for octet.

Strategy: the hook of the smtp provider reads the connection, does TLS, basic login and OAuth2; what it lacks is here: a
finished message of any size, a null reverse-path, an answer for each recipient, errors that say "later" or "no", and
implicit TLS with the connection's default options (the provider would ask for STARTTLS inside TLS).

Invariant: a message is given to a relay at most once by one call; a connection whose state is in doubt is closed.
``_smtp_client`` is the only private name of the provider that is touched, here and nowhere else.
"""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from airflow.providers.smtp.hooks.smtp import SmtpHook
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException

from airflow_pop3_gateway.errors import (
    AcknowledgmentError,
    ConfigurationError,
    GatewayError,
    RelayRefused,
    RelayUnavailable,
)
from airflow_pop3_gateway.gateway.send import Envelope, Submitted
from airflow_pop3_gateway.hooks import submission
from airflow_pop3_gateway.hooks.connection import missing
from airflow_pop3_gateway.mail.compose import Chunks

_SENSELESS = (ValueError, TypeError, AttributeError, ImportError)
"""What the provider raises where an option of the connection makes no sense, or asks for what is not installed."""


class GatewaySmtpHook(SmtpHook):
    """A relay for finished messages; a context manager that connects when the first message is sent.

    :param smtp_conn_id: id of an Airflow connection of type ``smtp``. ``disable_ssl`` in its extra means STARTTLS,
        ``disable_ssl`` and ``disable_tls`` mean no encryption, neither means TLS from the first octet.
    """

    def __repr__(self) -> str:
        return f"GatewaySmtpHook({self.smtp_conn_id!r})"

    @property
    def smtp_starttls(self) -> bool:
        """STARTTLS is for connections that are not encrypted yet (RFC 3207 §4)."""
        return bool(super().smtp_starttls) and not self.use_ssl

    def __enter__(self) -> GatewaySmtpHook:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disconnect()

    def send_raw(self, mail_from: str, recipients: Sequence[str], data: bytes) -> Mapping[str, str]:
        """Send a finished message.

        :param mail_from: the reverse-path; ``""`` is the null reverse-path ``<>`` (RFC 5321 §4.5.5).
        :param data: the whole message with CRLF line ends; dots are stuffed here.
        :returns: recipient → reply, for recipients the relay refused while it took others.
        :raises RelayRefused: 5xx for the message or for every recipient.
        :raises RelayUnavailable: 4xx, or the relay could not be reached; the message was not accepted.
        :raises ConfigurationError: the connection itself must be corrected; nothing was sent.
        """
        envelope = Envelope(mail_from, tuple(recipients), len(data), not data.isascii())
        replies = self.submit(envelope, lambda: (data,)).replies
        refused = {recipient: reply for recipient, reply in replies.items() if not reply.startswith("2")}
        if len(refused) == len(replies):
            raise _refusal(refused)
        return refused

    def submit(self, envelope: Envelope, octets: Chunks) -> Submitted:
        """Give the relay a mail, streamed, and hand back each of its replies.

        :param octets: the whole mail with CRLF line ends; dots are stuffed here.
        :raises RelayRefused: the relay offers not what the mail needs; it was told nothing.
        :raises RelayUnavailable: it cannot be reached, or what it did with the mail is not known.
        :raises ConfigurationError: the connection itself must be corrected; nothing was sent.
        """
        client = self._connected()
        try:
            return submission.submit(client, envelope, octets)
        except GatewayError:
            raise
        except (OSError, ValueError) as error:
            client.close()
            raise RelayUnavailable(f"The connection to {self._place} broke: {error}") from error
        finally:
            if client.sock is None:
                self._disconnect()

    @property
    def default_recipients(self) -> str:
        """Who gets what is sent to nobody by name: ``to_email`` in the connection's extra, ``""`` without."""
        return str(self._fields.get("to_email") or "")

    @property
    def default_sender(self) -> str:
        """Who sends where nobody is named: ``from_email`` of the connection, ``""`` without."""
        return str(self._fields.get("from_email") or "")

    @property
    def _fields(self) -> dict[str, Any]:
        try:
            fields = self.get_connection(self.smtp_conn_id).extra_dejson
        except AirflowNotFoundException as error:
            raise missing(self.smtp_conn_id, "smtp", "smtp_conn_id") from error
        if not isinstance(fields, dict):
            raise self._senseless("it is not a JSON object.")
        return fields

    def _connected(self) -> smtplib.SMTP:
        """The client of the provider's hook, connected and logged in."""
        try:
            self.get_conn()
        except (AirflowException, RuntimeError, OSError, *_SENSELESS) as error:
            trouble = self._trouble(error)
            self._disconnect()
            # A UnicodeError holds what could not be said, the whole password.
            raise trouble from None if isinstance(error, UnicodeError) else error
        client = self._smtp_client
        if not isinstance(client, smtplib.SMTP):
            raise ConfigurationError(
                "The smtp provider is of a version this package does not know.", field=""
            )
        return client

    def _senseless(self, what: object) -> ConfigurationError:
        return ConfigurationError(
            f"Correct connection {self.smtp_conn_id!r}, its extra: {what}", field="extra"
        )

    def _trouble(self, error: Exception) -> GatewayError:
        """Why there is no connection: what a person must correct, or what may pass by itself."""
        cause = error.__context__ if isinstance(error, AirflowException) else error
        if isinstance(cause, AirflowNotFoundException):
            return missing(self.smtp_conn_id, "smtp", "smtp_conn_id")
        advice = f"Correct connection {self.smtp_conn_id!r}"
        if isinstance(cause, smtplib.SMTPAuthenticationError) and cause.smtp_code >= 500:
            reply = submission.on_one_line(cause.smtp_code, cause.smtp_error)
            return ConfigurationError(
                f"{self._place} refused the login ({reply}). {advice}: login and password.", field="password"
            )
        if isinstance(cause, smtplib.SMTPNotSupportedError):
            return ConfigurationError(
                f"{self._place}: {cause} {advice}: disable_ssl, disable_tls, or no login.",
                field="disable_tls",
            )
        if isinstance(cause, ssl.SSLError) and not isinstance(
            cause, ssl.SSLEOFError | ssl.SSLZeroReturnError
        ):
            return ConfigurationError(
                f"TLS with {self._place} failed: {cause}. {advice}: host, port and disable_ssl; the certificate must "
                "come from an authority this machine trusts.",
                field="disable_ssl",
            )
        if isinstance(cause, OSError):
            return RelayUnavailable(f"{self._place} cannot be reached: {cause}")
        if isinstance(cause, UnicodeError):
            return ConfigurationError(
                f"{advice}: host, login and password must be what SMTP can say.", field="host"
            )
        if isinstance(cause, _SENSELESS):
            return self._senseless(cause)
        return ConfigurationError(f"{advice}: {error}", field="smtp_conn_id")

    def _disconnect(self) -> None:
        client, self._smtp_client = self._smtp_client, None
        if isinstance(client, smtplib.SMTP):
            with contextlib.suppress(OSError):
                client.quit()
            client.close()

    @property
    def _place(self) -> str:
        return f"SMTP relay {self.host}:{self.port}" if self.smtp_connection else "SMTP relay"


def _refusal(refused: Mapping[str, str]) -> AcknowledgmentError:
    """No recipient got the message: for good when every reply says so, later when one does."""
    sentence = "; ".join(f"{recipient}: {reply}" for recipient, reply in refused.items())
    if all(reply.startswith("5") for reply in refused.values()):
        return RelayRefused(f"The relay refused the message: {sentence}", refused=refused)
    return RelayUnavailable(f"The relay postponed the message: {sentence}", refused=refused)
