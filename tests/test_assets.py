"""Assets are made by one function each, wherever they are needed, and have URIs that say what they are."""

from __future__ import annotations

import subprocess
import sys

import pytest
from airflow.sdk import DAG, Asset, AssetAlias, PartitionedAssetTimetable
from airflow.serialization.encoders import encode_trigger

from airflow_pop3_gateway.assets import APPLICATIONS, application, each, mailbox
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.hooks import lineage
from airflow_pop3_gateway.triggers import Pop3MailboxTrigger


def test_every_call_makes_the_same_mailbox_with_the_same_watcher() -> None:
    """Airflow takes the watchers of the file it read last: with another one there, the watcher would come and go."""
    first, second = mailbox("edi_inbox"), mailbox("edi_inbox")
    assert (first.name, first.uri) == ("pop3-mailbox-edi_inbox", "pop3://edi_inbox")
    assert (first.name, first.uri) == (second.name, second.uri)
    (one,), (other,) = first.watchers, second.watchers
    assert one.name == other.name == "pop3-mailbox-edi_inbox"
    assert encode_trigger(one.trigger) == encode_trigger(other.trigger)
    assert isinstance(one.trigger, Pop3MailboxTrigger)


def test_one_line_schedules_a_dag_on_mail() -> None:
    dag = DAG("on_mail", schedule=[mailbox("edi_inbox")])
    assert [asset.uri for asset in dag.timetable.asset_condition.objects] == ["pop3://edi_inbox"]


def test_an_application_has_an_asset_for_all_and_one_for_each() -> None:
    assert application("INVOICES").uri == "pop3-application://INVOICES"
    assert each("INVOICES").uri == "pop3-application://INVOICES/each"
    assert isinstance(APPLICATIONS, AssetAlias)
    PartitionedAssetTimetable(assets=each("INVOICES"))


@pytest.mark.parametrize("name", ["with space", "a/b", "ü", "a:b@c", "%41"])
def test_any_id_of_a_connection_becomes_a_uri_that_is_its_own_normal_form(name: str) -> None:
    asset = mailbox(name)
    assert Asset(name="again", uri=asset.uri).uri == asset.uri
    assert mailbox("other").uri != asset.uri


def test_two_spellings_are_one_uri() -> None:
    assert Asset(name="x", uri="POP3://edi%5Finbox/#fragment").uri == mailbox("edi_inbox").uri


@pytest.mark.parametrize(
    "uri",
    [
        "pop3://",
        "pop3://pop.example.com:995",
        "pop3://user@pop.example.com",
        "pop3://edi_inbox/folder",
        "pop3://edi_inbox?a=b",
        "pop3://edi_inbox/each",
        "pop3-application://",
        "pop3-application://INVOICES/2026",
    ],
)
def test_a_uri_that_says_more_or_less_than_a_name_is_refused_when_the_dag_is_parsed(uri: str) -> None:
    with pytest.raises(ValueError, match="must be pop3"):
        Asset(name="x", uri=uri)


@pytest.mark.parametrize("wrong", ["", "  ", None, 7])
def test_a_mailbox_needs_the_id_of_a_connection(wrong: object) -> None:
    with pytest.raises(ConfigurationError, match="id of a connection"):
        mailbox(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("make", [application, each])
def test_an_application_needs_a_name(make: object) -> None:
    with pytest.raises(ConfigurationError, match="application name"):
        make("../x")  # type: ignore[operator]


def test_the_factory_makes_the_same_asset_without_a_watcher() -> None:
    asset = lineage.create_asset(pop3_conn_id="edi_inbox")
    assert (asset.name, asset.uri) == (mailbox("edi_inbox").name, mailbox("edi_inbox").uri)
    assert asset.watchers == []


def test_files_with_other_peoples_assets_do_not_load_the_package() -> None:
    """Airflow imports every provider's URI handlers as soon as one asset has a URI."""
    program = (
        "import sys; from airflow_pop3_gateway.hooks import lineage; from airflow_pop3_gateway import uris; "
        "print([name for name in sys.modules if name.startswith('airflow')])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert eval(loaded) == [
        "airflow_pop3_gateway",
        "airflow_pop3_gateway.hooks",
        "airflow_pop3_gateway.uris",
        "airflow_pop3_gateway.hooks.lineage",
    ]


@pytest.mark.parametrize(
    ("uri", "base_path", "expected"),
    [
        ("pop3://edi_inbox", "", ("pop3://edi_inbox", "mails")),
        ("pop3-application://EDI/each", "", ("pop3-application://EDI", "each")),
        ("files/EDI", "s3://conn@bucket/gate/", ("s3://bucket", "gate/files/EDI")),
        ("files/EDI", "file:///data/gate", ("file", "/data/gate/files/EDI")),
    ],
)
def test_lineage_names_places_and_no_connection(uri: str, base_path: str, expected: tuple[str, str]) -> None:
    assert lineage.names(uri, base_path) == expected
