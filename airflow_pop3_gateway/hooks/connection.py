"""An Airflow Connection of type ``pop3`` becomes a :class:`~airflow_pop3_gateway.config.RemoteSite`.

Strategy: :data:`~airflow_pop3_gateway.get_provider_info.CONNECTION_FIELDS` says what each option is; a value may come
typed (JSON, the form) or as text (a connection given as a URI). What makes sense together is decided by ``config``.

Invariant: a connection either becomes a valid site or a :class:`ConfigurationError` that names the connection, the
field and the remedy; an option that does not exist is refused, for a misspelt ``security`` must not pass in silence.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping
from typing import Any, Protocol

from airflow_pop3_gateway.config import (
    DEFAULT_PORT,
    Address,
    AddressPatterns,
    Limits,
    LocalSite,
    RemoteSite,
)
from airflow_pop3_gateway.errors import ConfigurationError, ConnectionMissing
from airflow_pop3_gateway.get_provider_info import CONNECTION_FIELDS
from airflow_pop3_gateway.hooks.oauth import token_source
from airflow_pop3_gateway.hooks.smime import smime_from
from airflow_pop3_gateway.windows import PollingWindows

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_PIPELINING = {"auto": None, "always": True, "never": False}


class ConnectionLike(Protocol):
    """What is read of an Airflow Connection."""

    conn_id: str
    conn_type: str | None
    host: str | None
    port: int | None
    login: str | None
    password: str | None
    extra: str | None

    @property
    def extra_dejson(self) -> dict[str, Any]:
        """Its options, read from JSON."""
        ...


def missing(conn_id: str, conn_type: str, field: str) -> ConnectionMissing:
    """What to raise where Airflow gives no connection. :param field: the argument that named it."""
    return ConnectionMissing(
        f"There is no connection {conn_id!r}, or Airflow cannot read it now; create it with type {conn_type}.",
        field=field,
    )


def site_from(connection: ConnectionLike) -> RemoteSite:
    """Read a connection.

    :raises ConfigurationError: naming the connection, the field and what to write there.
    """
    try:
        return _site(connection)
    except ConfigurationError as error:
        field = error.facts.get("field", "")
        raise ConfigurationError(
            f"Connection {connection.conn_id!r}, {field}: {error}", field=field
        ) from None


def _site(connection: ConnectionLike) -> RemoteSite:
    if connection.conn_type != "pop3":
        raise ConfigurationError(
            f"its type is {connection.conn_type!r}; choose a connection of type pop3.", field="conn_type"
        )
    options = _options(connection)
    port = DEFAULT_PORT[options.get("security", "tls")]
    alternates = options.pop("alternates", "").split(",")
    return RemoteSite(
        name=connection.conn_id,
        address=Address(
            _required("host", connection.host, "the name of the POP3 server"),
            port if connection.port is None else connection.port,
        ),
        login=_required("login", connection.login, "the account's name"),
        password=connection.password or "",
        token_source=token_source(options),
        alternates=tuple(Address.parse(text, port) for text in alternates if text.strip()),
        local_site=LocalSite(
            mail_address=options.pop("mail_address", ""), host_name=options.pop("host_name", "")
        ),
        smime=smime_from(options),
        limits=_limits(options.pop("limits", {})),
        polling_windows=PollingWindows(options.pop("polling_windows", "")),
        acknowledge_partners=AddressPatterns(options.pop("acknowledge_partners", "")),
        trusted_partners=AddressPatterns(options.pop("trusted_partners", "")),
        pipelining=_PIPELINING[options.pop("pipelining", "auto")],
        **options,
    )


def _required(field: str, value: str | None, meaning: str) -> str:
    if not value or not value.strip():
        raise ConfigurationError(f"{field} is empty; it must be {meaning}.", field=field)
    return value.strip()


def _options(connection: ConnectionLike) -> dict[str, Any]:
    """The options that are set, each with the type its field declares."""
    extra = connection.extra_dejson
    if not isinstance(extra, Mapping) or (
        not extra and (connection.extra or "{}").strip() not in ("{}", "null")
    ):
        raise ConfigurationError("extra is not a JSON object.", field="extra")
    for name in extra:
        if name not in CONNECTION_FIELDS:
            near = difflib.get_close_matches(str(name), CONNECTION_FIELDS, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"options are {', '.join(CONNECTION_FIELDS)}."
            raise ConfigurationError(f"there is no option {name!r} in extra; {advice}", field=str(name))
    return {
        name: _typed(name, CONNECTION_FIELDS[name]["schema"], value)
        for name, value in extra.items()
        if value is not None and value != ""
    }


def _typed(name: str, schema: Mapping[str, Any], value: Any) -> Any:
    kind = schema["type"][0]
    typed: Any = None
    if kind == "string" and isinstance(value, str):
        typed = value.strip()
    elif kind == "boolean":
        typed = value if isinstance(value, bool) else _TRUTH.get(str(value).lower())
    elif kind in ("integer", "number") and not isinstance(value, bool):
        typed = _number(value, whole=kind == "integer")
    elif kind == "object":
        typed = _object(value)
    if typed is None:
        shown = "its value" if schema.get("format") == "password" else repr(value)
        raise ConfigurationError(f"{name}: {shown} is not {_ARTICLE[kind]}.", field=name)
    if (words := schema.get("enum")) and typed not in words:
        raise ConfigurationError(f"{name}={value!r} is not one of {', '.join(words)}.", field=name)
    return typed


_ARTICLE = {
    "string": "text",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "a JSON object",
}


def _number(value: Any, *, whole: bool) -> float | int | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(number) or (whole and not number.is_integer()):
        return None
    return int(number) if whole else number


def _object(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return value if isinstance(value, dict) else None


def _limits(bounds: Mapping[str, Any]) -> Limits:
    names = Limits.__dataclass_fields__
    for name in bounds:
        if name not in names:
            raise ConfigurationError(
                f"there is no limit {name!r}; limits are {', '.join(names)}.", field="limits"
            )
    return Limits(**bounds)
