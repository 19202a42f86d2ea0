"""An S3 server on this machine: moto, which knows conditional writes.

It answers questions of correctness, not of speed.
"""

from __future__ import annotations

import json
import logging
from types import TracebackType
from typing import Any

import s3fs
from moto.server import ThreadedMotoServer


class S3Server:
    """Serves one empty bucket on a free port of 127.0.0.1 while its context is open.

    :param bucket: servers that are open at once need buckets of different names: their memory is the process's.
    :ivar endpoint_url: where; :ivar bucket: its name; :ivar storage_options: for fsspec and ``UPath``.
    """

    def __init__(self, bucket: str = "mail") -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.bucket = bucket
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)

    def __enter__(self) -> S3Server:
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint_url = f"http://{host}:{port}"
        self.storage_options: dict[str, Any] = {
            "key": "demo",
            "secret": "demo",
            "endpoint_url": self.endpoint_url,
        }
        self.fs().mkdir(self.bucket)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.fs().rm(self.bucket, recursive=True)  # moto's memory is the process's, not the server's
        self._server.stop()

    def fs(self) -> s3fs.S3FileSystem:
        """A file system of fsspec on this server."""
        return s3fs.S3FileSystem(**self.storage_options)

    def airflow_connection(self) -> str:
        """The JSON of an Airflow connection of type ``aws`` to this server."""
        extra = {"endpoint_url": self.endpoint_url, "region_name": "us-east-1"}
        return json.dumps({"conn_type": "aws", "login": "demo", "password": "demo", "extra": extra})
