"""What is written where, and in which order: the storage layout is a public contract (``docs/reference/layout.md``)."""

from airflow_pop3_gateway.store.objects import Store
from airflow_pop3_gateway.store.writers import Writer

__all__ = ["Store", "Writer"]
