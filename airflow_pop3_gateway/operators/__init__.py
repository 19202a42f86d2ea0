"""The operators, importable from one place: parameters in, one call down, a small reference out."""

from airflow_pop3_gateway.config import Application
from airflow_pop3_gateway.gateway.applications import ApplicationRule, Choice
from airflow_pop3_gateway.operators.acknowledge import AcknowledgeOperator
from airflow_pop3_gateway.operators.answer import AnswerOperator
from airflow_pop3_gateway.operators.ask import AskForReceiptOperator, ReceiptRequestsOperator
from airflow_pop3_gateway.operators.classify import ClassifyOperator
from airflow_pop3_gateway.operators.hand_on import HandOnOperator
from airflow_pop3_gateway.operators.purge import PurgeOperator
from airflow_pop3_gateway.operators.retrieve import RetrieveOperator
from airflow_pop3_gateway.operators.send import SendTransferOperator
from airflow_pop3_gateway.operators.track import OverdueOperator

__all__ = [
    "AcknowledgeOperator",
    "AnswerOperator",
    "Application",
    "ApplicationRule",
    "AskForReceiptOperator",
    "Choice",
    "ClassifyOperator",
    "HandOnOperator",
    "OverdueOperator",
    "PurgeOperator",
    "ReceiptRequestsOperator",
    "RetrieveOperator",
    "SendTransferOperator",
]
