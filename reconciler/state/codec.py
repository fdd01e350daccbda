"""Values as JSON and back, by the type hints of their dataclasses.

The ledger and the documents share this codec.

Rules this module keeps:

1. The key of a field is its name. The one exception is an instant: ``created_at_ms`` is
   written as ``"created_at": "2026-11-22T08:30:00.000Z"``. A length of time
   (``LENGTHS``) keeps its name and its milliseconds. Where machines are to read it
   (``unix``), an instant also stands there in whole seconds, as ``"created_at_unix"``.
2. A member of an enumeration is written as its value, with ``_`` for spaces.
3. Reading guesses nothing: each value has the type of its field, each key is there
   unless its field is ``OPTIONAL``. A key that no field has is passed over, because a
   newer version may have written it; where that is wrong, a JSON Schema refuses it
   first.
4. What was read can be written again: text has no lone surrogate, a number fits Vault's
   63 bits, an instant lies in the calendar.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from reconciler.model import SECOND_MS, instant_ms, iso

T = TypeVar("T")

LENGTHS = frozenset(
    {
        *("age_ms", "doubt_ms", "gap_ms", "grace_ms", "lag_ms", "life_ms", "overlap_ms"),
        *("reserve_age_ms", "rotate_after_ms", "rotate_before_ms"),
    }
)
"""The fields that end in ``_ms`` and are lengths of time, not instants."""

OPTIONAL = types.MappingProxyType({"optional": True})
"""Metadata of a field whose key may be missing: the field's default is taken then."""

LEFT_OUT = types.MappingProxyType({"optional": True, "left_out": True})
"""Metadata of an optional field whose key is left out while it has its default."""

UNWRITTEN = types.MappingProxyType({"unwritten": True})
"""Metadata of a field that is neither written nor read: its default is taken."""

_COUNTS_END = 2**63
_NEVER = object()  # equal to no value
_SCALARS = frozenset({str, int, bool})


class _Field(NamedTuple):
    name: str
    key: str
    instant: bool
    optional: bool
    left_out: object
    read: Callable[[Any], Any]


def to_plain(value: Any, *, unix: bool = False) -> Any:
    """Return a value as the dictionaries, lists and scalars that ``json`` writes.

    With ``unix`` each instant stands there twice (rule 1).
    """
    if value is None or type(value) in _SCALARS:
        return value
    if dataclasses.is_dataclass(value):
        return _fields_plain(value, unix=unix)
    if isinstance(value, enum.Enum):
        return word_of(value)
    if isinstance(value, tuple):
        return [to_plain(item, unix=unix) for item in value]
    if isinstance(value, frozenset):
        return sorted(to_plain(item) for item in value)
    if isinstance(value, Mapping):
        return {key: to_plain(item, unix=unix) for key, item in value.items()}
    raise TypeError(f"a {type(value).__name__} is never written")  # above all no Secret


def _fields_plain(value: Any, *, unix: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    kind: Any = type(value)
    for field in _fields(kind):
        part = getattr(value, field.name)
        if part == field.left_out:
            continue
        if not field.instant:
            found[field.key] = to_plain(part, unix=unix)
        elif unix:
            found |= instant_plain(field.key, part)
        else:
            found[field.key] = None if part is None else iso(part)
    return found


def instant_plain(key: str, at_ms: int | None) -> dict[str, Any]:
    """Return an instant as text for people, and as whole seconds since 1970."""
    if at_ms is None:
        return {key: None, f"{key}_unix": None}
    return {key: iso(at_ms), f"{key}_unix": at_ms // SECOND_MS}


def word_of(member: enum.Enum) -> str:
    """Return the value of an enumeration's member as one word."""
    return str(member.value).replace(" ", "_")


def from_plain(kind: type[T], value: Any) -> T:
    """Return the value of this kind that ``plain`` wrote.

    ValueError if it can't be one.
    """
    hint: Any = kind
    found: T = _reader(hint)(value)
    return found


@functools.cache
def _fields(kind: Any) -> tuple[_Field, ...]:
    hints = typing.get_type_hints(kind)
    found = []
    for field in dataclasses.fields(kind):
        if "unwritten" in field.metadata:
            continue
        instant = field.name.endswith("_ms") and field.name not in LENGTHS
        found.append(
            _Field(
                name=field.name,
                key=field.name.removesuffix("_ms") if instant else field.name,
                instant=instant,
                optional="optional" in field.metadata,
                left_out=field.default if "left_out" in field.metadata else _NEVER,
                read=_reader(hints[field.name], instant=instant),
            )
        )
    return tuple(found)


@functools.cache
def _reader(hint: Any, *, instant: bool = False) -> Callable[[Any], Any]:
    """Return the function that reads a value of a type hint."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in {types.UnionType, typing.Union}:
        (inner,) = (argument for argument in arguments if argument is not types.NoneType)
        read_inner = _reader(inner, instant=instant)
        return lambda value: None if value is None else read_inner(value)
    if origin in {tuple, frozenset}:
        read_item = _reader(arguments[0])
        return lambda value: origin(read_item(item) for item in _of(list, value))
    if origin is Mapping:
        read_key, read_item = _reader(arguments[0]), _reader(arguments[1])
        return lambda value: {
            read_key(key): read_item(item) for key, item in _of(dict, value).items()
        }
    if dataclasses.is_dataclass(hint):
        kind: Any = hint
        return functools.partial(_dataclass, kind)
    if issubclass(hint, enum.Enum):
        return functools.partial(_member, {word_of(member): member for member in hint})
    scalars: dict[Any, Callable[[Any], Any]] = {
        str: _text,
        bool: functools.partial(_of, bool),
        int: _instant if instant else _count,
    }
    return scalars[hint]


def _of(kind: type[T], value: Any) -> T:
    if type(value) is not kind:
        raise ValueError(f"not a {kind.__name__}")
    return value


def _dataclass(kind: Any, value: Any) -> Any:
    found = _of(dict, value)
    values = {}
    for field in _fields(kind):
        if field.key in found:
            values[field.name] = field.read(found[field.key])
        elif not field.optional:
            raise ValueError(f"{field.key} is missing")
    return kind(**values)


def _member(members: Mapping[str, enum.Enum], value: Any) -> enum.Enum:
    member = members.get(_of(str, value))
    if member is None:
        raise ValueError("no member of the enumeration")
    return member


def _text(value: Any) -> str:
    _of(str, value).encode()  # JSON can hold a lone surrogate; no file or terminal can
    return typing.cast("str", value)


def _count(value: Any) -> int:
    if not 0 <= _of(int, value) < _COUNTS_END:
        raise ValueError("not a count")
    return typing.cast("int", value)


def _instant(value: Any) -> int:
    return instant_ms(_text(value))
