"""Servers that say what a test wrote down, and one way to drive both clients.

``serve(script)`` runs ``script(peer)`` in a thread for each connection on a free port of 127.0.0.1 (each script of a
list for one connection, in turn); what it raises fails the test. ``connect`` is the client under test, once blocking,
once on asyncio, with the same blocking face.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator

import pytest
import trustme
from hypothesis import settings
from support.clients import Box, connect

from airflow_pop3_gateway.config import Address, RemoteSite

__all__ = ["connect"]

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")


class Peer:
    """The server's end of one connection."""

    def __init__(self, connection: socket.socket, chunk: int | None = None) -> None:
        connection.settimeout(20)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self.chunk = chunk
        self.heard: list[bytes] = []
        self._unread = b""

    def say(self, octets: bytes) -> None:
        """Send, in pieces of ``chunk`` octets where one is set."""
        step = self.chunk or max(1, len(octets))
        for start in range(0, len(octets), step):
            self.connection.sendall(octets[start : start + step])

    def hear(self, expected: bytes | None = None) -> bytes:
        """One line without its CRLF; ``b""`` when the client hung up."""
        while b"\r\n" not in self._unread:
            more = self.connection.recv(65536)
            if not more:
                line, self._unread = self._unread, b""
                break
            self._unread += more
        else:
            line, _, self._unread = self._unread.partition(b"\r\n")
        self.heard.append(line)
        if expected is not None:
            assert line == expected, f"the client said {line!r}, not {expected!r}"
        return line

    def answer(self, expected: bytes, reply: bytes) -> None:
        """Hear this, say that."""
        self.hear(expected)
        self.say(reply)

    def log_in(self, capabilities: bytes = b"USER\r\nUIDL\r\nTOP\r\n") -> None:
        """Greeting, CAPA, USER, PASS, CAPA, as a plain server does it."""
        self.say(b"+OK ready\r\n")
        self.answer(b"CAPA", b"+OK\r\n" + capabilities + b".\r\n")
        self.answer(b"USER box", b"+OK\r\n")
        self.answer(b"PASS secret", b"+OK\r\n")
        self.answer(b"CAPA", b"+OK\r\n" + capabilities + b".\r\n")

    def start_tls(self, context: ssl.SSLContext) -> None:
        """The server's side of a handshake."""
        self.connection = context.wrap_socket(self.connection, server_side=True)

    def silence(self) -> None:
        """Say nothing until the client hangs up."""
        try:
            while self.connection.recv(65536):
                pass
        except OSError:
            pass

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.close()


Script = Callable[[Peer], None]


class Server:
    """Plays scripts on a free port."""

    def __init__(self, scripts: list[Script], chunk: int | None = None, host: str = "127.0.0.1") -> None:
        self.errors: list[BaseException] = []
        self.peers: list[Peer] = []
        self.host = host
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, 0), family=family)
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, args=(scripts, chunk), daemon=True)
        self._thread.start()

    def _run(self, scripts: list[Script], chunk: int | None) -> None:
        for script in scripts:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            peer = Peer(connection, chunk)
            self.peers.append(peer)
            try:
                script(peer)
            except (ConnectionError, ssl.SSLError):
                pass  # a client may hang up on a bad server
            except BaseException as error:  # noqa: BLE001 - told by the test, not by the thread
                self.errors.append(error)
            finally:
                try:
                    peer.connection.close()
                except OSError:
                    pass

    def site(self, **options: object) -> RemoteSite:
        """A site for this server, with no second try and short deadlines unless the test says otherwise."""
        words: dict[str, object] = {
            "name": "test",
            "address": Address(self.host, self.port),
            "login": "box",
            "password": "secret",
            "security": "plain",
            "retry_count_max": 0,
            "reply_timeout": 10.0,
            **options,
        }
        return RemoteSite(**words)  # type: ignore[arg-type]

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes a script that nobody came for
        self._thread.join(timeout=20)
        self._listener.close()
        assert not self._thread.is_alive(), "the script still waits for the client"
        for error in self.errors:
            raise error


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start a server that plays one script a connection; its failed expectations fail the test."""
    servers: list[Server] = []

    def start(*scripts: Script, chunk: int | None = None, host: str = "127.0.0.1") -> Server:
        servers.append(Server(list(scripts), chunk, host))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """A certificate authority of the tests' own."""
    return trustme.CA()


@pytest.fixture(scope="session")
def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """TLS of a server that is ``localhost`` and 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="session")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The authority's certificate as a file."""
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.fixture(scope="session")
def box_type() -> type[Box]:
    """For tests that need many boxes."""
    return Box
