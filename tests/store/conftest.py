"""Every store that carries the journal, under one fixture."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from upath import UPath

from airflow_pop3_gateway.store import Store
from airflow_pop3_gateway.testing.object_store import S3Server


@pytest.fixture(params=["file", "s3"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A fresh, empty store: a local folder, then a prefix of an S3 bucket."""
    if request.param == "file":
        return Store.at(tmp_path)
    server: S3Server = request.getfixturevalue("s3_server")
    return Store.at(UPath(f"s3://{server.bucket}/{uuid.uuid4().hex}", **server.storage_options))
