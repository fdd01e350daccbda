"""Whether a JSON Schema allows a value, where that is plain to see.

Rules this module keeps:

1. A yes is certain. Whatever else may be (a keyword that is not in the table, a value
   that is unusual) is no answer: jsonschema then judges by the same schema.
2. So nobody whose manifest is right waits for jsonschema, which takes longer to import
   than all else that reads a manifest.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

Schema = Mapping[str, Any]
Check = Callable[[Any], bool]
"""Tells of a value whether it is surely allowed."""

_NOTES = frozenset(
    {"$defs", "$schema", "title", "description", "examples", "default", "patternErrorMessage"}
)
_TEXT = frozenset({"type", "minLength", "maxLength", "pattern"})
_WITHIN = "#/$defs/"
_TYPES: Mapping[object, type] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
}


def surely(schema: Schema, root: Schema) -> Check:
    """Return a check of a schema; its references are followed within ``root``."""
    whole = _followed(schema, root)
    if whole.get("type") == "string" and whole.keys() <= _TEXT | _NOTES:
        return _text(whole)
    if whole.get("type") == ["string", "array"]:
        return _either(whole, root)
    checks = tuple(
        _check(keyword, argument, whole, root)
        for keyword, argument in whole.items()
        if keyword not in _NOTES
    )

    def check(value: Any) -> bool:
        for one in checks:  # noqa: SIM110  # all() of a generator takes twice the time
            if not one(value):
                return False
        return True

    return check


def _properties(known: Mapping[str, Check]) -> Check:
    def check(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for key, part in value.items():  # noqa: SIM110  # as above
            if key in known and not known[key](part):
                return False
        return True

    return check


def _followed(schema: Schema, root: Schema) -> Schema:
    """Return the schema with what its reference says, unless both say the same key."""
    reference = schema.get("$ref")
    if not str(reference).startswith(_WITHIN):
        return schema
    target = _followed(root["$defs"][str(reference).removeprefix(_WITHIN)], root)
    own = {key: rule for key, rule in schema.items() if key != "$ref" and key not in _NOTES}
    return schema if own.keys() & target.keys() else {**target, **own}


def _check(keyword: str, argument: Any, schema: Schema, root: Schema) -> Check:
    simple = _SIMPLE.get(keyword)
    if simple is not None:
        return simple(argument)
    match keyword:
        case "items":
            item = surely(argument, root)
            return lambda value: type(value) is list and all(map(item, value))
        case "properties":
            return _properties({key: surely(part, root) for key, part in argument.items()})
        case "additionalProperties" if argument is False:
            names = schema.get("properties", {}).keys()
            return lambda value: type(value) is dict and value.keys() <= names
        case "additionalProperties" if "properties" not in schema:
            each = surely(argument, root)
            return lambda value: type(value) is dict and all(map(each, value.values()))
        case "propertyNames":
            name = surely({"type": "string", **argument}, root)
            return lambda value: type(value) is dict and all(map(name, value))
    return lambda _: False


def _text(schema: Schema) -> Check:
    """Return the check of a text in one step: a manifest has thousands of them."""
    least, most = schema.get("minLength", 0), schema.get("maxLength", math.inf)
    search = re.compile(schema.get("pattern", "")).search
    return lambda value: (
        type(value) is str and least <= len(value) <= most and search(value) is not None
    )


def _either(schema: Schema, root: Schema) -> Check:
    """Return the check of a text or a list; a keyword is about one of the two."""
    about = {key: rule for key, rule in schema.items() if key != "type" and key not in _NOTES}
    texts = {key: rule for key, rule in about.items() if key in _TEXT}
    lists = {key: rule for key, rule in about.items() if key not in _TEXT}
    is_text = surely({"type": "string", **texts}, root)
    is_list = surely({"type": "array", **lists}, root)
    return lambda value: is_text(value) or is_list(value)


def _type(name: Any) -> Check:
    kind = _TYPES.get(name)
    return lambda value: type(value) is kind


def _const(only: Any) -> Check:
    kind = type(only)
    return lambda value: type(value) is kind and value == only


def _required(names: Any) -> Check:
    return lambda value: type(value) is dict and all(name in value for name in names)


def _unique(wanted: Any) -> Check:
    return lambda value: (
        wanted is True
        and type(value) is list
        and all(type(item) is str for item in value)
        and len(set(value)) == len(value)
    )


_SIMPLE: Mapping[str, Callable[[Any], Check]] = {
    "type": _type,
    "const": _const,
    "required": _required,
    "uniqueItems": _unique,
    "enum": lambda words: lambda value: type(value) is str and value in words,
    "maxProperties": lambda most: lambda value: type(value) is dict and len(value) <= most,
    "minItems": lambda least: lambda value: type(value) is list and len(value) >= least,
    "maxItems": lambda most: lambda value: type(value) is list and len(value) <= most,
    "minimum": lambda least: lambda value: type(value) is int and value >= least,
    "maximum": lambda most: lambda value: type(value) is int and value <= most,
}
