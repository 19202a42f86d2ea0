"""OAuth access tokens for the login, from a token endpoint (RFC 6749): asked for when needed, kept until they end.

Strategy: the endpoint and its credentials are one value, and calling it gives a token, as
:data:`~airflow_pop3_gateway.config.TokenSource` asks; what was issued is kept in this process for every session with an
equal value. A token that was kept and is refused is replaced once; one that was just issued cannot be bettered.

Invariant: client secret, refresh token and access token go to ``token_url`` over verified TLS and to nobody else; none
of them is in a repr, a log or an error.
"""

from __future__ import annotations

import copy
import functools
import json
import math
import re
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from airflow_pop3_gateway.errors import (
    ConfigurationError,
    ConnectionLost,
    GatewayError,
    ServerUnavailable,
    TimedOut,
    TlsFailed,
)

MICROSOFT = "https://login.microsoftonline.com/{}/oauth2/v2.0/token"
MICROSOFT_SCOPE = "https://outlook.office365.com/.default"
TIMEOUT = 30.0
"""Seconds the endpoint may be silent."""
MARGIN = 600.0
"""Seconds before its end from which on a token is not used again: Gmail ends a session together with its token."""
AGAIN = 5.0
"""Seconds an endpoint that is in trouble is left alone: as long as it takes those who waited to hear of it."""
LIFETIME = 300.0
"""Seconds of a token whose endpoint does not say (RFC 6749 §5.1 only recommends it): so it is not kept."""
MAX_ANSWER = 1 << 20
"""Octets of an answer; tokens have some kilobytes."""
MAX_WORDS = 300
"""Characters of the endpoint's words in an error."""

_TOKEN = re.compile(r"[!-~]+")
_TENANT = re.compile(r"[A-Za-z0-9.-]+")
_TO_CORRECT = {
    "invalid_client": "client_secret",
    "invalid_grant": "refresh_token",
    "invalid_scope": "scope",
    "unauthorized_client": "client_id",
}
"""RFC 6749 §5.2: what is wrong, and the field to correct."""
_PASSING = {"server_error", "temporarily_unavailable"}


@dataclass(frozen=True)
class TokenEndpoint:
    """Where tokens come from, and what is shown for them: a refresh token where there is one (RFC 6749 §6), else the
    client's own credentials (§4.4)."""

    token_url: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    scope: str = ""

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.token_url)
        except ValueError:
            parts = urlsplit("")
        if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc:
            raise ConfigurationError(
                "token_url must be https://host/…, without a name and a password in it; secrets go there.",
                field="token_url",
            )
        if not self.client_id:
            raise ConfigurationError("client_id is empty; tokens are given to a client.", field="client_id")
        if not self.client_secret and not self.refresh_token:
            raise ConfigurationError(
                "client_secret is empty; without a refresh_token it is needed.", field="client_secret"
            )

    def __call__(self, refused: str = "") -> str:
        """An access token, kept or new; ``refused`` itself when it was new and there is no better.

        :raises ConfigurationError: the endpoint says no. :raises TlsFailed: it is not who it says.
        :raises ServerUnavailable, ConnectionLost, TimedOut: later.
        """
        kept = _kept_of(self)
        trouble = kept.trouble
        if not kept.lock.acquire(blocking=trouble is None):
            assert trouble is not None
            raise copy.copy(trouble)  # somebody asks again; nobody waits behind him
        try:
            if refused and refused == kept.token:
                kept.token = ""
                if kept.new:
                    return refused
            kept.new = not kept.token or time.monotonic() >= kept.good_until
            if kept.new:
                self._renew_once(kept)
            return kept.token
        finally:
            kept.lock.release()

    def _renew_once(self, kept: _Kept) -> None:
        """Ask, unless somebody has just asked for nothing: those who waited for him need not find out one by one."""
        if kept.trouble is not None and time.monotonic() < kept.again_at:
            raise copy.copy(kept.trouble)
        try:
            self._renew(kept)
        except GatewayError as error:
            kept.trouble = copy.copy(error) if error.retriable else None
            kept.again_at = time.monotonic() + AGAIN
            raise
        kept.trouble = None

    def _renew(self, kept: _Kept) -> None:
        refresh_token = kept.refresh_token or self.refresh_token
        kept.token = ""
        asked = time.monotonic()
        try:
            answer = self._ask(refresh_token)
        except ConfigurationError:
            kept.refresh_token = ""  # the next attempt begins with what the connection says
            raise
        token = answer.get("access_token")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise ConfigurationError(
                f"{self.token_url} answered, but with no access token.", field="token_url"
            )
        kept.token, kept.good_until = token, asked + _seconds(answer.get("expires_in")) - MARGIN
        following = answer.get("refresh_token")
        kept.refresh_token = following if isinstance(following, str) else refresh_token

    def _ask(self, refresh_token: str) -> Mapping[str, Any]:
        form = {
            "grant_type": "refresh_token" if refresh_token else "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "refresh_token": refresh_token,
            "scope": self.scope,
        }
        status, octets = self._post({name: value for name, value in form.items() if value})
        try:
            answer = json.loads(octets)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            answer = {}
        if status == 200 and "error" not in answer:
            return answer
        code = str(answer.get("error", f"HTTP {status}"))
        words = f"{code}: {answer.get('error_description', 'no reason given')}"
        for secret in filter(None, (self.client_secret, refresh_token)):
            words = words.replace(secret, "***")
        words = "".join(letter if letter.isprintable() else " " for letter in words)[:MAX_WORDS]
        if status >= 500 or status in (408, 429) or code in _PASSING:
            raise ServerUnavailable(f"{self.token_url} gives no access token now: {words}", command="token")
        wrong = _TO_CORRECT.get(code, "token_url")
        remedy = "token_url or tenant_id" if wrong == "token_url" else wrong
        raise ConfigurationError(
            f"{self.token_url} gives no access token ({words}); correct {remedy} of the connection.",
            field=wrong,
        )

    def _post(self, form: Mapping[str, str]) -> tuple[int, bytes]:
        """Status and body. No redirect is followed: it would carry the secrets elsewhere."""
        octets = b""
        try:
            with httpx.stream(
                "POST",
                self.token_url,
                data=form,
                headers={"Accept": "application/json"},
                timeout=TIMEOUT,
                verify=ssl.create_default_context(),
            ) as response:
                for chunk in response.iter_bytes():
                    octets += chunk
                    if len(octets) > MAX_ANSWER:
                        raise ConfigurationError(
                            f"{self.token_url} answered more than {MAX_ANSWER} octets; it is no token endpoint.",
                            field="token_url",
                        )
                return response.status_code, octets
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._trouble(error) from None  # the error knows the request, and the request the secrets

    def _trouble(self, error: Exception) -> GatewayError:
        if isinstance(error, httpx.TimeoutException):
            return TimedOut(f"{self.token_url}: no answer within {TIMEOUT:g} seconds.", seconds=TIMEOUT)
        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
            return ConfigurationError(f"token_url {self.token_url!r} is no address.", field="token_url")
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return TlsFailed(
                    f"the certificate of {self.token_url} is not trusted: {cause.verify_message}."
                )
            cause = cause.__cause__ or cause.__context__
        return ConnectionLost(f"{self.token_url} cannot be reached: {error}.")


@dataclass
class _Kept:
    """What this process has of one endpoint. :ivar new: only the login that asked for the token has had it.

    :ivar trouble: why there is none now, and it may pass; :ivar again_at: not before is asked again.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    good_until: float = 0.0
    new: bool = False
    trouble: GatewayError | None = None
    again_at: float = 0.0


@functools.lru_cache(maxsize=1_000)
def _kept_of(endpoint: TokenEndpoint) -> _Kept:
    """One for equal endpoints; the cache is bounded because credentials change while a process runs."""
    return _Kept()


def _seconds(expires_in: Any) -> float:
    """RFC 6749 §5.1 says a number; there are endpoints that write it as text."""
    try:
        seconds = float(expires_in)
    except (TypeError, ValueError, OverflowError):
        return LIFETIME
    return seconds if math.isfinite(seconds) else LIFETIME


def token_source(options: dict[str, Any]) -> TokenEndpoint | None:
    """Take the options of a connection that are about tokens out of all its options; ``None`` where there are none.

    :raises ConfigurationError: they do not make sense together.
    """
    names = ("tenant_id", "token_url", "client_id", "client_secret", "refresh_token", "scope")
    given = {name: options.pop(name) for name in names if name in options}
    if not given:
        return None
    if "access_token" in options:
        raise ConfigurationError(
            "give an access_token or what is needed to ask for one, not both.", field="access_token"
        )
    tenant = given.pop("tenant_id", "")
    if bool(tenant) == ("token_url" in given):
        raise ConfigurationError("give either tenant_id, for Microsoft 365, or token_url.", field="token_url")
    if tenant:
        if not _TENANT.fullmatch(tenant):
            raise ConfigurationError(f"tenant_id {tenant!r} is no id and no domain.", field="tenant_id")
        given["token_url"] = MICROSOFT.format(tenant)
        if "refresh_token" not in given:
            given.setdefault("scope", MICROSOFT_SCOPE)
    return TokenEndpoint(**{"client_id": "", **given})
