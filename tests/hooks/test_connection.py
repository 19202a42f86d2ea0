"""A connection of type ``pop3`` becomes a site, or an error that names the field and the remedy."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args

import pytest
from airflow.sdk import Connection

from airflow_pop3_gateway import config
from airflow_pop3_gateway.config import Address, Limits, LocalSite, RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.get_provider_info import CONNECTION_FIELDS
from airflow_pop3_gateway.hooks.connection import site_from


def pop3(**fields: Any) -> Connection:
    extra = fields.pop("extra", None)
    defaults = {"conn_id": "orders", "conn_type": "pop3", "host": "pop.example.com", "login": "orders"}
    return Connection(
        **{**defaults, "password": "geheim", **fields},
        extra=extra if isinstance(extra, str) else json.dumps(extra or {}),
    )


def test_host_and_login_are_enough() -> None:
    expected = RemoteSite(
        name="orders", address=Address("pop.example.com", 995), login="orders", password="geheim"
    )
    assert site_from(pop3()) == expected


@pytest.mark.parametrize(("security", "port"), [("tls", 995), ("starttls", 110), ("plain", 110)])
def test_each_security_has_its_default_port(security: str, port: int) -> None:
    assert site_from(pop3(extra={"security": security})).address.port == port


def test_a_port_that_is_given_wins() -> None:
    assert site_from(pop3(port=1995)).address == Address("pop.example.com", 1995)


def test_every_option_reaches_the_site() -> None:
    site = site_from(
        pop3(
            extra={
                "security": "starttls",
                "auth": "cram-md5",
                "alternates": "b.example.com, c.example.com:1110,[2001:db8::1]:111",
                "retention": "keep",
                "max_messages": 10,
                "extract_file": False,
                "mail_address": "us@example.com",
                "host_name": "gw.example.com",
                "pipelining": "never",
                "limits": {"depth": 7},
                "reply_timeout": 5,
                "trusted_partners": "*@bank.example",
            }
        )
    )
    assert site.alternates == (
        Address("b.example.com", 110),
        Address("c.example.com", 1110),
        Address("2001:db8::1", 111),
    )
    assert site.local_site == LocalSite(mail_address="us@example.com", host_name="gw.example.com")
    assert (site.auth, site.retention, site.max_messages) == ("cram-md5", "keep", 10)
    assert (site.extract_file, site.pipelining, site.limits) == (False, False, Limits(depth=7))
    assert site.reply_timeout == 5.0
    assert "a@bank.example" in site.trusted_partners


def test_a_connection_as_uri_brings_text_and_means_the_same() -> None:
    uri = "pop3://orders:geheim@pop.example.com:995/?security=tls&max_messages=10&extract_file=false&retention_days=1.5"
    site = site_from(Connection.from_uri(uri, conn_id="orders"))
    assert (site.max_messages, site.extract_file, site.retention_days) == (10, False, 1.5)


def test_what_the_form_leaves_empty_is_not_set() -> None:
    assert site_from(pop3(extra={"max_messages": None, "ca_file": "", "application": None})) == site_from(
        pop3()
    )


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"conn_id": "orders", "extra": {"retry_delay_max": 1}}, "retry_delay_max", "at least 10"),
        ({"host": ""}, "host", "name of the POP3 server"),
        ({"host": None}, "host", "name of the POP3 server"),
        ({"login": None}, "login", "account's name"),
        ({"conn_type": "imap"}, "conn_type", "type pop3"),
        ({"port": 70000}, "port", "70000"),
        ({"extra": {"security": "ssl"}}, "security", "tls, starttls, plain"),
        ({"extra": {"securty": "plain"}}, "securty", "'security'"),
        ({"extra": {"zzz": 1}}, "zzz", "options are"),
        ({"extra": {"max_messages": "many"}}, "max_messages", "whole number"),
        ({"extra": {"max_messages": 1.5}}, "max_messages", "whole number"),
        ({"extra": {"max_messages": 10**400}}, "max_messages", "whole number"),
        ({"extra": {"max_messages": True}}, "max_messages", "whole number"),
        ({"extra": {"max_messages": 0}}, "max_messages", "at least 1"),
        ({"extra": {"reply_timeout": "nan"}}, "reply_timeout", "number"),
        ({"extra": {"extract_file": "perhaps"}}, "extract_file", "true or false"),
        ({"extra": {"auth": 7}}, "auth", "text"),
        ({"extra": {"alternates": "a,b,c,d"}}, "alternates", "at most 3"),
        ({"extra": {"alternates": "b:pop"}}, "alternates", "not a number"),
        ({"extra": {"polling_windows": "workdays"}}, "polling_windows", "mon-fri 06:00-20:00"),
        ({"extra": {"limits": {"dept": 3}}}, "limits", "depth"),
        ({"extra": {"limits": "[]"}}, "limits", "JSON object"),
        ({"extra": {"application": "../x"}}, "application", "folder"),
        ({"extra": "not json"}, "extra", "JSON"),
        ({"extra": "[1]"}, "extra", "JSON object"),
    ],
)
def test_what_makes_no_sense_is_named(fields: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=f"Connection 'orders', {field}: ") as caught:
        site_from(pop3(**fields))
    assert words in str(caught.value)


def test_no_error_shows_a_secret() -> None:
    with pytest.raises(ConfigurationError) as caught:
        site_from(pop3(extra={"access_token": ["ya29.secret"]}))
    assert "ya29" not in str(caught.value)
    assert "access_token" in str(caught.value)


def test_the_form_has_the_words_and_the_defaults_of_the_site() -> None:
    """One vocabulary: enumerations and defaults of the form are those of ``config``."""
    defaults = {field.name: field.default for field in dataclasses.fields(RemoteSite)}
    words = {"security": "Security", "auth": "Auth", "retention": "Retention"} | {
        name: name.title().replace("_", "") for name in ("multiple_attachments", "error_mail_disposal")
    }
    words |= {"acknowledgment_option": "AcknowledgmentOption", "acknowledge_after": "AcknowledgeAfter"}
    for name, declared in CONNECTION_FIELDS.items():
        schema = declared["schema"]
        if "enum" in schema and name != "pipelining":
            assert tuple(schema["enum"]) == get_args(getattr(config, words[name])), name
        if "default" in schema and name != "pipelining":
            assert schema["default"] == defaults[name], name
    told_apart = {"name", "address", "login", "password", "local_site", "smime", "token_source"}
    assert set(defaults) - told_apart <= set(CONNECTION_FIELDS)
