"""How a session opens: TLS or nothing, logins by mechanism, addresses in turn. Both drivers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import os
import re
import socket
import ssl
import threading

import pytest
from cryptography.hazmat.primitives import serialization
from support.identities import identity

from airflow_pop3_gateway.config import Address
from airflow_pop3_gateway.errors import (
    AuthenticationFailed,
    CommandRefused,
    ConfigurationError,
    ConnectionLost,
    LoginDelayed,
    MailboxInUse,
    ProtocolViolation,
    SecurityRefused,
    ServerBroken,
    ServerUnavailable,
    TimedOut,
    TlsFailed,
)
from airflow_pop3_gateway.pop3 import AsyncPop3Client
from airflow_pop3_gateway.pop3.opening import delays


def b64(text: bytes) -> bytes:
    return base64.b64encode(text)


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# --- TLS -------------------------------------------------------------------------------------------------------------


def test_implicit_tls_is_verified_and_told(serve, connect, server_context, ca_file):
    def script(peer):
        peer.start_tls(server_context)
        peer.log_in()
        peer.answer(b"QUIT", b"+OK\r\n")

    client = connect(serve(script).site(security="tls", ca_file=ca_file))
    assert client.tls.version in ("TLSv1.2", "TLSv1.3") and client.tls.cipher
    assert len(client.tls.sha256) == 64 and client.tls.not_after > "2026"
    client.quit()


def test_a_certificate_nobody_vouches_for_is_refused(serve, connect, server_context):
    with pytest.raises(TlsFailed, match="not trusted"):
        connect(serve(lambda peer: peer.start_tls(server_context)).site(security="tls"))


def test_a_certificate_for_another_name_is_refused(serve, connect, server_context, ca_file):
    site = serve(lambda peer: peer.start_tls(server_context)).site(
        security="tls", ca_file=ca_file, server_hostname="pop.example.org"
    )
    with pytest.raises(TlsFailed, match=r"pop\.example\.org'\. Set ca_file"):
        connect(site)


@pytest.mark.parametrize("security", ["tls", "starttls"])
def test_the_server_hostname_is_what_is_asked_for_and_checked(serve, connect, authority, ca_file, security):
    """Asked for by SNI: a server with many names chooses its certificate by it (RFC 6066 §3)."""
    asked = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    context.sni_callback = lambda connection, name, context: asked.append(name)

    def script(peer):
        if security == "starttls":
            before_stls(peer)
            peer.answer(b"STLS", b"+OK\r\n")
        peer.start_tls(context)
        if security == "tls":
            peer.say(b"+OK ready\r\n")
        peer.answer(b"CAPA", b"+OK\r\nUSER\r\n.\r\n")

    site = serve(script).site(security=security, ca_file=ca_file, server_hostname="localhost")
    connect(site, log_in=False)
    assert asked == ["localhost"]


def test_a_pinned_certificate_replaces_the_authorities(serve, connect, server_context, ca_file):
    def script(peer):
        peer.start_tls(server_context)
        peer.log_in()

    server = serve(script, script, script)
    pin = connect(server.site(security="tls", ca_file=ca_file)).tls.sha256
    colons = ":".join(pin[i : i + 2] for i in range(0, 64, 2)).upper()
    assert connect(server.site(security="tls", fingerprint=colons)).tls.sha256 == pin
    with pytest.raises(TlsFailed, match="fingerprint"):
        connect(server.site(security="tls", ca_file=ca_file, fingerprint="00" * 32))
    assert b"".join(server.peers[2].heard) == b""


def test_a_pinned_certificate_may_be_signed_in_a_way_nobody_here_knows(serve, connect, tmp_path):
    """As new algorithms come: OpenSSL has them before the library that reads certificates does."""
    own = identity("pop.example")
    sha256_with_rsa, unknown = (bytes.fromhex(f"06092a864886f70d0101{last}") for last in ("0b", "63"))
    der = own.certificate.public_bytes(serialization.Encoding.DER).replace(sha256_with_rsa, unknown)
    (tmp_path / "server.pem").write_bytes(own.key_pem() + ssl.DER_cert_to_PEM_cert(der).encode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(tmp_path / "server.pem")

    def script(peer):
        peer.start_tls(context)
        peer.log_in()

    pin = hashlib.sha256(der).hexdigest()
    assert connect(serve(script).site(security="tls", fingerprint=pin)).tls.subject == "CN=pop.example"


def test_a_client_certificate_is_shown(serve, connect, authority, ca_file, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    mine = tmp_path / "client.pem"
    authority.issue_cert("box@example.org").private_key_and_cert_chain_pem.write_to_path(str(mine))

    def script(peer):
        peer.start_tls(context)
        assert peer.connection.getpeercert()
        peer.log_in()

    server = serve(script, lambda peer: peer.start_tls(context))
    connect(server.site(security="tls", ca_file=ca_file, client_certificate=str(mine)))
    with pytest.raises((TlsFailed, ConnectionLost)):
        connect(server.site(security="tls", ca_file=ca_file))


@pytest.mark.parametrize(
    "options",
    [
        {"ca_file": "/nowhere/ca.pem"},
        {"client_certificate": "/nowhere/client.pem"},
        {"fingerprint": "not hexadecimal"},
        {"server_hostname": ".example.org"},
    ],
)
def test_a_file_or_name_of_ours_that_cannot_be_used_is_a_configuration_error(serve, connect, options):
    with pytest.raises(ConfigurationError) as caught:
        connect(serve(lambda peer: peer.silence()).site(security="tls", **options))
    assert caught.value.field == next(iter(options))


def test_a_server_without_tls_on_the_tls_port_is_found_out(serve, connect, ca_file):
    def script(peer):
        peer.say(b"+OK plain as day\r\n")
        peer.silence()

    with pytest.raises(TlsFailed, match="What came is no TLS: set security=starttls, or another port"):
        connect(serve(script).site(security="tls", ca_file=ca_file))


def test_a_server_that_waits_for_tls_is_found_out(serve, connect):
    with pytest.raises(TimedOut, match="Perhaps it waits for TLS: then security is tls"):
        connect(serve(lambda peer: peer.silence()).site(security="plain", reply_timeout=0.2))


def test_a_server_that_hangs_up_in_the_handshake_may_be_tried_again(serve, connect):
    with pytest.raises(ConnectionLost) as caught:
        connect(serve(lambda peer: peer.connection.recv(1)).site(security="tls"))
    assert caught.value.retriable


def alert(number: int) -> bytes:
    """A fatal alert as a server says it before a key is agreed on (RFC 8446 §6)."""
    return b"\x15\x03\x03\x00\x02\x02" + bytes([number])


@pytest.mark.parametrize(
    ("said", "error"),
    [(alert(80), ConnectionLost), (alert(40), TlsFailed), (alert(70), TlsFailed)],
    ids=["internal error", "handshake failure", "protocol version"],
)
def test_a_server_that_has_trouble_of_its_own_in_the_handshake_may_be_tried_again(
    serve, connect, said, error
):
    def script(peer):
        peer.connection.recv(65536)
        peer.say(said)
        peer.silence()

    with pytest.raises(error, match="alert"):
        connect(serve(script).site(security="tls"))


def test_a_stream_that_is_damaged_after_the_handshake_is_a_lost_connection(
    serve, connect, server_context, ca_file
):
    def script(peer):
        plain = socket.socket(fileno=os.dup(peer.connection.fileno()))
        peer.start_tls(server_context)
        plain.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        plain.close()
        peer.silence()

    with pytest.raises(ConnectionLost, match="TLS with"):
        connect(serve(script).site(security="tls", ca_file=ca_file))


def test_a_handshake_has_a_deadline_even_if_octets_trickle(serve, connect, ca_file):
    def script(peer):
        peer.say(b"\x16\x03\x03\x40\x00")
        peer.connection.settimeout(0.05)
        peer.connection.recv(100_000)
        while True:
            peer.say(b"x")
            try:
                if not peer.connection.recv(100):
                    return
            except TimeoutError:
                pass

    with pytest.raises((TimedOut, TlsFailed)):
        connect(serve(script).site(security="tls", ca_file=ca_file, handshake_timeout=0.4))


# --- STLS ------------------------------------------------------------------------------------------------------------


def before_stls(peer, capabilities=b"STLS\r\nUSER\r\n"):
    peer.say(b"+OK ready\r\n")
    peer.answer(b"CAPA", b"+OK\r\n" + capabilities + b".\r\n")


def test_after_stls_the_capabilities_are_asked_again_and_those_from_before_forgotten(
    serve, connect, server_context, ca_file
):
    """Whoever sits in the middle writes what comes in the clear: here a mechanism of his choice (RFC 2595 §4)."""

    def script(peer):
        before_stls(peer, b"STLS\r\nSASL LOGIN\r\n")
        peer.answer(b"STLS", b"+OK\r\n")
        peer.start_tls(server_context)
        peer.answer(b"CAPA", b"+OK\r\nSASL PLAIN\r\n.\r\n")
        peer.answer(b"AUTH PLAIN " + b64(b"\0box\0secret"), b"+OK\r\n")
        peer.answer(b"CAPA", b"+OK\r\nUIDL\r\n.\r\n")

    client = connect(serve(script).site(security="starttls", ca_file=ca_file))
    assert "UIDL" in client.capabilities and client.tls is not None


def test_what_was_said_before_stls_is_forgotten_though_nothing_is_said_behind_it(
    serve, connect, server_context, ca_file
):
    def script(peer):
        before_stls(peer, b"STLS\r\nSASL LOGIN\r\n")
        peer.answer(b"STLS", b"+OK\r\n")
        peer.start_tls(server_context)
        peer.answer(b"CAPA", b"-ERR what?\r\n")
        peer.answer(b"USER box", b"+OK\r\n")
        peer.answer(b"PASS secret", b"+OK\r\n")
        peer.answer(b"CAPA", b"-ERR what?\r\n")

    assert not connect(serve(script).site(security="starttls", ca_file=ca_file)).capabilities.known


@pytest.mark.parametrize("offered", [b"USER\r\nSASL PLAIN\r\n", b"SASL CRAM-MD5 SCRAM-SHA-256\r\n"])
def test_without_stls_on_offer_nothing_secret_is_said(serve, connect, offered):
    """Not even what would protect the password: the mails behind it would go in the clear."""

    def script(peer):
        before_stls(peer, offered)
        assert peer.hear() == b""

    with pytest.raises(SecurityRefused):
        connect(serve(script).site(security="starttls"))


def test_with_stls_refused_nothing_secret_is_said(serve, connect):
    def script(peer):
        before_stls(peer)
        peer.answer(b"STLS", b"-ERR not today\r\n")
        assert peer.hear() == b""

    with pytest.raises(SecurityRefused, match="not today"):
        connect(serve(script).site(security="starttls"))


def test_a_server_without_capa_is_asked_for_stls_all_the_same(serve, connect, server_context, ca_file):
    def script(peer):
        peer.say(b"+OK ready\r\n")
        peer.answer(b"CAPA", b"-ERR what?\r\n")
        peer.answer(b"STLS", b"+OK\r\n")
        peer.start_tls(server_context)
        peer.answer(b"CAPA", b"-ERR what?\r\n")
        peer.answer(b"USER box", b"+OK\r\n")
        peer.answer(b"PASS secret", b"+OK\r\n")
        peer.answer(b"CAPA", b"-ERR what?\r\n")

    connect(serve(script).site(security="starttls", ca_file=ca_file))


def test_octets_slipped_in_before_the_handshake_are_a_violation(serve, connect, ca_file):
    """Said in the clear, they would be read as if they had come protected."""

    def script(peer):
        before_stls(peer)
        peer.answer(b"STLS", b"+OK\r\n+OK I am the injected answer to your CAPA\r\n.\r\n")
        peer.silence()

    server = serve(script)
    with pytest.raises(ProtocolViolation):
        connect(server.site(security="starttls", ca_file=ca_file))
    assert server.peers[0].heard == [b"CAPA", b"STLS"]


# --- login -----------------------------------------------------------------------------------------------------------


def greet(peer, capabilities=b"USER\r\n", greeting=b"+OK ready\r\n"):
    peer.say(greeting)
    peer.answer(b"CAPA", b"+OK\r\n" + capabilities + b".\r\n")


def welcome(peer):
    peer.answer(b"CAPA", b"+OK\r\nUIDL\r\n.\r\n")


def test_apop_sends_a_digest_of_the_greeting(serve, connect):
    stamp = b"<1896.697170952@dbc.mtview.ca.us>"

    def script(peer):
        greet(peer, greeting=b"+OK POP3 server ready " + stamp + b"\r\n")
        peer.answer(b"APOP box " + hashlib.md5(stamp + b"secret").hexdigest().encode(), b"+OK\r\n")
        welcome(peer)

    connect(serve(script).site())


def test_apop_that_is_offered_and_unknown_gives_way_to_the_next(serve, connect):
    def script(peer):
        greet(peer, greeting=b"+OK <1@host>\r\n")
        peer.hear()
        peer.say(b"-ERR unrecognized command\r\n")
        peer.answer(b"USER box", b"+OK\r\n")
        peer.answer(b"PASS secret", b"+OK\r\n")
        welcome(peer)

    connect(serve(script).site())


def test_apop_asked_for_and_not_offered_sends_nothing(serve, connect):
    def script(peer):
        greet(peer)
        assert peer.hear() == b""

    with pytest.raises(SecurityRefused):
        connect(serve(script).site(auth="apop"))


def test_a_wrong_password_is_tried_once(serve, connect):
    """A second mechanism would be a second wrong password: that is how accounts get locked."""

    def script(peer):
        greet(peer, b"SASL CRAM-MD5 PLAIN\r\nUSER\r\n")
        peer.answer(b"AUTH CRAM-MD5", b"+ " + b64(b"<1@host>") + b"\r\n")
        peer.hear(b64(b"box " + hmac.new(b"secret", b"<1@host>", "md5").hexdigest().encode()))
        peer.say(b"-ERR [AUTH] Authentication failed\r\n")
        assert peer.hear() == b""

    with pytest.raises(AuthenticationFailed) as caught:
        connect(serve(script).site(retry_count_max=3))
    assert not caught.value.retriable and "secret" not in str(caught.value)


def test_login_in_two_prompts(serve, connect):
    def script(peer):
        greet(peer)
        peer.answer(b"AUTH LOGIN", b"+ VXNlcm5hbWU6\r\n")
        peer.answer(b64(b"box"), b"+ UGFzc3dvcmQ6\r\n")
        peer.answer(b64(b"secret"), b"+OK\r\n")
        welcome(peer)

    connect(serve(script).site(auth="login"))


def test_a_long_initial_response_goes_in_a_line_of_its_own(serve, connect):
    password = "p" * 250

    def script(peer):
        greet(peer)
        peer.answer(b"AUTH PLAIN", b"+ \r\n")
        peer.answer(b64(b"\0box\0" + password.encode()), b"+OK\r\n")
        welcome(peer)

    connect(serve(script).site(auth="plain", password=password))


def xoauth2(token: bytes) -> bytes:
    return b64(b"user=box\1auth=Bearer " + token + b"\1\1")


def test_xoauth2_goes_in_two_lines_as_microsoft_wants_it(serve, connect):
    def script(peer):
        greet(peer, b"SASL PLAIN XOAUTH2\r\n")
        peer.answer(b"AUTH XOAUTH2", b"+ \r\n")
        peer.answer(xoauth2(b"token"), b"+OK User successfully authenticated.\r\n")
        welcome(peer)

    connect(serve(script).site(access_token="token"))


def test_xoauth2_goes_in_one_line_where_two_are_refused(serve, connect):
    def script(peer):
        greet(peer, b"SASL XOAUTH2\r\n")
        peer.answer(b"AUTH XOAUTH2", b"-ERR malformed command\r\n")
        peer.answer(b"AUTH XOAUTH2 " + xoauth2(b"token"), b"+OK\r\n")
        welcome(peer)

    connect(serve(script).site(access_token="token"))


@pytest.mark.parametrize(("mechanism", "answer"), [("XOAUTH2", b""), ("OAUTHBEARER", b"AQ==")])
def test_the_error_challenge_of_a_bad_token_is_answered(serve, connect, mechanism, answer):
    def script(peer):
        greet(peer, b"SASL " + mechanism.encode() + b"\r\n")
        if mechanism == "XOAUTH2":
            peer.answer(b"AUTH XOAUTH2", b"+ \r\n")
        peer.hear()
        peer.say(b"+ " + b64(b'{"status":"400","schemes":"Bearer"}') + b"\r\n")
        peer.answer(answer, b"-ERR [AUTH] Username and password not accepted.\r\n")

    with pytest.raises(AuthenticationFailed) as caught:
        connect(serve(script).site(access_token="ya29.secret"))
    assert "ya29" not in repr(caught.value)


def test_apop_that_is_offered_and_refused_names_the_remedy(serve, connect):
    """A timestamp in the greeting is no proof; trying the next mechanism could lock the account."""

    def script(peer):
        peer.say(b"+OK ready <1.2@pop.example>\r\n")
        peer.answer(b"CAPA", b"-ERR\r\n")
        peer.hear()
        peer.say(b"-ERR [AUTH] Bad login\r\n")

    with pytest.raises(AuthenticationFailed, match="set auth to 'basic'"):
        connect(serve(script).site(auth="auto"))


def test_an_ipv6_address_is_an_address(serve, connect):
    def script(peer):
        peer.log_in()
        peer.answer(b"QUIT", b"+OK\r\n")

    server = serve(script, host="::1")
    assert str(server.site().address) == f"[::1]:{server.port}"
    connect(server.site()).quit()


@pytest.mark.parametrize("name", ["::1", "::2"])
def test_a_certificate_is_checked_for_an_ipv6_address(serve, connect, authority, ca_file, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)

    def script(peer):
        peer.start_tls(context)
        peer.log_in()

    site = serve(script, host="::1").site(security="tls", ca_file=ca_file)
    with contextlib.nullcontext() if name == "::1" else pytest.raises(TlsFailed):
        connect(site)


def test_a_challenge_too_many_is_cancelled(serve, connect):
    def script(peer):
        greet(peer)
        peer.hear()
        peer.say(b"+ " + b64(b"one more?") + b"\r\n")
        peer.answer(b"*", b"-ERR cancelled\r\n")

    with pytest.raises(AuthenticationFailed):
        connect(serve(script).site(auth="plain"))


def scram_server(peer, digest, password, binding=None):
    """An independent SCRAM server, straight from RFC 5802 §3."""
    name, salt, rounds = peer.hear().split(b" ")[1], b"salt", 4096
    initial = base64.b64decode(peer.heard[-1].split(b" ")[2])
    gs2, bare = initial[: initial.index(b"n=box")], initial[initial.index(b"n=box") :]
    nonce = bare.split(b"r=")[1] + b"SERVER"
    first = b"r=" + nonce + b",s=" + b64(salt) + b",i=%d" % rounds
    peer.say(b"+ " + b64(first) + b"\r\n")
    final = base64.b64decode(peer.hear())
    proofless, _, proof = final.rpartition(b",p=")
    assert proofless == b"c=" + b64(gs2 + (binding or b"")) + b",r=" + nonce
    salted = hashlib.pbkdf2_hmac(digest, password, salt, rounds)
    client_key = hmac.digest(salted, b"Client Key", digest)
    message = bare + b"," + first + b"," + proofless
    signature = hmac.digest(hashlib.new(digest, client_key).digest(), message, digest)
    if bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True)) != client_key:
        peer.say(b"-ERR [AUTH] no\r\n")
        return name
    server = hmac.digest(hmac.digest(salted, b"Server Key", digest), message, digest)
    peer.say(b"+ " + b64(b"v=" + b64(server)) + b"\r\n")
    peer.answer(b"", b"+OK\r\n")
    return name


@pytest.mark.parametrize(("mechanism", "digest"), [(b"SCRAM-SHA-1", "sha1"), (b"SCRAM-SHA-256", "sha256")])
def test_scram_convinces_a_server_and_is_convinced(serve, connect, mechanism, digest):
    def script(peer):
        greet(peer, b"SASL " + mechanism + b" PLAIN\r\n")
        assert scram_server(peer, digest, b"secret") == mechanism
        welcome(peer)

    connect(serve(script).site())


def test_scram_with_a_wrong_password_is_refused(serve, connect):
    def script(peer):
        greet(peer, b"SASL SCRAM-SHA-256\r\n")
        scram_server(peer, "sha256", b"other")

    with pytest.raises(AuthenticationFailed):
        connect(serve(script).site())


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_scram_plus_is_bound_to_the_channel_it_runs_on(serve, connect, authority, ca_file, version):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    certificate = authority.issue_cert("127.0.0.1")
    certificate.configure_cert(context)
    der = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())

    def script(peer):
        peer.start_tls(context)
        greet(peer, b"SASL SCRAM-SHA-256 SCRAM-SHA-256-PLUS\r\n")
        if version == "TLSv1_2":
            binding = peer.connection.get_channel_binding("tls-unique")
        elif "tls-exporter" in ssl.CHANNEL_BINDING_TYPES:
            binding = peer.connection.get_channel_binding("tls-exporter")
        else:
            binding = hashlib.sha256(der).digest()
        assert scram_server(peer, "sha256", b"secret", binding) == b"SCRAM-SHA-256-PLUS"
        welcome(peer)

    connect(serve(script).site(security="tls", ca_file=ca_file))


def test_utf8_is_switched_on_before_the_login_where_it_is_offered(serve, connect):
    """Else the server rewrites mails that have UTF-8 headers (RFC 6856 §2, RFC 6857)."""

    def script(peer):
        greet(peer, b"USER\r\nUTF8 USER\r\n")
        peer.answer(b"UTF8", b"-ERR but I said it\r\n")
        peer.answer("USER jürgen".encode(), b"+OK\r\n")
        peer.answer(b"PASS secret", b"+OK\r\n")
        welcome(peer)

    connect(serve(script).site(login="jürgen"))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"-ERR [IN-USE] Maildrop locked", MailboxInUse),
        (b"-ERR [LOGIN-DELAY] minimum time between logins is 15 minutes", LoginDelayed),
        (b"-ERR [SYS/TEMP] internal server error", ServerUnavailable),
        (b"-ERR [SYS/PERM] account unusable", ServerBroken),
        (b"-ERR [AUTH] no", AuthenticationFailed),
        (b"-ERR unable to lock mailbox", MailboxInUse),
        (b"-ERR no", AuthenticationFailed),
    ],
)
def test_a_refused_login_says_no_or_later(serve, connect, reply, kind):
    def script(peer):
        greet(peer, b"USER\r\nLOGIN-DELAY 900\r\n")
        peer.answer(b"USER box", b"+OK\r\n")
        peer.answer(b"PASS secret", reply + b"\r\n")
        assert peer.hear() == b""

    with pytest.raises(kind) as caught:
        connect(serve(script).site())
    assert kind is not LoginDelayed or caught.value.delay == 900
    assert re.match(r"127\.0\.0\.1:\d+: PASS refused: ", str(caught.value))
    assert str(caught.value).endswith(" Correct login and password.") is (kind is AuthenticationFailed)


HANDS_ON = b"+OK Dovecot (Debian) ready.\r\n"


def test_a_login_takes_one_round_trip_where_the_server_pipelines(serve, connect):
    """Name, password, and the capabilities behind the login."""

    def script(peer):
        greet(peer, b"USER\r\nPIPELINING\r\n", HANDS_ON)
        peer.hear(b"USER box")
        peer.hear(b"PASS secret")
        peer.answer(b"CAPA", b"+OK\r\n+OK\r\n+OK\r\nUIDL\r\n.\r\n")
        assert peer.hear() == b""

    client = connect(serve(script).site())
    assert "UIDL" in client.capabilities and "PIPELINING" not in client.capabilities
    client.close()


@pytest.mark.parametrize("listings", [False, True])
def test_nothing_goes_behind_the_password_where_it_may_be_lost(serve, connect, listings):
    """Courier's login announces PIPELINING, and throws away what it has read when the mailbox takes over."""

    def script(peer):
        greet(peer, b"USER\r\nPIPELINING\r\nIMPLEMENTATION Courier Mail Server\r\n", b"+OK Hello there.\r\n")
        peer.hear(b"USER box")
        peer.hear(b"PASS secret")
        assert not peer._unread
        peer.say(b"+OK Password required.\r\n+OK logged in.\r\n")
        peer.hear(b"CAPA")
        if listings:
            peer.hear(b"UIDL"), peer.hear(b"LIST")
        peer.say(b"+OK\r\nPIPELINING\r\n.\r\n")
        if not listings:
            peer.hear(b"UIDL"), peer.hear(b"LIST")
        peer.say(b"+OK\r\n1 a\r\n.\r\n+OK\r\n1 120\r\n.\r\n")
        assert peer.hear() == b""

    assert connect(serve(script).site(), listings=listings).listings() == ({1: 120}, {1: "a"})


@pytest.mark.parametrize("deletes", [False, True])
def test_the_listings_may_go_with_the_login_where_the_server_pipelines(serve, connect, deletes):
    """What was asked ahead is told once; after a deletion the server is asked as ever."""

    def script(peer):
        greet(peer, b"USER\r\nPIPELINING\r\n", HANDS_ON)
        for command in (b"USER box", b"PASS secret", b"CAPA", b"UIDL"):
            peer.hear(command)
        peer.hear(b"LIST")
        peer.say(
            b"+OK\r\n+OK\r\n+OK\r\nPIPELINING\r\n.\r\n+OK\r\n1 a\r\n2 b\r\n.\r\n+OK\r\n1 120\r\n2 130\r\n.\r\n"
        )
        if deletes:
            peer.answer(b"DELE 1", b"+OK\r\n")
        peer.hear(b"UIDL")
        peer.answer(b"LIST", b"+OK\r\n2 b\r\n.\r\n+OK\r\n2 130\r\n.\r\n")

    client = connect(serve(script).site(), listings=True)
    if deletes:
        assert client.delete([1]) == {}
    else:
        assert client.listings() == ({1: 120, 2: 130}, {1: "a", 2: "b"})
    assert client.listings() == ({2: 130}, {2: "b"})


def test_the_listings_wait_for_the_login_where_the_server_does_not_pipeline(serve, connect):
    def script(peer):
        peer.log_in(b"USER\r\n")
        peer.answer(b"UIDL", b"+OK\r\n1 a\r\n.\r\n")
        peer.answer(b"LIST", b"+OK\r\n1 120\r\n.\r\n")

    assert connect(serve(script).site(), listings=True).listings() == ({1: 120}, {1: "a"})


def test_a_refused_login_says_so_though_listings_went_behind_it(serve, connect):
    def script(peer):
        greet(peer, b"USER\r\nPIPELINING\r\n", HANDS_ON)
        for command in (b"USER box", b"PASS secret", b"CAPA", b"UIDL"):
            peer.hear(command)
        peer.answer(b"LIST", b"+OK\r\n-ERR [IN-USE] locked\r\n+OK\r\n.\r\n-ERR not now\r\n-ERR not now\r\n")

    with pytest.raises(MailboxInUse):
        connect(serve(script).site(), listings=True)


@pytest.mark.parametrize(
    ("capabilities", "password", "first"),
    [
        (b"USER\r\nSASL PLAIN\r\nPIPELINING\r\n", "secret", b"USER box"),
        (b"USER\r\nSASL PLAIN\r\n", "secret", b"AUTH PLAIN AGJveABzZWNyZXQ="),
        (b"SASL PLAIN\r\nPIPELINING\r\n", "secret", b"AUTH PLAIN AGJveABzZWNyZXQ="),
        (b"USER\r\nSASL PLAIN\r\nPIPELINING\r\n", "gehe\xefm", b"AUTH PLAIN AGJveABnZWhlw69t"),
        (b"USER\r\nSASL CRAM-MD5 PLAIN\r\nPIPELINING\r\n", "secret", b"AUTH CRAM-MD5"),
    ],
)
def test_name_and_password_come_before_plain_where_that_saves_a_round_trip(
    serve, connect, capabilities, password, first
):
    """Never before what shows no password, and not with a password that only PLAIN has an encoding for."""

    def script(peer):
        greet(peer, capabilities)
        peer.hear(first)

    with pytest.raises(ConnectionLost):
        connect(serve(script).site(password=password))


@pytest.mark.parametrize(
    "replies",
    [
        b"-ERR [AUTH] who?\r\n-ERR first USER\r\n+OK\r\n.\r\n",
        b"-ERR [AUTH] who?\r\n",
        b"+OK\r\n-ERR [AUTH] no\r\n-ERR who?\r\n",
        b"+OK\r\n-ERR [AUTH] no\r\n",
    ],
)
def test_the_first_refusal_of_a_pipelined_login_is_told(serve, connect, replies):
    """Also where the server hangs up behind it."""

    def script(peer):
        greet(peer, b"USER\r\nPIPELINING\r\n", HANDS_ON)
        peer.hear(b"USER box")
        peer.hear(b"PASS secret")
        peer.answer(b"CAPA", replies)
        peer.connection.shutdown(socket.SHUT_WR)

    with pytest.raises(AuthenticationFailed, match=r"who|no"):
        connect(serve(script).site())


def test_without_login_the_session_stays_before_it(serve, connect):
    def script(peer):
        greet(peer, b"USER\r\nSASL PLAIN\r\n")
        peer.answer(b"QUIT", b"+OK\r\n")

    client = connect(serve(script).site(), log_in=False)
    assert client.capabilities.mechanisms == ("PLAIN",)
    client.quit()


# --- addresses and retries -------------------------------------------------------------------------------------------


def test_alternates_are_tried_in_turn(serve, connect):
    def broken(peer):
        peer.say(b"-ERR [SYS/TEMP] maintenance\r\n")

    first, last = serve(broken), serve(lambda peer: peer.log_in())
    alternates = (Address("127.0.0.1", unused_port()), Address("127.0.0.1", last.port))
    connect(first.site(alternates=alternates))


def test_a_server_that_greets_again_after_a_pause_is_found(serve, connect):
    def busy(peer):
        peer.say(b"-ERR too many connections\r\n")

    connect(
        serve(busy, lambda peer: None, lambda peer: peer.log_in()).site(
            retry_count_max=2, retry_delay_min=0.001
        )
    )


def test_after_every_retry_the_last_trouble_is_told(connect, serve):
    site = serve().site(address=Address("127.0.0.1", unused_port()), retry_count_max=1, retry_delay_min=0.001)
    with pytest.raises(ConnectionLost, match="cannot connect"):
        connect(site)


def test_a_name_that_does_not_exist_is_a_lost_connection(serve, connect):
    with pytest.raises(ConnectionLost):
        connect(serve().site(address=Address("pop.invalid", 110)))


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".example"])
def test_a_name_that_cannot_be_one_is_a_configuration_error(serve, connect, host):
    with pytest.raises(ConfigurationError, match="not a host name"):
        connect(serve().site(address=Address(host, 995)))


def test_looking_up_a_name_counts_as_connecting(serve, connect, monkeypatch):
    """A name server that is silent has no longer than a mail server that is."""
    patience = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *name, **options: patience.wait(20))
    try:
        with pytest.raises(TimedOut, match="no connection within"):
            connect(serve().site(address=Address("pop.example", 995), connect_timeout=0.05))
    finally:
        patience.set()


@pytest.fixture
def deaf():
    """An address where connections are neither taken nor refused: its backlog is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield listener.getsockname()
        for one in waiting:
            one.close()


def names(*places):
    """A name with these addresses, in this order."""
    return lambda *name, **options: [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", place) for place in places
    ]


def test_an_address_that_does_not_answer_leaves_time_for_the_next(serve, connect, monkeypatch, deaf):
    server = serve(lambda peer: peer.log_in())
    site = server.site(address=Address("pop.example", 995), connect_timeout=1.0)
    monkeypatch.setattr(socket, "getaddrinfo", names(deaf, ("127.0.0.1", server.port)))
    connect(site)


def test_no_address_that_answers_is_the_same_deadline_for_all(serve, connect, monkeypatch, deaf):
    monkeypatch.setattr(socket, "getaddrinfo", names(deaf, deaf, deaf))
    with pytest.raises(TimedOut):
        connect(serve().site(address=Address("pop.example", 995), connect_timeout=0.1))


def test_a_greeting_that_refuses_for_good_is_not_tried_again(serve, connect):
    with pytest.raises(ServerBroken):
        connect(serve(lambda peer: peer.say(b"-ERR [SYS/PERM] go away\r\n")).site(retry_count_max=3))


def test_a_greeting_without_a_code_is_trouble_of_the_servers(serve, connect):
    with pytest.raises(ServerUnavailable) as caught:
        connect(serve(lambda peer: peer.say(b"-ERR access denied\r\n")).site())
    assert isinstance(caught.value, CommandRefused)


def test_delays_double_up_to_a_bound_and_are_scattered():
    for least, pause in zip((10, 20, 40, 60, 60), delays(10, 60, 5), strict=True):
        assert least / 2 <= pause <= least


# --- tokens of a source ----------------------------------------------------------------------------------------------


class Source:
    """Gives tokens in turn, and notes what it was asked; the last one it gives again."""

    def __init__(self, *tokens):
        self.tokens, self.refused = list(tokens), []

    def __call__(self, refused):
        self.refused.append(refused)
        return self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]


def bearer(peer, token, *replies):
    peer.answer(b"AUTH XOAUTH2", b"+ \r\n")
    peer.hear(xoauth2(token))
    for reply in replies:
        peer.say(reply)


def test_each_login_asks_the_source(serve, connect):
    def script(token):
        def play(peer):
            greet(peer, b"SASL XOAUTH2\r\n")
            bearer(peer, token, b"+OK\r\n")
            welcome(peer)

        return play

    source = Source("one", "two")
    server = serve(script(b"one"), script(b"two"))
    connect(server.site(token_source=source))
    connect(server.site(token_source=source))
    assert source.refused == ["", ""]


def test_the_event_loop_goes_on_while_the_source_waits(serve):
    """A token may take seconds; the other sessions of the loop must not wait for it."""

    def script(peer):
        greet(peer, b"SASL XOAUTH2\r\n")
        bearer(peer, b"one", b"+OK\r\n")
        welcome(peer)

    async def two_at_once():
        loop, asked, going_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def source(refused):
            loop.call_soon_threadsafe(asked.set)
            assert going_on.wait(20)
            return "one"

        opening = asyncio.ensure_future(AsyncPop3Client.connect(serve(script).site(token_source=source)))
        await asked.wait()
        going_on.set()
        await (await opening).close()

    asyncio.run(two_at_once())


def test_a_source_that_hangs_has_no_longer_than_the_session(serve):
    """Else a watcher's turn at its server would never come to an end."""
    answered = threading.Event()

    def source(refused):
        answered.wait(20)
        return "late"

    site = serve(lambda peer: greet(peer, b"SASL XOAUTH2\r\n")).site(token_source=source, session_timeout=0.3)
    try:
        with pytest.raises(TimedOut, match="no access token within"):
            asyncio.run(AsyncPop3Client.connect(site))
    finally:
        answered.set()


def refuse_then(after):
    def script(peer):
        greet(peer, b"SASL XOAUTH2\r\n")
        bearer(peer, b"old", b"+ " + b64(b'{"status":"401"}') + b"\r\n")
        peer.answer(b"", b"-ERR [AUTH] Authentication failure\r\n")
        after(peer)

    return script


def test_a_token_that_is_refused_is_replaced_once_in_the_same_session(serve, connect):
    def again(peer):
        bearer(peer, b"new", b"+OK\r\n")
        welcome(peer)

    source = Source("old", "new")
    connect(serve(refuse_then(again)).site(token_source=source))
    assert source.refused == ["", "old"]


def test_a_second_refusal_is_final(serve, connect):
    def again(peer):
        bearer(peer, b"new", b"-ERR [AUTH] no\r\n")
        assert peer.hear() == b""

    source = Source("old", "new", "newer")
    with pytest.raises(AuthenticationFailed):
        connect(serve(refuse_then(again)).site(token_source=source))
    assert source.refused == ["", "old"]


def test_a_source_without_a_better_token_makes_the_refusal_final(serve, connect):
    def again(peer):
        assert peer.hear() == b""

    with pytest.raises(AuthenticationFailed):
        connect(serve(refuse_then(again)).site(token_source=Source("old")))


def test_a_refusal_for_later_replaces_nothing(serve, connect):
    def script(peer):
        greet(peer, b"SASL XOAUTH2\r\n")
        bearer(peer, b"old", b"-ERR [SYS/TEMP] busy\r\n")

    source = Source("old", "new")
    with pytest.raises(ServerUnavailable):
        connect(serve(script).site(token_source=source))
    assert source.refused == [""]


def test_a_mechanism_the_server_does_not_know_costs_no_token(serve, connect):
    def script(peer):
        greet(peer, b"SASL OAUTHBEARER XOAUTH2\r\n")
        peer.hear()
        peer.say(b"-ERR unsupported mechanism\r\n")
        bearer(peer, b"kept", b"+OK\r\n")
        welcome(peer)

    source = Source("kept")
    connect(serve(script).site(token_source=source))
    assert source.refused == ["", ""]


def test_trouble_of_the_source_is_told_and_nothing_is_sent(serve, connect):
    def source(refused):
        raise ConfigurationError("no token", field="client_secret")

    def script(peer):
        greet(peer, b"SASL XOAUTH2\r\n")
        assert peer.hear() == b""

    with pytest.raises(ConfigurationError, match="no token"):
        connect(serve(script).site(token_source=source))


def test_a_source_is_asked_only_where_a_token_is_used(serve, connect):
    source = Source("unused")

    def script(peer):
        peer.log_in()

    connect(serve(script).site(token_source=source, auth="basic"))
    assert source.refused == []
