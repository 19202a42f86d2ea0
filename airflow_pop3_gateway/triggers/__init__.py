"""The triggers: what waits for mail in the triggerer, on its event loop, without a worker."""

from airflow_pop3_gateway.triggers.mail import Pop3MailTrigger
from airflow_pop3_gateway.triggers.mailbox import Pop3MailboxTrigger

__all__ = ["Pop3MailTrigger", "Pop3MailboxTrigger"]
