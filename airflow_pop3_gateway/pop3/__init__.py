"""The wire: a POP3 client that never waits by itself, and two ways to wait for it.

``commands`` the vocabulary · ``replies`` what servers say · ``inbox`` octets into answers · ``wire`` the queue of
answers · ``sasl`` logins · ``dialogues`` and ``opening`` the conversations · ``tls`` and ``link`` octets under TLS ·
``blocking`` and ``aio`` the drivers.
"""

from airflow_pop3_gateway.pop3.aio import AsyncPop3Client
from airflow_pop3_gateway.pop3.blocking import Pop3Client
from airflow_pop3_gateway.pop3.dialogues import TlsInfo
from airflow_pop3_gateway.pop3.inbox import Sink
from airflow_pop3_gateway.pop3.replies import Capabilities

__all__ = ["AsyncPop3Client", "Capabilities", "Pop3Client", "Sink", "TlsInfo"]
