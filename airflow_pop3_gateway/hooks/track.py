"""How transfers stand, for a task of one's own.

Invariant: nothing is changed but marks of transfers that no longer wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.gateway.clock import utc_now
from airflow_pop3_gateway.gateway.track import Tracked, tracked, waiting
from airflow_pop3_gateway.hooks.outcome import told_to_airflow
from airflow_pop3_gateway.hooks.store import base_path_in_force, open_store


def track_transfer(sent: Mapping[str, Any] | str, *, base_path: str | None = None) -> dict[str, Any]:
    """How a transfer stands now.

    :param sent: as :func:`~airflow_pop3_gateway.hooks.send.send_transfer` returned it, or its key.
    :param base_path: where it lies; default: as ``sent`` says, else ``[pop3_gateway] base_path``.
    :returns: :class:`~airflow_pop3_gateway.gateway.track.Tracked` as a dictionary, with ``base_path``.
    :raises AirflowFailException: when there is no such transfer.
    """
    with told_to_airflow():
        key, place = place_of(sent, base_path)
        return reference(tracked(open_store(place), key, utc_now()), place)


def overdue_transfers(base_path: str | None = None, most: int = 1000) -> list[dict[str, Any]]:
    """The transfers that still wait and whose deadline has passed, as :func:`track_transfer` gives each.

    :param most: so many at once.
    """
    with told_to_airflow():
        place = base_path_in_force(base_path)
        found = waiting(open_store(place), utc_now(), only_overdue=True)
        return [reference(one, place) for one in islice(found, most)]


def reference(found: Tracked, place: str) -> dict[str, Any]:
    """What travels by XCom."""
    return {**found.to_json(), "base_path": place}


def place_of(sent: Any, base_path: object = None) -> tuple[str, str]:
    """The key and the base path of a transfer.

    :raises ConfigurationError: when it is neither a key nor what sending returned.
    """
    if isinstance(sent, Mapping) and isinstance(sent.get("key"), str):
        return sent["key"], base_path_in_force(base_path or sent.get("base_path"))
    if isinstance(sent, str) and sent.isalnum():
        return sent, base_path_in_force(base_path)
    raise ConfigurationError(f"sent is not what sending a transfer returns: {sent!r:.200}", field="sent")
