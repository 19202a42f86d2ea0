"""The use cases: the order of their steps is the guarantee. Everything is given; nothing here knows Airflow."""

from airflow_pop3_gateway.gateway.acknowledge import SendRaw, acknowledge
from airflow_pop3_gateway.gateway.answers import answer
from airflow_pop3_gateway.gateway.classify import classify
from airflow_pop3_gateway.gateway.examine import examine
from airflow_pop3_gateway.gateway.polling import hold, poll, resume, status, suspend
from airflow_pop3_gateway.gateway.purge import purge
from airflow_pop3_gateway.gateway.quarantine import dismiss, quarantined, release, replay
from airflow_pop3_gateway.gateway.retrieve import retrieve

__all__ = [
    "SendRaw",
    "acknowledge",
    "answer",
    "classify",
    "dismiss",
    "examine",
    "hold",
    "poll",
    "purge",
    "quarantined",
    "release",
    "replay",
    "resume",
    "retrieve",
    "status",
    "suspend",
]
