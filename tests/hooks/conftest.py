"""Hooks read connections from the environment here."""

from support.tasks import connection

__all__ = ["connection"]
