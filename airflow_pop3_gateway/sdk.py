"""Everything a DAG author needs, importable from one place: ``from airflow_pop3_gateway.sdk import RetrieveOperator``.

Invariant: nothing is defined here; what stands here is the public interface for DAGs, and keeps its names.
"""

from airflow_pop3_gateway.assets import application, each, mailbox
from airflow_pop3_gateway.gateway.polling import resume as resume_site
from airflow_pop3_gateway.gateway.polling import suspend as suspend_site
from airflow_pop3_gateway.hooks.answers import answer_transfer
from airflow_pop3_gateway.hooks.handover import handed_on
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.hooks.retry import POP3_RETRY_POLICY
from airflow_pop3_gateway.hooks.send import send_transfer
from airflow_pop3_gateway.hooks.sites import sites_from_file, sites_from_variable, sites_of_airflow
from airflow_pop3_gateway.hooks.smtp import GatewaySmtpHook
from airflow_pop3_gateway.hooks.steps import poll_site
from airflow_pop3_gateway.hooks.store import open_store, transfers_of
from airflow_pop3_gateway.hooks.track import overdue_transfers, track_transfer
from airflow_pop3_gateway.operators import (
    AcknowledgeOperator,
    AnswerOperator,
    Application,
    ApplicationRule,
    AskForReceiptOperator,
    Choice,
    ClassifyOperator,
    HandOnOperator,
    OverdueOperator,
    PurgeOperator,
    ReceiptRequestsOperator,
    RetrieveOperator,
    SendTransferOperator,
)
from airflow_pop3_gateway.sensors import AcknowledgmentSensor, Pop3MailSensor

__all__ = [
    "POP3_RETRY_POLICY",
    "AcknowledgeOperator",
    "AcknowledgmentSensor",
    "AnswerOperator",
    "Application",
    "ApplicationRule",
    "AskForReceiptOperator",
    "Choice",
    "ClassifyOperator",
    "GatewaySmtpHook",
    "HandOnOperator",
    "OverdueOperator",
    "Pop3Hook",
    "Pop3MailSensor",
    "PurgeOperator",
    "ReceiptRequestsOperator",
    "RetrieveOperator",
    "SendTransferOperator",
    "answer_transfer",
    "application",
    "each",
    "handed_on",
    "mailbox",
    "open_store",
    "overdue_transfers",
    "poll_site",
    "resume_site",
    "send_transfer",
    "sites_from_file",
    "sites_from_variable",
    "sites_of_airflow",
    "suspend_site",
    "track_transfer",
    "transfers_of",
]
