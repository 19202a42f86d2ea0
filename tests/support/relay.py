"""A relay for use cases that are given one: a connection of the standard library, new for each mail."""

from __future__ import annotations

import smtplib

from airflow_pop3_gateway.errors import GatewayError, RelayUnavailable
from airflow_pop3_gateway.gateway.send import Envelope, Submitted
from airflow_pop3_gateway.hooks import submission
from airflow_pop3_gateway.mail.compose import Chunks


class SmtplibRelay:
    """Speaks to this server. :ivar envelopes: what it was given."""

    def __init__(self, host: str, port: int) -> None:
        self._place = (host, port)
        self.envelopes: list[Envelope] = []

    def submit(self, envelope: Envelope, octets: Chunks) -> Submitted:
        self.envelopes.append(envelope)
        try:
            with smtplib.SMTP(*self._place, local_hostname="localhost", timeout=20) as client:
                return submission.submit(client, envelope, octets)
        except GatewayError:
            raise
        except OSError as error:
            raise RelayUnavailable(str(error)) from error
