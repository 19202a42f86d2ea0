"""A token server: an endpoint that issues tokens (RFC 6749), and one where a mail server asks about them (RFC 7662).

It listens with TLS on a free port, takes one client with its secret, and says what a test wants wrong.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs

from airflow_pop3_gateway.testing.certificates import Certificates


class TokenServer:
    """Tokens end after ``lifetime`` seconds, by their word; ``revoke`` ends them at once.

    :ivar asked: the forms that came to the token endpoint; :ivar answer: status and body instead of a token, if set.
    :ivar issued: tokens that are good, with the mailbox of each; :ivar extra: further fields of an answer.
    """

    client_id = "gateway"
    client_secret = "client+secret&="
    refresh_token = "1//refresh"

    def __init__(self, certificates: Certificates, mailbox: str = "box") -> None:
        self.mailbox = mailbox
        self.lifetime: Any = 3600
        self.asked: list[dict[str, str]] = []
        self.answer: tuple[int, bytes] | None = None
        self.extra: dict[str, Any] = {}
        self.issued: dict[str, str] = {}
        self.count = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.socket = certificates.server_context().wrap_socket(self._server.socket, server_side=True)
        self.base = f"https://localhost:{self._server.server_port}"
        self.token_url = f"{self.base}/token"

    def __enter__(self) -> TokenServer:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def revoke(self) -> None:
        """What was issued is good no more."""
        self.issued.clear()

    def token(self, form: dict[str, str]) -> tuple[int, bytes]:
        self.asked.append(form)
        if self.answer:
            return self.answer
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            return 401, json.dumps({"error": "invalid_client", "error_description": "who?"}).encode()
        self.count += 1
        token = f"token-{self.count}"
        self.issued[token] = self.mailbox
        answer = {"token_type": "Bearer", "access_token": token, "expires_in": self.lifetime, **self.extra}
        return 200, json.dumps(answer).encode()

    def introspect(self, form: dict[str, str]) -> tuple[int, bytes]:
        mailbox = self.issued.get(form.get("token", ""))
        answer = {"active": True, "username": mailbox} if mailbox else {"active": False}
        return 200, json.dumps(answer).encode()


def _handler(tokens: TokenServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {name: values[0] for name, values in parse_qs(body).items()}
            status, answer = (tokens.token if self.path == "/token" else tokens.introspect)(form)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            if 300 <= status < 400:
                self.send_header("Location", "/elsewhere")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None: ...

    return Handler
