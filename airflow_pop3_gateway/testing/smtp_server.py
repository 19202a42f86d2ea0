"""An SMTP server that keeps what it takes in a list, and refuses on demand; aiosmtpd speaks, nobody here wrote it.

A fault is one word, with a value after a colon where it needs one; several may be set at once and changed while the
server runs.

====================== =====================================================================
``refuse-null-sender`` 550 to ``MAIL FROM:<>``
``sender-4xx``         451 to every ``MAIL FROM``
``rcpt-550:ADDRESS``   550 to this recipient; ``rcpt-450:ADDRESS`` alike
``rcpt-421``           421 to every recipient, as a server says that shuts down
``data-451``           451 after the message; ``data-554`` alike
``hang-data``          never answers after the message
``cut-data``           closes the connection after the message, which is not taken
``lose-answer``        takes the message and closes the connection: the sender cannot know
``drop-in-data``       closes the connection when the message begins
``rcpt-most:N``        452 to every recipient of a message after the first N
``size:N``             says ``SIZE N``, and takes no more
``dsn``                says ``DSN`` and takes its parameters (RFC 3461)
``hide:KEYWORD``       does not say this keyword: ``hide:8BITMIME``, ``hide:SMTPUTF8``, ``hide:SIZE``
====================== =====================================================================

Invariant: ``box`` has a message if and only if the server took it, with exactly the octets that were sent.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from airflow_pop3_gateway.testing.certificates import Certificates


@dataclass(frozen=True)
class Delivered:
    """One message that was taken.

    :ivar mail_from: the reverse-path, ``""`` for the null one; :ivar options: of MAIL and, by recipient, of RCPT, as
        they came; the key of the first is ``""``.
    """

    mail_from: str
    recipients: tuple[str, ...]
    octets: bytes
    options: dict[str, str] = field(default_factory=dict, compare=False)


class SmtpServer:
    """Listens on 127.0.0.1 while its context is open, on a free port or the one that is given.

    :param faults: words of the table above.
    :param security: ``plain``, ``starttls`` (required before a message) or ``tls``.
    :param login: with ``password``: nothing is taken from who does not log in.
    :param certificates: for TLS; own ones by default.
    :ivar box: every message taken, as :class:`Delivered`; :ivar ca_file: what a client must trust.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        *faults: str,
        security: Literal["plain", "starttls", "tls"] = "plain",
        login: str = "",
        password: str = "",
        certificates: Certificates | None = None,
        port: int = 0,
    ) -> None:
        self.faults: set[str] = set(faults)
        self.box: list[Delivered] = []
        self.port = 0
        self._certificates = certificates or (None if security == "plain" else Certificates())
        context = self._certificates.server_context() if self._certificates else None
        self._controller = _FreePort(
            self,
            _Handler(self),
            hostname=self.host,
            port=port,
            server_hostname="localhost",
            ssl_context=context if security == "tls" else None,
            tls_context=context if security == "starttls" else None,
            require_starttls=security == "starttls",
            auth_required=bool(login),
            authenticator=_Authenticator(login, password),
        )

    @property
    def ca_file(self) -> str:
        """The authority of its certificate; ``""`` without TLS."""
        return self._certificates.ca_file if self._certificates else ""

    def __enter__(self) -> SmtpServer:
        self._controller.start()  # type: ignore[no-untyped-call, unused-ignore]
        self.port = self._controller.port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._controller.stop()  # type: ignore[no-untyped-call, unused-ignore]


class _FreePort(Controller):
    """Listens on any port that is free, and knows which."""

    def __init__(self, owner: SmtpServer, handler: _Handler, **options: Any) -> None:
        self._owner = owner
        super().__init__(handler, **options)  # type: ignore[no-untyped-call, unused-ignore]

    def factory(self) -> SMTP:
        """aiosmtpd takes TLS from the first octet for none, and would refuse every login there."""
        session = _Session(self._owner, self.handler, **self.SMTP_kwargs)
        session._auth_require_tls = bool(session.tls_context)
        return session

    def _trigger_server(self) -> None:
        assert isinstance(self.server, asyncio.Server)
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


class _Session(SMTP):
    """What aiosmtpd does not know: the parameters of DSN, and to break off."""

    def __init__(self, owner: SmtpServer, handler: Any, **options: Any) -> None:
        super().__init__(handler, **options)
        self._owner = owner
        self.given: dict[str, str] = {}
        for word in owner.faults:
            if word.startswith("size:"):
                self.data_size_limit = int(word.partition(":")[2])
        if "dsn" in owner.faults:
            self.command_size_limits["MAIL"] += 200
            self.command_size_limits["RCPT"] += 500

    async def smtp_MAIL(self, arg: str | None) -> None:
        """``MAIL FROM``"""
        self.given = {"": arg.partition(">")[2].strip()} if arg else {}
        await super().smtp_MAIL(self._without(arg, "RET=", "ENVID="))

    async def smtp_RCPT(self, arg: str | None) -> None:
        """``RCPT TO``"""
        if arg:
            address, _, options = arg.partition(">")
            self.given[address.partition("<")[2]] = options.strip()
        await super().smtp_RCPT(self._without(arg, "NOTIFY=", "ORCPT="))

    async def smtp_DATA(self, arg: str | None) -> None:
        """``DATA``"""
        if "drop-in-data" in self._owner.faults and self.transport is not None:
            await self.push("354 go on")
            self.transport.close()
            return
        await super().smtp_DATA(arg)  # type: ignore[arg-type, unused-ignore]

    def _without(self, arg: str | None, *names: str) -> str | None:
        if arg is None or "dsn" not in self._owner.faults:
            return arg
        return " ".join(word for word in arg.split(" ") if not word.upper().startswith(names))


class _Authenticator:
    def __init__(self, login: str, password: str) -> None:
        self._expected = (login.encode(), password.encode())

    def __call__(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        known = isinstance(data, LoginPassword) and (data.login, data.password) == self._expected
        return AuthResult(success=known, handled=False)


class _Handler:
    """The hooks aiosmtpd calls; each answers with the reply."""

    def __init__(self, owner: SmtpServer) -> None:
        self._owner = owner

    async def handle_EHLO(
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        hidden = {word.partition(":")[2] for word in self._owner.faults if word.startswith("hide:")}
        said = [line for line in responses if line[4:].partition(" ")[0] not in hidden]
        if "dsn" in self._owner.faults:
            said.insert(1, "250-DSN")
        return said

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "sender-4xx" in self._owner.faults:
            return "451 4.3.0 come back later"
        if "refuse-null-sender" in self._owner.faults and address in ("", "<>"):
            return "550 5.7.1 the null sender is not welcome"
        envelope.mail_from = address
        return "250 2.1.0 sender taken"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "rcpt-421" in self._owner.faults:
            return "421 4.3.2 shutting down"
        if f"rcpt-550:{address}" in self._owner.faults:
            return "550 5.1.1 no such user"
        if f"rcpt-450:{address}" in self._owner.faults:
            return "450 4.2.1 mailbox is busy"
        for word in self._owner.faults:
            if word.startswith("rcpt-most:") and len(envelope.rcpt_tos) >= int(word.partition(":")[2]):
                return "452 4.5.3 too many recipients"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 recipient taken"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        faults = self._owner.faults
        if "data-451" in faults:
            return "451 4.3.1 the disk is full"
        if "data-554" in faults:
            return "554 5.6.0 this looks bad"
        if "hang-data" in faults:
            await asyncio.Event().wait()
        if "cut-data" not in faults:
            sender = (envelope.mail_from or "").removeprefix("<>")
            octets = envelope.original_content or b""
            assert isinstance(server, _Session)
            self._owner.box.append(Delivered(sender, tuple(envelope.rcpt_tos), octets, server.given))
        if faults & {"cut-data", "lose-answer"} and server.transport is not None:
            server.transport.close()
        return "250 2.0.0 message taken"
