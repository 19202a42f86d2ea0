"""Deposit: one mail of the spool becomes one record, with what belongs to it.

Strategy: the mail is understood while it streams; files go to keys made from its place in the spool; the record is
created last and decides. A record found under the identity is either this mail's own, from a run that died after
it, or another's: then this one is a duplicate, its files are taken back and it is disposed of like any mail that
cannot be taken (Gateway: *error_mail_disposal*; RECOVER keeps the whole mail as ``<xfer ident>.<local ident>``).

Invariant: whatever happens here, at most one record names this place of the spool, and a receipt is put into the
outbox only for a record that exists.
"""

from __future__ import annotations

import base64
import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from airflow_pop3_gateway.acks import mdn, parse_report
from airflow_pop3_gateway.config import Application, RemoteSite
from airflow_pop3_gateway.errors import AlreadyStored, ConfigurationError, GatewayError, MailRefused, StoreError
from airflow_pop3_gateway.mail import Head, Policy, Understanding, identity, split_subject, understand
from airflow_pop3_gateway.mail.names import distinct_name
from airflow_pop3_gateway.records import (
    OUTBOX_SCHEMA,
    RECORD_SCHEMA,
    AcknowledgmentRequest,
    Defect,
    ManifestEntry,
    Raw,
    Reason,
    Receipt,
    Rejected,
    StoredFile,
    TransferRecord,
    digest_key,
)
from airflow_pop3_gateway.store import Store, Writer, layout, outbox
from airflow_pop3_gateway.store.spool import open_mail
from airflow_pop3_gateway.store.transfers import create_record

log = logging.getLogger(__name__)
