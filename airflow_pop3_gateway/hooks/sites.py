"""Which sites a DAG polls: from a Variable, a file, or every connection of type ``pop3`` there is.

Strategy: each function returns connection ids for ``.expand(pop3_conn_id=…)``, each id once, in order. A task of
Airflow 3 may read a connection but not list them, so the list comes from the environment, which has them by name, and
from Airflow's own REST API.

Invariant: ids only, never a secret; what is no list of ids is refused with the place named.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import httpx
from airflow.sdk import BaseHook, Connection, Variable
from airflow.sdk.exceptions import AirflowNotFoundException

from airflow_pop3_gateway.errors import ConfigurationError, ConnectionLost
from airflow_pop3_gateway.hooks.connection import missing
from airflow_pop3_gateway.hooks.store import place_at
from airflow_pop3_gateway.store.writers import mapped

_ENVIRONMENT = "AIRFLOW_CONN_"
_PAGE = 100
_TIMEOUT = 30.0


def sites_from_variable(key: str, default: Sequence[str] | None = None) -> list[str]:
    """The sites an Airflow Variable lists as JSON: ``["orders", "invoices"]``.

    :param default: for a Variable that is not there.
    :raises ConfigurationError: when it is not there, or not a list of connection ids.
    """
    text = Variable.get(key, default=None)
    if text is None and default is None:
        raise ConfigurationError(f"There is no Variable {key!r}; list connection ids there.", field=key)
    return _sites(f"Variable {key!r}", default if text is None else _read(text))


def sites_from_file(url: str) -> list[str]:
    """The sites a file lists, on any storage Airflow knows: a JSON list, or one id a line, ``#`` begins a comment.

    :param url: as ``s3://connection_id@bucket/sites.json`` or ``file:///…``.
    :raises ConfigurationError: when it is not there, or not a list of connection ids.
    :raises StoreUnavailable: when the storage cannot be reached.
    """
    place = place_at(url, "url")
    with mapped(url):
        try:
            text = place.read_text()
        except FileNotFoundError:
            raise ConfigurationError(f"There is no file {url!r}.", field="url") from None
        except UnicodeDecodeError:
            raise ConfigurationError(f"{url} is no text in UTF-8.", field="url") from None
    return _sites(url, _read(text))


def sites_of_airflow(api_conn_id: str | None = None) -> list[str]:
    """Every connection of type ``pop3``: of the environment, and of Airflow's database where the API may be asked.

    :param api_conn_id: connection of type ``http`` to Airflow's API server, with a login that may read connections.
    :raises ConfigurationError: when the API refuses the login, or it is another one.
    :raises ConnectionMissing: Airflow cannot give the connection. :raises ConnectionLost: the API cannot be reached.
    """
    found = set(_of_environment())
    if api_conn_id is not None:
        try:
            api = BaseHook.get_connection(api_conn_id)
        except AirflowNotFoundException:
            raise missing(api_conn_id, "http", "api_conn_id") from None
        found.update(_of_api(api))
    return sorted(found)


def _of_environment() -> Iterator[str]:
    for name in os.environ:
        if name.startswith(_ENVIRONMENT):
            conn_id = name.removeprefix(_ENVIRONMENT).lower()
            try:
                connection = BaseHook.get_connection(conn_id)
            except (AirflowNotFoundException, ValueError):
                continue  # somebody else's connection that does not parse is not ours to report
            if connection.conn_type == "pop3":
                yield conn_id


def _of_api(api: Connection) -> Iterator[str]:
    base = api.host or "localhost"
    if "://" not in base:
        base = f"{api.schema or 'http'}://{base}"
    if api.port:
        base += f":{api.port}"
    login = {"username": api.login or "", "password": api.password or ""}
    try:
        with httpx.Client(base_url=base, timeout=_TIMEOUT) as client:
            token = _answer(client.post("/auth/token", json=login), api)["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            offset, total = 0, 1
            while offset < total:
                asked: dict[str, int | str] = {"limit": _PAGE, "offset": offset, "order_by": "connection_id"}
                page = _answer(client.get("/api/v2/connections", params=asked), api)
                for each in page["connections"]:
                    if each["conn_type"] == "pop3":
                        yield each["connection_id"]
                offset, total = offset + _PAGE, page["total_entries"]
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise ConfigurationError(f"host of connection {api.conn_id!r} is no address.", field="host") from None
    except (KeyError, TypeError, UnicodeError, json.JSONDecodeError):
        raise ConfigurationError(
            f"What connection {api.conn_id!r} leads to does not answer as Airflow's API does.",
            field="api_conn_id",
        ) from None
    except httpx.HTTPError as error:
        # The error knows the request, and the request the password.
        raise ConnectionLost(f"Airflow's API at {base} cannot be reached: {error}") from None


def _answer(response: httpx.Response, api: Connection) -> Any:
    if response.status_code in (401, 403):
        raise ConfigurationError(
            f"Airflow's API refused ({response.status_code}) the login of connection {api.conn_id!r}; it needs a user "
            "who may read connections.",
            field="api_conn_id",
        )
    response.raise_for_status()
    return response.json()


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        lines = (line.partition("#")[0].strip() for line in text.splitlines())
        return [line for line in lines if line]


def _sites(place: str, listed: Any) -> list[str]:
    if not isinstance(listed, Iterable) or isinstance(listed, str | dict):
        listed = [listed]
    ids = list(listed)
    for each in ids:
        if not isinstance(each, str) or not each.strip() or any(map(str.isspace, each)):
            raise ConfigurationError(
                f'{place}: {each!r} is not a connection id; list them as ["orders", "invoices"].',
                field="sites",
            )
    return list(dict.fromkeys(ids))
