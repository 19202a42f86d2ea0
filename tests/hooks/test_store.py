"""The base path, from the argument, the configuration or AIRFLOW_HOME."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_pop3_gateway.errors import ConfigurationError, StoreUnavailable
from airflow_pop3_gateway.hooks.store import base_path_in_force, open_store, transfers_of
from airflow_pop3_gateway.store import layout
from airflow_pop3_gateway.testing.object_store import S3Server


def test_the_argument_wins_over_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__POP3_GATEWAY__BASE_PATH", "file:///configured")
    assert base_path_in_force("file:///given") == "file:///given"
    assert base_path_in_force() == "file:///configured"


def test_without_either_it_is_a_folder_below_airflow_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AIRFLOW__POP3_GATEWAY__BASE_PATH", raising=False)
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    assert base_path_in_force() == f"file://{tmp_path}/pop3_gateway"


@pytest.mark.parametrize("write", ["as_uri", "__str__"])
def test_a_folder_as_url_or_as_path_carries_a_store(tmp_path: Path, write: str) -> None:
    store = open_store(getattr(tmp_path / "base", write)())
    store.put("records/a.json", b"{}")
    assert (tmp_path / "base/records/a.json").read_bytes() == b"{}"


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("gopher://x/y", "gopher"),
        ("relative/folder", "must be an absolute path"),
        ("file://data/gateway", "must be an absolute path"),
        ("s3:///prefix", "no bucket"),
        ("s3://conn@/prefix", "no bucket"),
        ("s3://nobody@bucket/prefix", "no connection 'nobody'"),
    ],
)
def test_a_place_that_nobody_can_mean_is_refused_with_the_remedy(
    url: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match=r"s3://connection_id@bucket/prefix") as caught:
        open_store(url)
    assert why in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_password_in_a_base_path_is_refused_and_not_repeated() -> None:
    """fsspec would take it for some stores; here it would go into records, logs and XComs."""
    with pytest.raises(ConfigurationError, match="no password") as caught:
        open_store("s3://AKIA:hush@bucket/prefix")
    assert "hush" not in str(caught.value)


def test_a_place_that_cannot_be_written_is_named_and_not_what_was_tried_there(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    url = (tmp_path / "file").as_uri()
    with pytest.raises(
        StoreUnavailable, match=re.escape(f"base path {url!r} cannot be used: Not a dir")
    ) as caught:
        open_store(url)
    assert ".unpublished" not in str(caught.value)


def test_a_connection_that_airflow_does_not_give_is_perhaps_there_later() -> None:
    with pytest.raises(ConfigurationError, match="cannot read it now") as caught:
        open_store("s3://nobody@bucket/prefix")
    assert caught.value.retriable


@pytest.mark.parametrize(
    ("extra", "kind"),
    [
        (7, ConfigurationError),
        ({"config_kwargs": "x"}, ConfigurationError),
        ({"config_kwargs": {"nope": 1}}, ConfigurationError),
        ({"role_arn": "x"}, StoreUnavailable),
    ],
)
def test_what_a_provider_makes_of_a_connection_is_our_typed_error(
    extra: object, kind: type[Exception], connection: Callable[..., str]
) -> None:
    """Its own would be tried again without a word about the base path."""
    connection("odd_s3", conn_type="aws", login="demo", password="demo", extra=extra)
    with pytest.raises(kind, match="base path 's3://odd_s3@bucket/x'"):
        open_store("s3://odd_s3@bucket/x")


def test_a_connection_that_was_corrected_counts_for_a_process_that_goes_on(
    s3_server: S3Server, connection: Callable[..., str]
) -> None:
    fields = json.loads(s3_server.airflow_connection())
    nowhere = {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"max_attempts": 0}}}
    connection("corrected_s3", **{**fields, "extra": {**fields["extra"], **nowhere}})
    url = f"s3://corrected_s3@{s3_server.bucket}/corrected"
    with pytest.raises(StoreUnavailable):
        open_store(url)
    connection("corrected_s3", **fields)
    open_store(url).put("records/a.json", b"{}")


def test_s3_is_reached_through_the_connection_in_the_url(
    s3_server: S3Server, connection: Callable[..., str]
) -> None:
    connection("my_s3", **json.loads(s3_server.airflow_connection()))
    store = open_store(f"s3://my_s3@{s3_server.bucket}/hooks")
    store.put("records/a.json", b"{}")
    assert s3_server.fs().cat(f"{s3_server.bucket}/hooks/records/a.json") == b"{}"


def test_the_result_of_a_classification_leads_to_its_lines(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    batch = "20261123T080000000Z-00000000"
    line = {"type": "XFER", "files": [{"path": "files/MAIL/a.csv"}]}
    store.put(layout.transfers("orders", batch), json.dumps(line).encode())
    classified = {"site": "orders", "batches": [batch], "base_path": tmp_path.as_uri()}
    assert list(transfers_of(classified)) == [
        {
            "type": "XFER",
            "base_path": tmp_path.as_uri(),
            "files": [{"path": "files/MAIL/a.csv", "url": f"{tmp_path.as_uri()}/files/MAIL/a.csv"}],
        }
    ]
