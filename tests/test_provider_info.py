"""The visiting card is valid, and Airflow reads it as it was meant."""

from __future__ import annotations

import ast
import importlib
import importlib.resources
import inspect
import json
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

import airflow_pop3_gateway
from airflow_pop3_gateway import get_provider_info as card
from airflow_pop3_gateway.get_provider_info import CONNECTION_FIELDS, get_provider_info
from airflow_pop3_gateway.hooks.pop3 import Pop3Hook
from airflow_pop3_gateway.operators.site import SiteOperator


@pytest.fixture(scope="module")
def manager() -> Iterator[ProvidersManager]:
    yield ProvidersManager()


@pytest.mark.parametrize("schema", ["provider_info.schema.json", "provider.yaml.schema.json"])
def test_it_is_valid_against_airflows_own_schemas(schema: str) -> None:
    definition = json.loads(importlib.resources.files("airflow").joinpath(schema).read_text())
    if schema == "provider.yaml.schema.json":
        definition = definition["properties"]["connection-types"]
        jsonschema.validate(get_provider_info()["connection-types"], definition)
    else:
        jsonschema.validate(get_provider_info(), definition)


@pytest.mark.parametrize(
    ("room", "suffix"),
    [("hooks", "Hook"), ("operators", "Operator"), ("sensors", "Sensor"), ("triggers", "Trigger")],
)
def test_it_lists_every_hook_operator_sensor_and_trigger(room: str, suffix: str) -> None:
    folder = Path(airflow_pop3_gateway.__file__).parent / room
    modules = [
        importlib.import_module(f"airflow_pop3_gateway.{room}.{path.stem}")
        for path in folder.glob("[a-z]*.py")
    ]
    public = {
        module.__name__
        for module in modules
        for name, item in vars(module).items()
        if name.endswith(suffix) and item.__module__ == module.__name__ and item is not SiteOperator
    }
    assert public == set(get_provider_info()[room][0]["python-modules"])


def test_reading_it_imports_nothing_of_airflow() -> None:
    tree = ast.parse(inspect.getsource(card))
    imports = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imports == {"__future__", "typing"}
    assert not any(isinstance(node, ast.Import) for node in ast.walk(tree))


def test_airflow_knows_the_provider_and_its_connection_type(manager: ProvidersManager) -> None:
    assert "airflow-pop3-gateway" in manager.providers
    hook = ProvidersManagerTaskRuntime().hooks["pop3"]
    assert hook is not None
    assert (hook.hook_name, hook.connection_id_attribute_name) == ("POP3", "pop3_conn_id")
    assert hook.hook_class_name == f"{Pop3Hook.__module__}.{Pop3Hook.__name__}"


def test_the_form_has_every_field_and_hides_secrets(manager: ProvidersManager) -> None:
    widgets = manager.connection_form_widgets
    for name in CONNECTION_FIELDS:
        secret = name in ("access_token", "client_secret", "refresh_token", "smime_passphrase")
        assert widgets[f"extra__pop3__{name}"].is_sensitive == secret
    assert manager.field_behaviours["pop3"]["hidden_fields"] == ["schema", "extra"]


def test_airflow_knows_the_option_and_the_command(manager: ProvidersManager) -> None:
    configs = dict(manager.provider_configs)
    assert "base_path" in configs["airflow-pop3-gateway"]["pop3_gateway"]["options"]
    assert "airflow-pop3-gateway" in manager.cli_command_providers
