"""The sensors, importable from one place."""

from airflow_pop3_gateway.sensors.acknowledgment import AcknowledgmentSensor
from airflow_pop3_gateway.sensors.mail import Pop3MailSensor

__all__ = ["AcknowledgmentSensor", "Pop3MailSensor"]
