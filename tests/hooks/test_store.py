"""The base path, from the argument, the configuration or AIRFLOW_HOME."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.hooks.store import base_path_in_force, open_store, transfers_of
from airflow_pop3_gateway.store import layout


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


def test_an_unknown_kind_of_url_is_refused_with_the_remedy() -> None:
    with pytest.raises(ConfigurationError, match="s3://connection_id@bucket/prefix"):
        open_store("gopher://x/y")


def test_the_result_of_a_classification_leads_to_its_lines(tmp_path: Path) -> None:
    store = open_store(tmp_path.as_uri())
    batch = "20261123T080000000Z-00000000"
    line = {"type": "XFER", "files": [{"path": "files/MAIL/a.csv"}]}
    store.put(layout.transfers("orders", batch), json.dumps(line).encode())
    classified = {"site": "orders", "batches": [batch], "base_path": tmp_path.as_uri()}
    assert list(transfers_of(classified)) == [
        {
            "type": "XFER",
            "files": [{"path": "files/MAIL/a.csv", "url": f"{tmp_path.as_uri()}/files/MAIL/a.csv"}],
        }
    ]
