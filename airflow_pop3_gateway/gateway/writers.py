"""Where a deposit writes when a mail is only considered, or was begun before.

Invariant: nothing is ever written twice.
"""

from __future__ import annotations

from airflow_pop3_gateway.errors import AlreadyStored
from airflow_pop3_gateway.gateway.applications import Nowhere
from airflow_pop3_gateway.store import Store, Writer
from airflow_pop3_gateway.store.groups import Group


class Nothing(Store):
    """A store that keeps nothing, for asking what would be."""

    def __init__(self) -> None:
        super().__init__(None, "", "")

    def create(self, key: str, group: Group | None = None) -> Writer:
        """A writer that forgets."""
        return _Forgotten(key)

    def find(self, key: str) -> bytes | None:
        """Nothing is there."""
        return None

    def delete(self, key: str) -> None:
        """Nothing is there."""


class _Forgotten(Nowhere):
    """Of :class:`Nothing`."""

    def __init__(self, key: str) -> None:
        self.key = key

    def commit(self) -> str:
        return self.key


class Repeatable:
    """A writer for a key that only this mail uses: what a run before the crash published there is the same."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self.key = writer.key
        self.write = writer.write
        self.discard = writer.discard

    def commit(self) -> str:
        """Publish, or find it published. :returns: the key."""
        try:
            return self._writer.commit()
        except AlreadyStored:
            return self.key
