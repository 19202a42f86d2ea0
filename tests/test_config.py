"""A value that was constructed is valid; a wrong one says which field, and what to write there."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from airflow_pop3_gateway.config import (
    Address,
    AddressPatterns,
    Application,
    Limits,
    LocalSite,
    RemoteSite,
    wildcards,
)
from airflow_pop3_gateway.errors import ConfigurationError

SITE = RemoteSite(
    name="edi", address=Address("pop.example", 995), login="u", password="hush", access_token="whisper"
)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("pop.example", "pop.example", 995),
        ("pop.example:110", "pop.example", 110),
        (" 192.0.2.1:1 ", "192.0.2.1", 1),
        ("[2001:db8::1]:110", "2001:db8::1", 110),
        ("[2001:db8::1]", "2001:db8::1", 995),
        ("2001:db8::1", "2001:db8::1", 995),
    ],
)
def test_an_address_is_a_host_with_or_without_a_port(text: str, host: str, port: int) -> None:
    address = Address.parse(text, 995)
    assert (address.host, address.port) == (host, port)
    assert Address.parse(str(address), 1) == address


@pytest.mark.parametrize("text", ["", "a b", "host:x", "host:0", "host:65536", "[::1", "[::1]x", "host:１"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Address.parse(text, 995)


@pytest.mark.parametrize(
    "wrong",
    [
        {"security": "ssl"},
        {"auth": "ntlm"},
        {"retention": "leave"},
        {"error_mail_disposal": "undefined"},
        {"acknowledgment_option": "ack_unknown"},
        {"acknowledge_after": "later"},
        {"receipts_per_hour": 0},
        {"receipt_retry_count_max": -1},
        {"receipt_sender": "nobody"},
        {"receipt_sender": "a@b>\r\nRCPT TO:<c@d"},
        {"multiple_attachments": "first"},
        {"max_messages": 0},
        {"max_message_bytes": -1},
        {"retention_days": -0.5},
        {"reply_timeout": 0},
        {"retry_count_max": True},
        {"retry_delay_max": 1},
        {"subject_delimiter": ""},
        {"alternates": (Address("a", 1),) * 4},
        {"name": ""},
    ],
)
def test_a_wrong_value_names_its_field(wrong: dict[str, Any]) -> None:
    (field,) = wrong
    with pytest.raises(ConfigurationError) as told:
        dataclasses.replace(SITE, **wrong)
    assert told.value.facts["field"] == field


@pytest.mark.parametrize(
    ("text", "within", "without"),
    [
        ("", [], ["a@b"]),
        (" , ", [], ["", "a@b"]),
        ("a@b.example", ["a@b.example", "A@B.Example"], ["xa@b.example", "a@b-example"]),
        ("*@b.example, c?@d", ["x@b.example", "c1@d"], ["x@c.b.example", "c@d"]),
        ("[ab]@c+.example", ["[ab]@c+.example"], ["a@c.example"]),
    ],
)
def test_address_patterns_know_two_wildcards(text: str, within: list[str], without: list[str]) -> None:
    patterns = AddressPatterns(text)
    assert bool(patterns) == bool(within)
    assert all(address in patterns for address in within)
    assert not any(address in patterns for address in without)


@pytest.mark.parametrize(
    ("pattern", "text", "fits"),
    [
        ("", "", True),
        ("*", "any\nthing", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*ab*ba*", "xabay", False),
        ("*ab*ba*", "xab baY", True),
        ("*?b*2?", "1b 2b 21", True),
        ("**1*12**", "1.112", True),
        ("Ä*[x]", "ä [X]", True),
    ],
)
def test_wildcards(pattern: str, text: str, fits: bool) -> None:
    assert (wildcards(pattern).fullmatch(text) is not None) is fits


def test_what_a_stranger_writes_makes_no_pattern_slow() -> None:
    """With a pattern that gives places up again, this takes years."""
    assert wildcards("*order*no*of*2026*x").fullmatch("order no of 2026 " * 20_000) is None


@pytest.mark.parametrize("name", ["", "a/b", "..", "a\nb", "a" * 101])
def test_an_application_is_a_plain_word(name: str) -> None:
    for make in (Application, lambda name: dataclasses.replace(SITE, application=name)):
        with pytest.raises(ConfigurationError, match="plain word") as caught:
            make(name)
        assert caught.value.field == "application"


@pytest.mark.parametrize(
    ("name", "allowed", "refused"),
    [
        ("depth", 1, 0),
        ("name_bytes", 20, 19),
        ("header_bytes", 4 << 20, (4 << 20) + 1),
        ("header_count", 20_000, 20_001),
    ],
)
def test_a_limit_that_would_not_hold_is_refused(name: str, allowed: int, refused: int) -> None:
    Limits(**{name: allowed})
    with pytest.raises(ConfigurationError, match=rf"limits\.{name}"):
        Limits(**{name: refused})


def test_secrets_stay_out_of_repr() -> None:
    assert "hush" not in repr(SITE) and "whisper" not in repr(SITE)


def test_the_main_address_comes_before_its_alternates() -> None:
    site = dataclasses.replace(SITE, alternates=(Address("b", 1),))
    assert [address.host for address in site.addresses] == ["pop.example", "b"]


@pytest.mark.parametrize(
    ("login", "local", "address", "domain"),
    [
        ("edi", LocalSite(), "", "localhost"),
        ("edi", LocalSite(mail_address="a@b.example"), "a@b.example", "b.example"),
        ("edi@us.example", LocalSite(), "edi@us.example", "us.example"),
        ("edi@us.example", LocalSite(host_name="h"), "edi@us.example", "h"),
        ("recent:edi@us.example", LocalSite(), "edi@us.example", "us.example"),
        ("edi@us.example\\shared", LocalSite(), "", "localhost"),
        ("edi*master@us.example", LocalSite(), "", "localhost"),
    ],
)
def test_our_address_is_what_the_connection_says_and_our_identifiers_end_in_its_domain(
    login: str, local: LocalSite, address: str, domain: str
) -> None:
    site = dataclasses.replace(SITE, login=login, local_site=local)
    assert (site.own_address, site.domain) == (address, domain)
    assert bool(site.receipts_need) == (not address)
    assert not dataclasses.replace(site, acknowledgment_option="not_to_ack").receipts_need


def test_an_address_of_ours_is_one_address() -> None:
    with pytest.raises(ConfigurationError, match="as orders@") as caught:
        LocalSite(mail_address="Orders <orders@us.example>")
    assert caught.value.field == "mail_address"
