"""The embedded S3 server keeps one object a key, creates exclusively when asked, and leaves nothing behind."""

from __future__ import annotations

import json

import boto3
import pytest
from botocore.exceptions import ClientError

from airflow_pop3_gateway.testing.object_store import S3Server


def test_an_object_can_be_created_exclusively() -> None:
    """By the standard client of the service: what exclusive writing is built on holds here too."""
    with S3Server("orders") as server:
        extra = json.loads(server.airflow_connection())["extra"]
        client = boto3.client("s3", aws_access_key_id="demo", aws_secret_access_key="demo", **extra)
        client.put_object(Bucket=server.bucket, Key="a", Body=b"first", IfNoneMatch="*")

        with pytest.raises(ClientError, match="PreconditionFailed"):
            client.put_object(Bucket=server.bucket, Key="a", Body=b"second", IfNoneMatch="*")

        assert server.fs().cat(f"{server.bucket}/a") == b"first"


def test_the_next_server_starts_with_an_empty_bucket() -> None:
    for _ in range(2):
        with S3Server("letters") as server:
            assert server.fs().ls("letters", refresh=True) == []
            server.fs().pipe("letters/a", b"left behind")
