"""The base path becomes a :class:`~airflow_pop3_gateway.store.Store`, and references become what they refer to.

Strategy: an argument wins over ``[pop3_gateway] base_path``, which wins over a folder below ``AIRFLOW_HOME``. Paths are
``ObjectStoragePath`` URLs, so credentials come from Airflow connections: ``s3://connection_id@bucket/prefix``.

Invariant: what travels between tasks is the base path as text and keys below it, never an open store.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from airflow.sdk import BaseHook, ObjectStoragePath
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowNotFoundException
from airflow.sdk.io import attach

from airflow_pop3_gateway.errors import ConfigurationError, ConnectionMissing, StoreUnavailable
from airflow_pop3_gateway.records import Classified
from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.store.transfers import read_lines

_connections: dict[str, str] = {}
"""Connections as they were when Airflow made their file systems, which it keeps as long as the process lives."""
_kept: dict[str, Store] = {}
_opening: dict[str, threading.Lock] = {}


def base_path_in_force(base_path: object = None) -> str:
    """The base path as a URL: the argument, else the configuration, else a folder below ``AIRFLOW_HOME``.

    :param base_path: text, or the argument of a task, which is text when the task runs.
    """
    chosen = base_path or conf.get("pop3_gateway", "base_path", fallback=None)
    if chosen:
        return str(chosen)
    home = os.environ.get("AIRFLOW_HOME") or "~/airflow"
    return (Path(os.path.expandvars(home)).expanduser().absolute() / "pop3_gateway").as_uri()


def open_store(base_path: str | None = None) -> Store:
    """Open and try out the store at a base path.

    :raises ConfigurationError: when the URL or its connection is not usable.
    :raises StoreError: when the store cannot be reached, or cannot carry the journal.
    """
    url = base_path_in_force(base_path)
    _check(url)
    try:
        path = ObjectStoragePath(url)
        _ = path.fs
    except (ValueError, ImportError) as error:
        raise _unusable(url, str(error)) from None
    except (AttributeError, TypeError, KeyError) as error:
        raise _unusable(url, f"its connection makes no sense ({error})") from error
    except Exception as error:  # each provider has its own, and some log in here
        words = " ".join(str(error).split())
        raise StoreUnavailable(f"base path {url!r} cannot be used: {words}") from error
    try:
        return Store.at(path)
    except StoreUnavailable as error:
        cause = error.__cause__ or error
        why = getattr(cause, "strerror", None) or cause
        raise StoreUnavailable(
            f"base path {url!r} cannot be used: {why}. The gateway must be able to write, read, list and delete there."
        ) from cause


def place_at(url: str | ObjectStoragePath, argument: str) -> ObjectStoragePath:
    """A file on any storage Airflow knows.

    :raises ConfigurationError: naming the argument: there is no such storage, or the text is no URL.
    """
    try:
        return ObjectStoragePath(url)
    except ValueError as error:
        raise ConfigurationError(f"{argument}: {str(url)!r} is no place: {error}.", field=argument) from None


def kept_store(base_path: str) -> Store:
    """The store at a base path, opened once for all who look again and again in this process: opening it is a write.

    Whoever has trouble with it says so to :func:`forget_store`. Errors as of :func:`open_store`.
    """
    with _opening.setdefault(base_path, threading.Lock()):
        if base_path not in _kept:
            _kept[base_path] = open_store(base_path)
        return _kept[base_path]


def forget_store(base_path: str) -> None:
    """Open the store anew when it is asked for next: perhaps its connection was changed."""
    _kept.pop(base_path, None)


def _check(url: str) -> None:
    """Refuse what fsspec would take for a place nobody meant."""
    parts = urlsplit(url)
    conn_id, _, host = parts.netloc.rpartition("@")
    if ":" in conn_id:
        raise _unusable(f"{parts.scheme}://…@{host}{parts.path}", "no password belongs there")
    if parts.scheme in ("", "file", "local"):
        if host or not parts.path.startswith("/"):
            raise _unusable(url, "a folder must be an absolute path, the same for every worker")
    elif not host:
        raise _unusable(url, "it names no bucket")
    if conn_id:
        try:
            connection = BaseHook.get_connection(conn_id).get_uri()
        except AirflowNotFoundException:
            why = f"there is no connection {conn_id!r}, or Airflow cannot read it now"
            raise _unusable(url, why, ConnectionMissing) from None
        if _connections.setdefault(conn_id, connection) != connection:
            _connections[conn_id] = connection
            vars(attach(parts.scheme, conn_id)).pop("fs", None)


def _unusable(url: str, why: str, kind: type[ConfigurationError] = ConfigurationError) -> ConfigurationError:
    return kind(
        f"base path {url!r} cannot be opened: {why}. Use a folder as file:///… or S3 as s3://connection_id@bucket/prefix.",
        field="base_path",
    )


def transfers_of(classified: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The lines behind the result of a :class:`ClassifyOperator`: one dictionary a mail.

    Each is the transfer record without its evidence (``docs/reference/layout.md``), with the ``base_path`` and the full
    URL of each file added as ``url``, so that a task can go on with ``ObjectStoragePath(line["files"][0]["url"])``.

    :param classified: what the task returned, by XCom.
    """
    store = open_store(classified["base_path"])
    result = Classified.from_json(classified)
    for batch in result.batches:
        for line in read_lines(store, result.site, batch) or ():
            yield with_urls(line, classified["base_path"])


def with_urls(line: dict[str, Any], base_path: str) -> dict[str, Any]:
    """The line with the full URL of each of its files added as ``url``, and where it lies as ``base_path``."""
    line["base_path"] = base_path
    for file in line["files"]:
        file["url"] = f"{base_path.rstrip('/')}/{file['path']}"
    return line
