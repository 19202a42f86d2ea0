"""The hook of the connection type ``pop3``: a Connection becomes a site, and a client that is logged in."""

from __future__ import annotations

import dataclasses
from functools import cached_property

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import GatewayError
from airflow_pop3_gateway.hooks.connection import missing, site_from
from airflow_pop3_gateway.hooks.progress import octets_text
from airflow_pop3_gateway.pop3 import Pop3Client


class Pop3Hook(BaseHook):
    """One mail account.

    :param pop3_conn_id: id of an Airflow connection of type ``pop3``; it is also the site's name in the store.
    """

    conn_name_attr = "pop3_conn_id"
    default_conn_name = "pop3_default"
    conn_type = "pop3"
    hook_name = "POP3"

    def __init__(self, pop3_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.pop3_conn_id = pop3_conn_id

    def __repr__(self) -> str:
        return f"Pop3Hook({self.pop3_conn_id!r})"

    @cached_property
    def site(self) -> RemoteSite:
        """The account as one value.

        :raises ConfigurationError: naming the field and the remedy. :raises ConnectionMissing: Airflow cannot give it.
        """
        try:
            connection = self.get_connection(self.pop3_conn_id)
        except AirflowNotFoundException:
            raise missing(self.pop3_conn_id, self.conn_type, self.conn_name_attr) from None
        return site_from(connection)

    def get_conn(self) -> Pop3Client:
        """A client that is logged in; use it as a context manager.

        :raises Pop3Error: when no address of the site could be reached, or the login was refused.
        """
        return Pop3Client.connect(self.site)

    def test_connection(self) -> tuple[bool, str]:
        """Log in once, look, and leave: what the *Test* button of the connection form shows."""
        try:
            site = dataclasses.replace(self.site, retry_count_max=0)
            with Pop3Client.connect(site) as client:
                messages, octets = client.stat()
                client.quit()
        except GatewayError as error:
            return False, f"{type(error).__name__}: {error}"
        protection = f"{client.tls.version}" if client.tls else "no encryption"
        seen = f"Logged in at {site.address} ({protection}): {messages} messages, {octets_text(octets)}."
        return True, f"{seen} {site.receipts_need}".rstrip()
