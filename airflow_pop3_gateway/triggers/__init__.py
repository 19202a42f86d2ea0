"""The triggers: what waits for mail and for acknowledgments in the triggerer, without a worker."""

from airflow_pop3_gateway.triggers.acknowledgment import AcknowledgmentTrigger
from airflow_pop3_gateway.triggers.mail import Pop3MailTrigger
from airflow_pop3_gateway.triggers.mailbox import Pop3MailboxTrigger

__all__ = ["AcknowledgmentTrigger", "Pop3MailTrigger", "Pop3MailboxTrigger"]
