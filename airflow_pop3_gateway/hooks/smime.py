"""The S/MIME options of a connection become :class:`~airflow_pop3_gateway.partners.Smime`: files are read here.

Invariant: what is returned makes a keyring; everything else is a :class:`ConfigurationError` that names the option and,
of a partner, its address; neither key nor passphrase stands in one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_pop3_gateway.errors import ConfigurationError
from airflow_pop3_gateway.partners import Partner, Smime

LARGEST_FILE = 1 << 20
"""Octets of a PEM file; a certificate has some two thousand."""
_SWITCHES = tuple(field.name for field in dataclasses.fields(Partner) if field.type == "bool")


def smime_from(options: dict[str, Any]) -> Smime | None:
    """Take the options of S/MIME out of those of a connection; ``None`` when there are none.

    :raises ConfigurationError: naming the option and what to write there.
    """
    certificate = options.pop("smime_certificate", "")
    key = options.pop("smime_key", "")
    passphrase = options.pop("smime_passphrase", "")
    partners = options.pop("smime_partners", {})
    if not certificate and not key and not partners:
        return None
    smime = Smime(
        _read(certificate, "smime_certificate"),
        _read(key or certificate, "smime_key" if key else "smime_certificate"),
        passphrase,
        tuple(_partner(address, entry) for address, entry in partners.items()),
    )
    from airflow_pop3_gateway.smime import Keyring  # most connections have no use for the libraries it needs

    Keyring(smime)
    return smime


def _partner(address: str, entry: Any) -> Partner:
    if "@" not in address and "*" not in address:
        raise _wrong(address, "is no address and no pattern.")
    if not isinstance(entry, Mapping):
        raise _wrong(
            address, 'must have a JSON object, as {"certificate": "/path/partner.pem", "sign": true}.'
        )
    for name, value in entry.items():
        if name not in ("certificate", *_SWITCHES):
            raise _wrong(address, f"has no option {name!r}; there are certificate, {', '.join(_SWITCHES)}.")
        if not isinstance(value, str if name == "certificate" else bool):
            raise _wrong(address, f"{name} must be {'a path' if name == 'certificate' else 'true or false'}.")
    switches = {name: entry.get(name, False) for name in _SWITCHES}
    return Partner(address, _read(entry.get("certificate", ""), "smime_partners"), **switches)


def _wrong(address: str, sentence: str) -> ConfigurationError:
    return ConfigurationError(f"{address}: {sentence}", field="smime_partners")


def _read(path: str, field: str) -> bytes:
    """The octets of a file; none where none is named."""
    if not path:
        return b""
    try:
        with Path(path).open("rb") as file:
            octets = file.read(LARGEST_FILE + 1)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}", field=field) from None
    if len(octets) > LARGEST_FILE:
        raise ConfigurationError(f"{path} is no PEM file: it is too large.", field=field)
    return octets
