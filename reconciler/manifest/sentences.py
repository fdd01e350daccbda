"""What the schema found wrong, as sentences that stand where the fault is.

Rule this module keeps: one fault, one problem. What follows from another problem is not
told, and neither is what the reader of the YAML has told already.
"""

from __future__ import annotations

import dataclasses
import difflib
import itertools
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, cast

from reconciler.errors import Mark, Problem
from reconciler.escape import counted
from reconciler.manifest.problems import cut, error, quoted
from reconciler.manifest.strict_yaml import Node, Odd

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

# The schema bounds every list of the shape by fewer items than this, except `tokens`,
# whose items are judged one by one. A longer list is cut before jsonschema sees it: it
# stays wrong and costs less, because `uniqueItems` may compare all pairs.
LONGEST_LIST = 64

_MOST_KEYS = 100  # unknown keys of one mapping that are told
_NEAR = 0.6  # difflib's own default for a near miss

_TYPES = {
    "object": "a mapping (key: value)",
    "array": "a list",
    "string": "text",
    "integer": "a whole number in plain digits",
    "boolean": "true or false",
}

_Path = tuple[str | int, ...]
_Found = Iterator[tuple[Mark, str]]


def sentences(root: Node, errors: Iterable[ValidationError], whole: str) -> tuple[Problem, ...]:
    """Return the problems that jsonschema's errors about ``root`` stand for.

    ``whole`` is how a message names the root.
    """
    found = [(tuple(fault.absolute_path), str(fault.validator), fault) for fault in errors]
    mistyped = {path for path, keyword, _ in found if keyword == "type"}
    told: dict[tuple[Mark, str], None] = {}  # a set that keeps the order
    for path, keyword, fault in found:
        node = _descend(root, path)
        follows = path in mistyped and keyword != "type"
        if not follows and node.value is not Odd.REFUSED:
            about = _Fault(node, _name(path, whole), fault)
            of_name = isinstance(node.value, dict) and keyword in _OF_NAMES
            here = [about.here(_HERE[keyword](about))] if keyword in _HERE and not of_name else []
            if of_name:
                here = [about.at_key(_OF_NAMES[keyword](about))]
            told.update(dict.fromkeys(here or _THERE[keyword](about)))
    return tuple(error(mark, sentence) for mark, sentence in told)


def absent(schema: dict[str, Any], present: dict[str, Node]) -> Iterator[str]:
    """Yield the required keys that are absent.

    A misspelt one counts as present, because that is told where it stands.
    """
    misspelt = {near_miss(key, schema["properties"]) for key in _unknown(schema, present)}
    return (key for key in schema["required"] if key not in present and key not in misspelt)


def near_miss(text: str, known: Iterable[str], cutoff: float = _NEAR) -> str | None:
    """Return the nearest of the known words, or None."""
    found = difflib.get_close_matches(text, list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def frozen(node: Node) -> Hashable:
    """Return a value that is equal only for the same JSON data; True is not 1."""
    value = node.value
    if isinstance(value, dict):
        return dict, tuple([(key, frozen(child)) for key, child in value.items()])
    if isinstance(value, list):
        return list, tuple([frozen(child) for child in value[:LONGEST_LIST]])
    return type(value), value


def _descend(node: Node, path: _Path) -> Node:
    for step in path:
        node = node.pairs[step] if isinstance(step, str) else node.items[step]
    return node


def _name(path: _Path, whole: str) -> str:
    """Return ``vault.mount``, or ``scope`` for an item of ``scopes``."""
    keys = ".".join(step for step in path if isinstance(step, str))
    if path and isinstance(path[-1], int):
        return keys.removesuffix("s")
    return keys or whole


def _as_yaml(example: Any) -> str:
    if isinstance(example, dict):
        return "{" + ", ".join(f"{key}: {_as_yaml(value)}" for key, value in example.items()) + "}"
    if isinstance(example, list):
        return "[" + ", ".join(_as_yaml(item) for item in example) + "]"
    return str(example)


def _such_as(schema: dict[str, Any]) -> str:
    return f" such as {_as_yaml(schema['examples'][0])}" if "examples" in schema else ""


def _unknown(schema: dict[str, Any], present: Iterable[str]) -> list[str]:
    known = schema["properties"]
    return list(itertools.islice((key for key in present if key not in known), _MOST_KEYS))


@dataclasses.dataclass(frozen=True, slots=True)
class _Fault:
    """One error of jsonschema: the node, the name of its place, the schema's words."""

    node: Node
    name: str
    error: ValidationError

    @property
    def limit(self) -> Any:
        """The value of the keyword that was broken."""
        return self.error.validator_value

    @property
    def schema(self) -> dict[str, Any]:
        """The schema with that keyword."""
        return cast("dict[str, Any]", self.error.schema)

    def here(self, rest: str) -> tuple[Mark, str]:
        """Return the one sentence about the place itself."""
        return self.node.mark, f"{self.name} {rest}"

    def at_key(self, rest: str) -> tuple[Mark, str]:
        """Return the one sentence about a key of the place, where the key stands."""
        key = str(self.error.instance)
        return self.node.pairs[key].key_mark, f"{self.name}: name {quoted(key)} - {rest}"


def _unknown_key(fault: _Fault) -> _Found:
    known = fault.schema["properties"]
    for key in _unknown(fault.schema, fault.node.pairs):
        near = near_miss(key, known)
        hint = f"did you mean {quoted(near)}?" if near else f"known here: {', '.join(known)}"
        node = fault.node.pairs[key]
        yield node.key_mark, f"unknown key {quoted(key)} - {hint}"


def _no_key(fault: _Fault) -> _Found:
    for key in absent(fault.schema, fault.node.pairs):
        yield fault.here(f"has no {key} - add one{_such_as(fault.schema['properties'][key])}")


def _wrong_type(fault: _Fault) -> _Found:
    kinds = fault.limit if isinstance(fault.limit, list) else [fault.limit]
    node, wanted = fault.node, " or ".join(_TYPES[k] for k in kinds) + _such_as(fault.schema)
    if node.value is None:
        sentence = f"{fault.name} has no value - write {wanted}, or remove it"
        yield node.key_mark, sentence
    elif isinstance(node.value, dict | list):
        kind = "a mapping" if isinstance(node.value, dict) else "a list"
        yield fault.here(f"must be {wanted}, not {kind}")
    elif isinstance(node.value, str):
        yield fault.here(f"must be {wanted}, not the text {quoted(node.text)}")
    elif "string" in kinds and re.search(fault.schema.get("pattern", ""), node.text):
        reads = f"YAML reads {cut(node.text)} as {_scalar_kind(node.value)}"
        yield fault.here(f"must be text, and {reads} - put it in quotes: {quoted(node.text)}")
    else:
        yield fault.here(f"must be {wanted}, not {cut(node.text)}")


def _scalar_kind(value: Odd | int | bool) -> str:  # noqa: FBT001  # the value of a node, not a switch
    if isinstance(value, Odd):
        return value.value
    return "a boolean" if isinstance(value, bool) else "a number"


def _repeated(fault: _Fault) -> _Found:
    seen: dict[Hashable, Node] = {}
    name = fault.name.removesuffix("s")
    for item in fault.node.items[:LONGEST_LIST]:
        first = seen.setdefault(frozen(item), item)
        if first is not item:
            what = f"{name} {quoted(item.text)} is here twice"
            yield item.mark, f"{what} - the first is at {first.mark}"


# Each keyword of the schema that can be broken: the one sentence about the place itself
# (``_HERE``), or several sentences at places of their own (``_THERE``).
_HERE: dict[str, Callable[[_Fault], str]] = {
    "const": lambda f: f"must be {_as_yaml(f.limit)}, not {cut(f.node.text)}",
    "enum": lambda f: f"must be one of {', '.join(f.limit)}, not {quoted(f.node.text)}",
    "maxProperties": lambda f: (
        f"must have at most {counted(f.limit, 'name')}, not {len(f.node.pairs)}"
    ),
    "maxItems": lambda f: f"must have at most {counted(f.limit, 'item')}, not {len(f.node.items)}",
    "maxLength": lambda f: (
        f"must have at most {counted(f.limit, 'character')}, not {len(f.node.text)}"
    ),
    "maximum": lambda f: f"must be at most {f.limit}, not {f.node.text}",
    "minItems": lambda f: (
        f"must have at least {counted(f.limit, 'item')} "
        f"- write {_as_yaml(f.schema['examples'][0])}, or remove it"
    ),
    "minLength": lambda f: (
        f"must have at least {counted(f.limit, 'character')} - write text{_such_as(f.schema)}"
    ),
    "minimum": lambda f: f"must be at least {f.limit}, not {f.node.text}",
    "pattern": lambda f: f"{quoted(f.node.text)} - {f.schema['patternErrorMessage']}",
}
# Those about the name of a key, where the schema names ``propertyNames``.
_OF_NAMES: dict[str, Callable[[_Fault], str]] = {
    "pattern": lambda f: f.schema["patternErrorMessage"],
    "maxLength": lambda f: f"it must have at most {counted(f.limit, 'character')}",
}
_THERE: dict[str, Callable[[_Fault], _Found]] = {
    "additionalProperties": _unknown_key,
    "required": _no_key,
    "type": _wrong_type,
    "uniqueItems": _repeated,
}
