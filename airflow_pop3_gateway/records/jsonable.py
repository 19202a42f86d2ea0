"""The JSON form of a frozen dataclass, and the key of an identity.

Invariant: ``from_json(to_json(x)) == x``; what came from a newer writer and is not known here is ignored.
"""

from __future__ import annotations

import dataclasses
import hashlib
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

J = TypeVar("J", bound="Jsonable")


def _plain(value: Any) -> Any:
    if type(value) in _SCALARS:
        return value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, Jsonable):
        return value.to_json()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value


_SCALARS = frozenset((str, int, float, bool, type(None)))


def _revive(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        return tuple(_revive(arguments[0], item) for item in value)
    if isinstance(kind, type) and issubclass(kind, Jsonable):
        return kind.from_json(value)
    for argument in arguments:
        if isinstance(argument, type) and issubclass(argument, Jsonable):
            return argument.from_json(value)
    return value


def _is_plain(kind: Any) -> bool:
    """Whether the JSON form of a value of this type is the value."""
    arguments = typing.get_args(kind)
    nothing = isinstance(kind, type) and issubclass(kind, Jsonable)
    return not nothing and typing.get_origin(kind) is not tuple and all(map(_is_plain, arguments))


_FIELDS: dict[type, tuple[tuple[str, str, Any], ...]] = {}


def _fields(cls: Any) -> tuple[tuple[str, str, Any], ...]:
    """Of each field: its name, its key in JSON, and its type where a value of it has to be revived."""
    fields = _FIELDS.get(cls)
    if fields is None:
        hints = typing.get_type_hints(cls)
        names = [item.name for item in dataclasses.fields(cls)]
        fields = _FIELDS[cls] = tuple(
            (name, name.rstrip("_"), None if _is_plain(hints[name]) else hints[name]) for name in names
        )
    return fields


class Jsonable:
    """Gives a frozen dataclass its JSON form."""

    __slots__ = ()

    def to_json(self, **instead: Any) -> dict[str, Any]:
        """A dictionary of JSON-plain values, one item a field, in the order of the fields.

        :param instead: values that stand for those of some fields.
        """
        values = {**vars(self), **instead}
        return {
            key: value if type(value := values[name]) in _SCALARS else _plain(value)
            for name, key, _ in _fields(type(self))
        }

    @classmethod
    def from_json(cls: type[J], data: Mapping[str, Any]) -> J:
        """The inverse of :meth:`to_json`; unknown keys are ignored.

        :raises TypeError: when a field without a default is missing.
        """
        return cls(
            **{
                name: data[key] if kind is None else _revive(kind, data[key])
                for name, key, kind in _fields(cls)
                if key in data
            }
        )


def digest_key(*words: str) -> str:
    """The key of an identity: 40 hexadecimal digits of SHA-256 over the words, each with its length before it."""
    text = "".join(f"{len(word)}:{word}" for word in words)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:40]
