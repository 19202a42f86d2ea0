"""How Airflow and OpenLineage call what we read and write.

Strategy: Airflow imports this for every DAG file with an asset that has a URI, also of people who have nothing to do
with mail: so it imports next to nothing. What belongs to the OpenLineage provider is looked up when that provider asks.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_pop3_gateway.uris import APPLICATION, MAILBOX, MAILBOX_ASSET, mailbox_uri

if TYPE_CHECKING:
    from airflow.sdk import Asset


def create_asset(*, pop3_conn_id: str, extra: dict[str, Any] | None = None) -> Asset:
    """An asset for a mailbox, without a watcher; DAGs take :func:`airflow_pop3_gateway.assets.mailbox`."""
    from airflow.sdk import Asset

    return Asset(name=f"{MAILBOX_ASSET}{pop3_conn_id}", uri=mailbox_uri(pop3_conn_id), extra=extra)


def to_openlineage(asset: Asset, lineage_context: Any) -> Any:
    """Airflow asks how OpenLineage calls an asset with one of our schemes."""
    return _dataset(*names(asset.uri, ""))


def operator_lineage(read: Iterable[str], written: Iterable[str], base_path: str) -> Any:
    """What a task tells OpenLineage. :param read: and ``written``: as :func:`names` takes them."""
    extractors = importlib.import_module("airflow.providers.openlineage.extractors")
    return extractors.OperatorLineage(
        inputs=[_dataset(*names(uri, base_path)) for uri in read],
        outputs=[_dataset(*names(uri, base_path)) for uri in written],
    )


def names(uri: str, base_path: str) -> tuple[str, str]:
    """Namespace and name, as OpenLineage's naming conventions have them.

    :param uri: of an asset of ours, or a key below the base path; the connection in a base path is left out.
    """
    if uri.startswith((f"{MAILBOX}://", f"{APPLICATION}://")):
        parts = urlsplit(uri)
        return f"{parts.scheme}://{parts.netloc}", parts.path.strip("/") or "mails"
    base = urlsplit(f"{base_path.rstrip('/')}/{uri}")
    if base.scheme in ("", "file", "local"):
        return "file", base.path
    return f"{base.scheme}://{base.netloc.rpartition('@')[2]}", base.path.lstrip("/")


def _dataset(namespace: str, name: str) -> Any:
    facets = importlib.import_module("airflow.providers.common.compat.openlineage.facet")
    return facets.Dataset(namespace, name)
