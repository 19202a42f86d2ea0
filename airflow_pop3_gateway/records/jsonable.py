"""The JSON form of a record, and the key of an identity.

Strategy: a record is a struct of msgspec, which knows its JSON form.

Invariant: ``from_json(to_json(x)) == x``; what came from a newer writer and is not known here is ignored.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

J = TypeVar("J", bound="Jsonable")

_encode = msgspec.json.Encoder().encode


class Jsonable(msgspec.Struct, frozen=True, rename=lambda name: name.rstrip("_")):
    """A value with a JSON form."""

    def to_json(self) -> dict[str, Any]:
        """A dictionary of JSON-plain values, one item a field, in the order of the fields."""
        plain: dict[str, Any] = json.loads(as_json(self))
        return plain

    @classmethod
    def from_json(cls: type[J], data: Mapping[str, Any]) -> J:
        """The inverse of :meth:`to_json`; unknown keys are ignored.

        :raises TypeError: when a field without a default is missing, or a value is none of its field.
        """
        try:
            return msgspec.convert(data, cls)
        except msgspec.ValidationError as error:
            raise TypeError(str(error)) from None


def as_json(document: Jsonable | Mapping[str, Any]) -> bytes:
    """A document on one line, with its line end."""
    try:
        return _encode(document) + b"\n"
    except UnicodeEncodeError:  # half a surrogate pair, that a program left in a name: UTF-8 has none
        return json.dumps(msgspec.to_builtins(document), separators=(",", ":")).encode() + b"\n"


def digest_key(*words: str) -> str:
    """The key of an identity: 40 hexadecimal digits of SHA-256 over the words, each with its length before it."""
    text = "".join(f"{len(word)}:{word}" for word in words)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40]
