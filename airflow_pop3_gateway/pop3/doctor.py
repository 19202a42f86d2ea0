"""What is to be known of a server before trusting it with a partner's mail, found out without deleting anything.

Strategy: open a session, ask what can be asked, look at a few small mails, open a second session to see whether ids
stay; every finding is one row with an outcome, every advice one sentence. A mail is only retrieved where that is known
to leave it where it is: Gmail hides what was retrieved, and ``EXPIRE 0`` allows a server to delete it.

Invariant: no DELE is ever sent, RSET comes before QUIT; the result is JSON-plain and holds no secret and no mail.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from airflow_pop3_gateway.config import RemoteSite
from airflow_pop3_gateway.errors import (
    CommandRefused,
    GatewayError,
    LoginDelayed,
    MailboxInUse,
    ProtocolViolation,
    TlsFailed,
)
from airflow_pop3_gateway.pop3.blocking import Pop3Client
from airflow_pop3_gateway.pop3.dialogues import Dialogue, Flow, Session
from airflow_pop3_gateway.pop3.inbox import Inbox, Line
from airflow_pop3_gateway.pop3.replies import Capabilities, refusal

Outcome = Literal["pass", "fail", "note", "skip"]

SAMPLES = 3
"""Mails looked at: the smallest ones."""
MAX_SAMPLE = 1 << 20
"""Octets of a mail that is looked at."""
CERTIFICATE_DAYS = 30
"""Days before a certificate's end from which on it is worth a sentence."""
_UNIQUE_ID = re.compile(r"[!-~]{1,70}")  # RFC 1939 §7

_PROFILES = (
    ("gmail", r"\bGpop\b|pop\.gmail\.com"),
    ("microsoft-365", r"Microsoft Exchange POP3 service is ready\. \[|\boutlook\.office365\.com\b"),
    ("exchange", r"Microsoft Exchange"),
    ("dovecot", r"\bDovecot\b"),
    ("courier", r"\bCourier\b|\+?Hello there\."),
    ("cyrus", r"\bCyrus POP3\b"),
    ("qpopper", r"\bQ?popper\b"),
)
_PROFILE_ADVICE = {
    "gmail": "Gmail shows each mail to one client only: log in as recent:ADDRESS to see thirty days of mail again.",
    "microsoft-365": "Microsoft 365 takes no password for POP3, only tokens (XOAUTH2, in two lines, as we say it): "
    "give the connection a tenant_id and what OAuth needs besides.",
    "exchange": "Exchange counts sizes in its own way: treat max_message_bytes as a rough bound.",
}


_HEEDED = {
    "gmail": lambda site: site.login.startswith("recent:"),
    "microsoft-365": lambda site: site.token_source or site.access_token,
}
"""Where the advice for a profile has been followed already."""


def examine(
    site: RemoteSite,
    connect: Callable[..., Pop3Client] = Pop3Client.connect,
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc),
) -> dict[str, Any]:
    """Examine a site's server; of a site without a login, what anybody can see.

    :returns: ``site host port security ok error profile greeting tls capabilities mechanisms checks advice``;
        ``checks`` has rows of ``name outcome detail`` (outcome: pass, fail, note, skip), ``error`` is ``None`` or has
        ``kind message retriable``; ``ok`` means: no error and no row that failed.
    """
    return _Examination(site, connect, now).run()


class _Raw:
    """The octets of one RETR as they come, stuffing and all; ``None`` status until it is complete."""

    verb = "RETR"

    def __init__(self) -> None:
        self.octets = b""
        self._line: Line | None = Line("RETR")
        self.error: CommandRefused | None = None

    @property
    def answer(self) -> str:
        return f"{len(self.octets)} octets"

    def feed(self, inbox: Inbox) -> bool:
        if self._line is not None:
            if not self._line.feed(inbox):
                return False
            status, self._line = self._line.status, None
            if not status.ok:
                self.error = refusal("RETR", status)
                return True
            self.octets = b"\n"  # so that the first line is behind a line end as well
        self.octets += bytes(inbox.view[inbox.start : inbox.end])
        inbox.start = inbox.end
        if len(self.octets) > 2 * MAX_SAMPLE:
            raise ProtocolViolation("a mail is far longer than LIST says, or has no end.")
        ending = re.search(rb"\n(\.\r?\n)\Z", self.octets)
        if ending is None:
            return False
        self.octets = self.octets[1 : ending.start(1)]
        return True


def _raw(session: Session, number: int) -> Dialogue[bytes]:
    session.allow("RETR")
    answer = _Raw()
    session.wire.send(answer, number)
    yield Flow()
    if answer.error:
        raise answer.error
    return answer.octets


def _ahead(session: Session) -> Dialogue[None]:
    """Three commands at once, three answers."""
    session.allow("NOOP")
    for _ in range(3):
        session.wire.send(Line("NOOP"))
    yield Flow()


def _mechanism(session: Session) -> Dialogue[str]:
    yield from ()
    return session.mechanism


class _Examination:
    def __init__(
        self, site: RemoteSite, connect: Callable[..., Pop3Client], now: Callable[[], datetime]
    ) -> None:
        self.site, self.connect, self.now = site, connect, now
        self.checks: list[dict[str, str]] = []
        self.advice: list[str] = []
        self.result: dict[str, Any] = {
            "site": site.name,
            "host": site.address.host,
            "port": site.address.port,
            "security": site.security,
            "ok": False,
            "error": None,
            "profile": "unknown",
            "greeting": "",
            "tls": None,
            "capabilities": {},
            "mechanisms": [],
            "checks": self.checks,
            "advice": self.advice,
        }

    def run(self) -> dict[str, Any]:
        try:
            self._before_login()
            if self.site.login:
                self._stable(self._session())
            else:
                self._row("login", "skip", "no login was given")
        except GatewayError as error:
            self.result["error"] = {
                "kind": type(error).__name__,
                "message": error.message,
                "retriable": error.retriable,
            }
            if isinstance(error, TlsFailed) and not self.site.fingerprint:
                self._look_at_certificate()
        failed = any(check["outcome"] == "fail" for check in self.checks)
        self.result["ok"] = not failed and self.result["error"] is None
        return self.result

    def _look_at_certificate(self) -> None:
        """Of a server that cannot be trusted; it is left at the handshake, before anything is said to it."""
        try:
            self.connect(dataclasses.replace(self.site, fingerprint="0" * 64), log_in=False).close()
        except TlsFailed as error:
            if error.sha256:
                self.advice.append(
                    "Is this the server's own certificate? Ask its people for its SHA-256; only if it is the same, "
                    f"trust exactly this one with fingerprint={error.sha256}"
                )
        except GatewayError:
            pass

    def _row(self, name: str, outcome: Outcome, detail: str) -> None:
        self.checks.append({"name": name, "outcome": outcome, "detail": detail})

    def _judge(self, name: str, good: bool, detail: str, otherwise: Outcome = "fail") -> None:
        self._row(name, "pass" if good else otherwise, detail)

    def _before_login(self) -> None:
        """What anybody can see: TLS, capabilities, mechanisms, whose server it is."""
        with self.connect(self.site, log_in=False) as client:
            capabilities, result = client.capabilities, self.result
            result["greeting"] = client.greeting
            result["tls"] = dataclasses.asdict(client.tls) if client.tls else None
            result["mechanisms"] = list(capabilities.mechanisms)
            self._keep(capabilities)
            words = " ".join((client.greeting, capabilities.implementation, self.site.address.host))
            profiles = (name for name, pattern in _PROFILES if re.search(pattern, words))
            result["profile"] = next(profiles, "unknown")
            client.quit()
        profile = result["profile"]
        if profile in _PROFILE_ADVICE and not (profile in _HEEDED and _HEEDED[profile](self.site)):
            self.advice.append(_PROFILE_ADVICE[profile])
        self._judge(
            "capa", capabilities.known, "CAPA is answered" if capabilities.known else "no CAPA", "note"
        )
        if client.tls is None:
            self._row("tls", "note", "the session is not protected")
            offered = "starttls" if "STLS" in capabilities else "tls"
            self.advice.append(f"Passwords and mails go in the clear: try security={offered}.")
            return
        self._row("tls", "pass", f"{client.tls.version}, {client.tls.cipher}")
        left = _days_left(client.tls.not_after, self.now())
        result["tls"]["days_left"] = left
        if left is not None:
            self._judge("certificate", left > CERTIFICATE_DAYS, f"good until {client.tls.not_after}", "note")
            if left <= CERTIFICATE_DAYS:
                self.advice.append(f"The server's certificate ends in {left} days.")

    def _keep(self, capabilities: Capabilities) -> None:
        self.result["capabilities"].update({name: list(words) for name, words in capabilities.words.items()})

    def _session(self) -> dict[int, str] | None:
        """What only the owner of the mailbox can see."""
        with self.connect(self.site) as client:
            self._keep(client.capabilities)
            self._row("login", "pass", f"as {self.site.login}, by {client.converse(_mechanism)}")
            count, octets = client.stat()
            sizes = client.list()
            agree = (count, octets) == (len(sizes), sum(sizes.values()))
            said = f"STAT: {count} mails, {octets} octets; LIST: {len(sizes)} mails, {sum(sizes.values())} octets"
            self._judge("stat and list agree", agree, said, "note")
            ids = client.uidl()
            self._unique(ids, sizes)
            samples = sorted((size, number) for number, size in sizes.items() if size <= MAX_SAMPLE)[:SAMPLES]
            self._mails(client, [number for _, number in samples], sizes)
            self._pipelining(client)
            if client.login_delay:
                self.advice.append(
                    f"Do not poll more often than every {client.login_delay} seconds (LOGIN-DELAY)."
                )
            if client.expire == 0:
                self.advice.append(
                    "The server may delete what was retrieved (EXPIRE 0): retention=keep cannot work."
                )
            client.rset()
            client.quit()
        return ids

    def _unique(self, ids: dict[int, str] | None, sizes: dict[int, int]) -> None:
        if ids is None:
            self._row("uidl", "fail", "the server has no UIDL")
            self.advice.append("Without UIDL seen mails cannot be told from new ones: use retention=delete.")
            return
        self._judge("uidl", ids.keys() == sizes.keys(), f"{len(ids)} ids for {len(sizes)} mails", "note")
        repeated = len(ids) - len(set(ids.values()))
        self._judge("uidl unique", not repeated, f"{repeated} of {len(ids)} ids are repeated")
        odd = sum(not _UNIQUE_ID.fullmatch(text) for text in ids.values())
        self._judge(
            "uidl well-formed", not odd, f"{odd} of {len(ids)} ids are blank, overlong or not ASCII", "note"
        )

    def _mails(self, client: Pop3Client, numbers: list[int], sizes: dict[int, int]) -> None:
        if not numbers:
            self._row("mails", "skip", f"no mail of at most {MAX_SAMPLE} octets to look at")
            return
        try:
            heads = {number: client.top(number, 0) for number in numbers}
        except CommandRefused as error:
            self._row("top", "fail", error.message)
            self.advice.append("Without TOP a mail cannot be judged before it is retrieved whole.")
            heads = {}
        if heads:
            bare = sum(_body(head) == b"" for head in heads.values())
            self._judge("top 0 gives headers only", bare == len(heads), f"{bare} of {len(heads)}", "note")
        hides = self.result["profile"] == "gmail" and not self.site.login.startswith("recent:")
        if hides or client.expire == 0:
            self._row("retr", "skip", "this server may hide or delete a mail that was retrieved")
            return
        mails = {number: client.converse(_raw, number) for number in numbers}
        lines = [line for mail in mails.values() for line in mail.split(b"\n")]
        plain = sum(line.startswith(b".") and not line.startswith(b"..") for line in lines)
        doubled = sum(line.startswith(b"..") for line in lines)
        if plain:
            self._row("dot-stuffing", "fail", f"{plain} lines begin with a dot that is not doubled")
        else:
            self._row("dot-stuffing", "pass" if doubled else "skip", f"{doubled} stuffed lines seen")
        bare = sum(mail.count(b"\n") - mail.count(b"\r\n") for mail in mails.values())
        self._judge("line ends", not bare, f"{bare} bare line feeds", "note")
        exact = unix = same = 0
        for number, mail in mails.items():
            mail = re.sub(rb"(?m)^\.\.", b".", mail)
            exact += len(mail) == sizes[number]
            unix += len(mail) - mail.count(b"\r\n") == sizes[number]
            same += number in heads and mail.startswith(_head(heads[number]))
        if exact < len(mails) == unix:
            self._row("list and retr agree", "note", "LIST counts a line end as one octet")
        else:
            self._judge("list and retr agree", exact == len(mails), f"{exact} of {len(mails)} sizes", "note")
        if heads:
            self._judge("top and retr agree", same == len(mails), f"{same} of {len(mails)} heads", "note")

    def _pipelining(self, client: Pop3Client) -> None:
        if "PIPELINING" not in client.capabilities:
            self._row("pipelining", "skip", "not announced, so not tried")
            self.advice.append("The server announces no PIPELINING: every mail costs a round trip.")
            return
        client.converse(_ahead)
        self._row("pipelining", "pass", "three commands at once, three answers")

    def _stable(self, before: dict[int, str] | None) -> None:
        """Ids must be the same in the next session, or every mail looks new."""
        if not before:
            return
        try:
            with self.connect(self.site) as client:
                after = client.uidl() or {}
                client.quit()
        except (LoginDelayed, MailboxInUse) as error:
            self._row("uidl stable", "skip", error.message)
            return
        ids = set(before.values())
        kept = len(ids & set(after.values()))
        self._judge(
            "uidl stable",
            kept == len(ids),
            f"{kept} of {len(ids)} ids again in a second session",
            "note" if kept else "fail",  # others may have deleted some meanwhile
        )


def _head(octets: bytes) -> bytes:
    return re.split(rb"\r?\n\r?\n", octets, maxsplit=1)[0]


def _body(octets: bytes) -> bytes:
    return (re.split(rb"\r?\n\r?\n", octets, maxsplit=1) + [b""])[1].strip()


def _days_left(not_after: str, now: datetime) -> int | None:
    if not not_after:
        return None
    return (datetime.fromisoformat(not_after.replace("Z", "+00:00")) - now) // timedelta(days=1)
