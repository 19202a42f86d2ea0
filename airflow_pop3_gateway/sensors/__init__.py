"""The sensor, importable from one place."""

from airflow_pop3_gateway.sensors.mail import Pop3MailSensor

__all__ = ["Pop3MailSensor"]
