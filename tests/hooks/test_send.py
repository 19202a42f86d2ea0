"""Send from a task: defaults of connections, who asks, files of any size, errors as Airflow wants them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException

from airflow_pop3_gateway.errors import ConfigurationError, RelayUnavailable
from airflow_pop3_gateway.hooks.send import send_transfer, source_of
from airflow_pop3_gateway.hooks.store import open_store
from airflow_pop3_gateway.store import sent
from airflow_pop3_gateway.testing.object_store import S3Server
from airflow_pop3_gateway.testing.smtp_server import SmtpServer

PLAIN = {"disable_ssl": True, "disable_tls": True}


@pytest.fixture
def base_path(tmp_path: Path) -> str:
    return (tmp_path / "base").as_uri()


@pytest.fixture
def relay(
    connection: Callable[..., str], smtp_server: Callable[..., SmtpServer]
) -> Callable[..., SmtpServer]:
    """A server, and the connection ``relay`` to it with these options."""

    def start(*faults: str, **extra: Any) -> SmtpServer:
        server = smtp_server(*faults)
        connection("relay", conn_type="smtp", host="127.0.0.1", port=server.port, extra={**PLAIN, **extra})
        return server

    return start


@pytest.fixture
def ask(base_path: str) -> Callable[..., dict[str, Any]]:
    """Sends a text, unless the test says otherwise."""

    def send(**arguments: Any) -> dict[str, Any]:
        asked = {"subject": "hello", "message": "hello", "transfer_id": "one", "base_path": base_path}
        return send_transfer(**{**asked, "smtp_conn_id": "relay", **arguments})

    return send


def test_the_smtp_connection_knows_from_and_to(relay: Any, ask: Any) -> None:
    server = relay(from_email="Us <us@us.example>", to_email="a@x.example, b@x.example")
    ask()
    assert (server.box[0].mail_from, server.box[0].recipients) == (
        "us@us.example",
        ("a@x.example", "b@x.example"),
    )


def test_recipients_that_are_named_replace_the_default(relay: Any, ask: Any) -> None:
    server = relay(from_email="us@us.example", to_email="a@x.example")
    ask(cc="c@x.example")
    assert server.box[0].recipients == ("c@x.example",)


def test_the_mailbox_of_the_acknowledgments_knows_from_the_relay_and_the_delimiter(
    relay: Any, ask: Any, connection: Callable[..., str]
) -> None:
    server = relay(from_email="other@us.example")
    extra = {"mail_address": "orders@us.example", "smtp_conn_id": "relay", "subject_delimiter": "//GW"}
    connection("orders", conn_type="pop3", host="pop.example.com", login="orders", extra=extra)
    ask(to="a@x.example", pop3_conn_id="orders", smtp_conn_id=None, xfb={"appli": "X"})
    assert server.box[0].mail_from == "orders@us.example"
    assert b"Subject: hello //GW appli=X\r\n" in server.box[0].octets


def test_numbers_are_written_as_text(relay: Any, ask: Any) -> None:
    """A DAG that renders templates as native objects makes numbers of them."""
    server = relay(from_email="us@us.example", to_email="a@x.example")
    ask(subject=7, message=2026, xfb={"dest": 5}, headers={"X-Priority": 1}, transfer_id=41)
    assert b"Subject: 7 //XFB DEST=5\r\n" in server.box[0].octets
    assert b"X-Priority: 1\r\n" in server.box[0].octets and server.box[0].octets.endswith(b"2026\r\n")


def test_an_empty_list_of_recipients_is_no_order_to_send_to_the_default(relay: Any, ask: Any) -> None:
    relay(from_email="us@us.example", to_email="a@x.example")
    with pytest.raises(AirflowFailException, match="no recipient"):
        ask(to=[])


@pytest.mark.parametrize(
    ("extra", "field"), [({"from_email": "us@us.example"}, "to"), ({"to_email": "a@x.example"}, "from_")]
)
def test_without_a_default_an_address_must_be_named(relay: Any, ask: Any, extra: Any, field: str) -> None:
    relay(**extra)
    with pytest.raises(AirflowFailException) as caught:
        ask()
    assert isinstance(caught.value.__cause__, ConfigurationError)
    assert caught.value.__cause__.facts["field"] == field


def test_outside_of_a_task_a_transfer_needs_a_name(relay: Any, ask: Any) -> None:
    relay(from_email="us@us.example", to_email="a@x.example")
    with pytest.raises(AirflowFailException, match="transfer_id"):
        ask(transfer_id=None)


def test_a_relay_that_says_later_is_left_to_airflows_retries(relay: Any, ask: Any) -> None:
    relay("data-451", from_email="us@us.example", to_email="a@x.example")
    with pytest.raises(RelayUnavailable):
        ask()


def test_a_connection_to_be_corrected_closes_the_attempt(
    relay: Any, ask: Any, connection: Callable[..., str]
) -> None:
    """The next attempt does not wait for the lease of this one."""
    connection("nowhere", conn_type="smtp", host="127.0.0.1", port=1, extra={**PLAIN, "timeout": 1})
    server = relay(from_email="us@us.example")
    with pytest.raises(RelayUnavailable):
        ask(to="a@x.example", from_="us@us.example", smtp_conn_id="nowhere")
    assert ask(to="a@x.example")["attempts"] == 2
    assert len(server.box) == 1


def test_a_file_comes_from_any_storage(
    relay: Any, ask: Any, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = relay(from_email="us@us.example", to_email="a@x.example")
    monkeypatch.setenv("AIRFLOW_CONN_S3", s3_server.airflow_connection())
    content = bytes(range(256)) * 9000
    store = open_store(f"s3://s3@{s3_server.bucket}/outgoing")
    store.put("ORDERS.edi", content)
    result = ask(file=f"s3://s3@{s3_server.bucket}/outgoing/ORDERS.edi", message=None)
    (file,) = sent.read(open_store(result["base_path"]), result["key"]).files
    assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert result["octets"] == len(server.box[0].octets)


def test_a_file_that_is_not_there_fails_at_once(relay: Any, ask: Any, tmp_path: Path) -> None:
    relay(from_email="us@us.example", to_email="a@x.example")
    with pytest.raises(AirflowFailException, match="there is no file"):
        ask(file=str(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.pdf", "application/pdf"),
        ("a.csv", "application/octet-stream"),
        ("a.eml", "application/octet-stream"),
        ("a.tar.gz", "application/octet-stream"),
        ("ORDERS", "application/octet-stream"),
    ],
)
def test_a_type_is_guessed_where_nobody_will_change_the_octets_for_it(name: str, expected: str) -> None:
    source = source_of(f"file:///folder/{name}", "file", None, None)
    assert (source.name, source.content_type) == (name, expected)
    assert source_of(f"file:///folder/{name}", "file", "b", "text/csv").content_type == "text/csv"


@pytest.mark.parametrize(
    "kind", ["text", "multipart/mixed", "message/rfc822", "text/plain\r\nBcc: b@x.example"]
)
def test_a_type_that_no_attached_file_can_have_is_refused(kind: str) -> None:
    with pytest.raises(ConfigurationError, match="content_type"):
        source_of("file:///folder/a", "file", None, kind)


@pytest.mark.parametrize("url", ["nope://bucket/a", "http://[::1"])
def test_a_place_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="ready_made: ") as caught:
        source_of(url, "ready_made")
    assert caught.value.field == "ready_made"


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a\nb", "x" * 256])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="name of a file"):
        source_of("file:///folder/a", "file", name, None)


@pytest.fixture
def sink() -> Iterator[int]:
    """The port of an SMTP server in another process that forgets what it takes."""
    server = subprocess.Popen([sys.executable, "-c", SINK], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


SINK = """
import socketserver
class Session(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 sink\\r\\n")
        for line in self.rfile:
            if line[:4].lower() == b"data":
                self.wfile.write(b"354 go on\\r\\n")
                while self.rfile.readline() != b".\\r\\n":
                    pass
            self.wfile.write(b"250 ok\\r\\n")
with socketserver.TCPServer(("127.0.0.1", 0), Session) as server:
    print(server.server_address[1], flush=True)
    server.serve_forever()
"""

GROWTH = """
import resource, sys
from airflow_pop3_gateway.hooks.send import send_transfer
def send(file):
    send_transfer(file=file, subject="x", to="a@x.example", transfer_id=file, smtp_conn_id="relay",
                  base_path=sys.argv[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
small, large = send(sys.argv[2]), send(sys.argv[3])
print("grown by", large - small)
"""


def test_a_large_file_is_never_whole_in_memory(
    sink: int, connection: Callable[..., str], base_path: str, tmp_path: Path
) -> None:
    connection(
        "relay", conn_type="smtp", host="127.0.0.1", port=sink, extra={**PLAIN, "from_email": "us@x.example"}
    )
    small, large = tmp_path / "small", tmp_path / "large"
    small.write_bytes(bytes(4 << 20))
    with large.open("wb") as file:
        file.truncate(64 << 20)
    command = [sys.executable, "-c", GROWTH, base_path, str(small), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown = int(done.stdout.rpartition("grown by")[2])
    assert grown <= 8 << 10, f"{grown} KiB"
