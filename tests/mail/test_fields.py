"""Fields we write: what the standard library's parser reads is what was meant, and no argument adds a field."""

from __future__ import annotations

import email
import email.policy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.mail.fields import (
    MOST_RECIPIENTS,
    Mailbox,
    address_list,
    further,
    mailboxes,
    parameter,
    unstructured,
)

PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), min_size=1)


def read(name: str, body: str) -> Any:
    """The field as Python's parser has it."""
    mail = email.message_from_bytes(f"{name}: {body}\r\n\r\n".encode(), policy=email.policy.default)
    assert mail.keys() == [name]
    return mail[name]


@pytest.mark.parametrize(
    ("text", "address", "name"),
    [
        ("a@x.example", "a@x.example", ""),
        (" <a@x.example> ", "a@x.example", ""),
        ("Jane Doe <a@x.example>", "a@x.example", "Jane Doe"),
        ('"Doe, \\"J\\"" <a@x.example>', "a@x.example", 'Doe, "J"'),
        ("J\u00f6rg <a@x.example>", "a@x.example", "J\u00f6rg"),
        ('"a b"@x.example', '"a b"@x.example', ""),
        ("a..b@x.example", "a..b@x.example", ""),
        ("a@[192.0.2.1]", "a@[192.0.2.1]", ""),
        ("a@stra\u00dfe.example", "a@xn--strae-oqa.example", ""),
        ("jos\u00e9@x.example", "jos\u00e9@x.example", ""),
    ],
)
def test_an_address_with_and_without_a_name(text: str, address: str, name: str) -> None:
    assert Mailbox.parse(text, "to") == Mailbox(address, name)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "@x.example",
        "a@",
        "a b@x.example",
        "a@x.example\r\nBcc: b@x.example",
        "Name\r\nBcc: b@x.example <a@x.example>",
        "a\x00b@x.example",
        "a@x.example> SIZE=1",
        "a@b@x.example",
        "x" * 65 + "@x.example",
        "a@" + "x" * 256,
        "a@\u00e9" + "x" * 70 + ".example",
        "n" * 3000 + " <a@x.example>",
    ],
)
def test_what_is_no_address_is_refused_by_the_name_of_its_argument(text: str) -> None:
    with pytest.raises(ConfigurationError, match="cc:"):
        Mailbox.parse(text, "cc")


def test_a_list_of_addresses_is_a_list_or_a_text_with_commas() -> None:
    expected = (Mailbox("a@x.example"), Mailbox("b@x.example", "B, C"), Mailbox("c@x.example"))
    assert mailboxes('a@x.example, "B, C" <b@x.example>; c@x.example,', "to") == expected
    assert mailboxes(["a@x.example", '"B, C" <b@x.example>', "c@x.example"], "to") == expected
    assert mailboxes(None, "to") == ()


def test_too_many_recipients_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="1001 addresses"):
        mailboxes(["a@x.example"] * (MOST_RECIPIENTS + 1), "to")


@given(st.lists(PRINTABLE.map(lambda name: Mailbox("a@x.example", name)), min_size=1, max_size=5))
def test_names_are_read_as_they_were_written(boxes: list[Mailbox]) -> None:
    body = address_list(boxes)
    assert max(map(len, body.split("\r\n"))) < 998
    found = read("To", body).addresses
    assert [one.addr_spec for one in found] == [box.address for box in boxes]
    for one, box in zip(found, boxes, strict=True):
        assert "".join(one.display_name.split()) == "".join(box.name.split())


@given(st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), max_size=500))
def test_a_text_is_one_field_of_short_lines_and_is_read_as_it_was_written(text: str) -> None:
    name, body = unstructured("Subject", text)
    assert body.isascii()
    assert all(len(line) <= 78 for line in body.split("\r\n"))
    assert "".join(str(read(name, body)).split()) == "".join(text.split())


def test_a_word_that_cannot_be_folded_and_one_that_looks_encoded_survive() -> None:
    for text in ("x" * 1500, "=?utf-8?q?no?="):
        assert str(read(*unstructured("Subject", text))) == text


@pytest.mark.parametrize("text", ["a\r\nBcc: b@x.example", "a\nb", "a\x00b", "x" * 2001])
def test_a_control_character_never_gets_into_a_field(text: str) -> None:
    with pytest.raises(ConfigurationError, match="Subject"):
        unstructured("Subject", text)


def test_further_fields_are_those_the_gateway_does_not_write() -> None:
    assert further([("X-Priority", "1"), ("Reply-To", "a@x.example")]) == [
        ("X-Priority", "1"),
        ("Reply-To", "a@x.example"),
    ]
    for name in ("Bcc", "content-type", "MESSAGE-ID", "Disposition-Notification-To", "X Y", "X:", ""):
        with pytest.raises(ConfigurationError, match="headers"):
            further([(name, "x")])


@given(
    st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=255).map(str.strip).filter(bool)
)
def test_a_file_name_is_read_as_it_was_written(name: str) -> None:
    body = "attachment" + parameter("filename", name)
    assert body.isascii()
    assert all(len(line) < 100 for line in body.split("\r\n"))
    assert read("Content-Disposition", body).params["filename"] == name
