"""Mechanisms against the examples of their standards, and the order of ``auth="auto"``."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_pop3_gateway.config import Address, RemoteSite
from airflow_pop3_gateway.errors import ConfigurationError, GatewayError, ProtocolViolation, SecurityRefused
from airflow_pop3_gateway.pop3.sasl import (
    MAX_ITERATIONS,
    MECHANISMS,
    Credentials,
    candidates,
    decoded,
    saslprep,
)

SITE = RemoteSite(name="s", address=Address("pop.example.org", 995), login="user", password="pencil")
TOKENS = dataclasses.replace(SITE, access_token="ya29.token")


def begin(word: str, **facts: object):
    conversation = MECHANISMS[word].start(Credentials(**{"login": "user", "password": "pencil", **facts}))
    return conversation, next(conversation)


def test_plain_is_the_login_and_password_between_nuls():
    assert begin("plain", login="tim", password="tanstaaftanstaaf")[1] == b"\0tim\0tanstaaftanstaaf"


def test_login_answers_two_prompts():
    conversation, _ = begin("login")
    assert conversation.send(b"Username:") == b"user"
    assert conversation.send(b"Password:") == b"pencil"


def test_cram_md5_as_in_rfc_2195():
    conversation, _ = begin("cram-md5", login="tim", password="tanstaaftanstaaf")
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    assert conversation.send(challenge) == b"tim b913a602c7eda7a495b4e6e7334d3890"


def test_xoauth2_answers_the_error_challenge_with_an_empty_line():
    conversation, first = begin("xoauth2", login="someuser@example.com", token="ya29.vF9dft4")
    assert first == b"user=someuser@example.com\1auth=Bearer ya29.vF9dft4\1\1"
    assert conversation.send(b'{"status":"401"}') == b""


def test_oauthbearer_as_in_rfc_7628():
    conversation, first = begin(
        "oauthbearer", login="user@example.com", token="vF9dft4", host="server.example.com", port=143
    )
    assert first == b"n,a=user@example.com,\1host=server.example.com\1port=143\1auth=Bearer vF9dft4\1\1"
    assert conversation.send(b'{"status":"invalid_token"}') == b"\1"


SHA_1 = {
    "nonce": "fyko+d2lbbFgONRv9qkxdawL",
    "server": b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
    "proof": b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    "final": b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
}
SHA_256 = {
    "nonce": "rOprNGfwEbeRWgbNEkqO",
    "server": b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    "proof": b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    "final": b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
}


@pytest.mark.parametrize(("word", "example"), [("scram-sha-1", SHA_1), ("scram-sha-256", SHA_256)])
def test_scram_as_in_rfc_5802_and_7677(word, example):
    conversation, first = begin(word, nonce=example["nonce"])
    assert first == b"n,,n=user,r=" + example["nonce"].encode()
    assert conversation.send(example["server"]) == example["proof"]
    assert conversation.send(example["final"]) == b""
    with pytest.raises(StopIteration):
        conversation.send(None)


def test_scram_binds_to_the_tls_channel():
    _, first = begin("scram-sha-256-plus", bindings={"tls-server-end-point": b"digest"})
    assert first.startswith(b"p=tls-server-end-point,,n=user,r=")


def test_scram_says_that_it_could_have_bound_when_the_server_did_not_offer_it():
    """``y`` lets a server notice that somebody removed ``-PLUS`` from its offer (RFC 5802 §6)."""
    assert begin("scram-sha-256", bindings={"tls-unique": b"x"})[1].startswith(b"y,,")
    assert begin("scram-sha-256", bindings={"tls-unique": b"x"}, plus_offered=True)[1].startswith(b"n,,")


def test_scram_refuses_a_server_that_does_not_know_the_password():
    conversation, _ = begin("scram-sha-256", nonce=SHA_256["nonce"])
    conversation.send(SHA_256["server"])
    with pytest.raises(SecurityRefused):
        conversation.send(b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")


@pytest.mark.parametrize("steps", [0, 1])
def test_scram_refuses_an_early_ok(steps):
    conversation, _ = begin("scram-sha-256", nonce=SHA_256["nonce"])
    for _ in range(steps):
        conversation.send(SHA_256["server"])
    with pytest.raises(ProtocolViolation):
        conversation.send(None)


def test_scram_refuses_an_ok_after_an_error():
    conversation, _ = begin("scram-sha-256", nonce=SHA_256["nonce"])
    conversation.send(SHA_256["server"])
    assert conversation.send(b"e=invalid-proof") == b""
    with pytest.raises(ProtocolViolation):
        conversation.send(None)


@pytest.mark.parametrize(
    "server",
    [
        b"",
        b"r=other,s=QSXCR+Q6sek8bf92,i=4096",
        b"r=nonce,s=QSXCR+Q6sek8bf92,i=4096",
        b"r=nonce1,s=,i=4096",
        b"r=nonce1,s=***,i=4096",
        b"r=nonce1,s=QSXCR+Q6sek8bf92,i=0",
        b"r=nonce1,s=QSXCR+Q6sek8bf92,i=many",
        b"r=nonce1,s=QSXCR+Q6sek8bf92,i=" + str(MAX_ITERATIONS + 1).encode(),
        b"r=nonce1,s=QSXCR+Q6sek8bf92,i=" + b"9" * 5000,
        b"\xff\xfe",
    ],
)
def test_scram_refuses_a_first_message_that_is_weak_or_absurd(server):
    conversation, _ = begin("scram-sha-1", nonce="nonce")
    with pytest.raises(ProtocolViolation):
        conversation.send(server)


@given(
    st.lists(st.binary(max_size=60), max_size=3),
    st.sampled_from([word for word, m in MECHANISMS.items() if m.start and not m.plus]),
)
def test_any_challenge_is_answered_or_is_one_of_our_errors(challenges, word):
    conversation, _ = begin(word)
    try:
        for challenge in challenges:
            conversation.send(challenge)
    except (GatewayError, StopIteration):
        pass


def test_challenges_that_are_not_base64_are_violations():
    assert decoded(b"PDE+") == b"<1>"
    with pytest.raises(ProtocolViolation):
        decoded(b"?? not base64")


@pytest.mark.parametrize(
    ("text", "prepared"),
    [("pencil", "pencil"), ("I\u00adX", "IX"), ("\u00aa", "a"), ("\u2168", "IX"), ("a\u00a0b", "a b")],
)
def test_saslprep_as_in_rfc_4013(text, prepared):
    assert saslprep(text) == prepared


@pytest.mark.parametrize("text", ["\u0007", "\u06271", "\ue000"])
def test_saslprep_refuses_what_rfc_4013_prohibits(text):
    with pytest.raises(ConfigurationError):
        saslprep(text)


def words(site: RemoteSite, *offered: str, **facts: bool) -> list[str]:
    given = {"user": True, "apop": False, "secured": True, "bindings": True, **facts}
    return [mechanism.word for mechanism in candidates(site, offered, **given)]


ALL = (
    "LOGIN",
    "PLAIN",
    "CRAM-MD5",
    "SCRAM-SHA-1",
    "SCRAM-SHA-256",
    "SCRAM-SHA-256-PLUS",
    "XOAUTH2",
    "OAUTHBEARER",
)


def test_auto_takes_the_strongest_first():
    assert words(SITE, *ALL)[:4] == ["scram-sha-256-plus", "scram-sha-256", "scram-sha-1", "cram-md5"]
    assert words(SITE, "PLAIN", "LOGIN") == ["plain", "basic", "login"]
    assert words(SITE) == ["basic"]


def test_auto_takes_a_token_where_the_site_has_one():
    assert words(TOKENS, *ALL) == ["oauthbearer", "xoauth2"]


def test_auto_takes_plus_only_with_a_channel_binding():
    assert words(SITE, *ALL, bindings=False)[0] == "scram-sha-256"


def test_auto_never_shows_a_secret_without_tls():
    assert words(SITE, *ALL, secured=False, bindings=False) == ["scram-sha-256", "scram-sha-1", "cram-md5"]
    assert words(SITE, secured=False, apop=True) == ["apop"]
    with pytest.raises(SecurityRefused):
        words(SITE, "PLAIN", "LOGIN", secured=False)
    with pytest.raises(SecurityRefused):
        words(TOKENS, *ALL, secured=False)


def test_auto_shows_it_where_the_site_says_plain_but_still_last():
    plain = dataclasses.replace(SITE, security="plain")
    assert words(plain, "PLAIN", "CRAM-MD5", secured=False, apop=True) == [
        "cram-md5",
        "apop",
        "plain",
        "basic",
    ]


@pytest.mark.parametrize("auth", ["basic", "plain", "login", "xoauth2", "oauthbearer"])
def test_a_mechanism_named_by_the_site_shows_no_secret_without_tls_either(auth):
    with pytest.raises(SecurityRefused):
        words(dataclasses.replace(TOKENS, auth=auth), secured=False)


def test_a_mechanism_named_by_the_site_is_the_only_one_tried():
    assert words(dataclasses.replace(SITE, auth="cram-md5"), *ALL) == ["cram-md5"]


def test_plus_named_by_the_site_needs_a_channel_binding():
    with pytest.raises(SecurityRefused):
        words(dataclasses.replace(SITE, auth="scram-sha-256-plus"), *ALL, bindings=False)


@pytest.mark.parametrize("site", [dataclasses.replace(SITE, auth="xoauth2"), TOKENS])
def test_a_credential_that_no_mechanism_takes_is_a_configuration_error(site):
    with pytest.raises(ConfigurationError):
        words(site, "PLAIN")


def test_secrets_are_not_in_the_repr_of_credentials():
    assert "pencil" not in repr(Credentials("user", "pencil", "token"))
