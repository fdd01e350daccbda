"""What the schema says of a manifest: its verdicts, as sentences that stand where the fault is.

Rules this module keeps:

1. The schema decides. ``schemas/tokens.schema.json`` is judged by `jsonschema`; no rule
   of shape is written down here again. Where its words are better than ours
   (``patternErrorMessage``, ``examples``), they are used.
2. The way around jsonschema is only a memory of its verdicts. It takes 0.1 ms for a
   token, too long for 10,000 of them, so a verdict is remembered for all tokens of the
   same *form*: the same keys, the same values, save those texts about which the schema
   says no more than length and pattern, and these are checked for each token with the
   schema's own numbers and pattern.
3. One fault, one problem: what follows from another problem is not told.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import itertools
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

from reconciler.manifest.problems import Problems, cut, quoted, shown
from reconciler.manifest.strict_yaml import Document, Node, Odd
from reconciler.schema_files import load_schema

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

# Every list of the shape (save `tokens`, whose items are judged one by one) is bounded
# by fewer items than this in the schema. A longer list is cut before jsonschema sees
# it, which stays wrong and costs less: `uniqueItems` may compare all pairs.
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

# What a text rule checks; what a token's schema may say for its verdict to depend on
# the form alone; and what judges nothing.
_TEXT_KEYWORDS = frozenset({"type", "minLength", "maxLength", "pattern"})
_FORM_KEYWORDS = frozenset({"type", "required", "additionalProperties", "properties"})
_NOTES = frozenset(
    {"title", "description", "examples", "default", "patternErrorMessage", "$comment"}
)


def near_miss(text: str, known: Iterable[str], cutoff: float = _NEAR) -> str | None:
    """The nearest of the known words, or None."""
    found = difflib.get_close_matches(text, list(known), n=1, cutoff=cutoff)
    return found[0] if found else None


def plain(node: Node) -> Any:
    """The node as JSON data. An ``Odd`` stays one: it is no type of JSON."""
    value = node.value
    if isinstance(value, dict):
        return {key: plain(child) for key, child in value.items()}
    if isinstance(value, list):
        return [plain(child) for child in value[:LONGEST_LIST]]
    return value


class Shape:
    """Judges documents and tokens by the schema of the manifest; made once per load: jsonschema takes 60 ms to import."""

    def __init__(self) -> None:
        # 60 ms and 10 MiB, only where a manifest is read
        # 60 ms and 10 MiB, only where a document is read
        from jsonschema import Draft202012Validator  # noqa: PLC0415

        self.schema = load_schema("tokens")
        token = self._resolved(self.schema["properties"]["tokens"]["items"])
        self.most_tokens: int = self.schema["properties"]["tokens"]["maxItems"]
        self.path = re.compile(self.schema["$defs"]["path"]["pattern"])
        self.scope = re.compile(self.schema["$defs"]["scope"]["pattern"])
        self._document = Draft202012Validator(self.schema)
        self._token = self._document.evolve(schema=token)
        self._rules = self._text_rules(token)
        self._verdicts: dict[Hashable, bool] = {}

    def judge_document(self, document: Document, problems: Problems) -> frozenset[str]:
        """Tells what is wrong with the head of one file, and returns those of its keys that are, or hold, something wrong.

        Keys that are missing are not told here, since another file may hold them;
        tokens are for ``judge_token``.
        """
        root = document.root
        if isinstance(root.value, dict):
            root = Node(
                {
                    key: _emptied(child) if key == "tokens" else child
                    for key, child in root.value.items()
                },
                root.at,
            )
        errors = self._document.iter_errors(plain(root))
        here = [error for error in errors if error.validator != "required" or error.absolute_path]
        return _tell(document, root, here, problems, "the manifest")

    def judge_token(self, document: Document, node: Node, problems: Problems) -> frozenset[str]:
        """Tells what is wrong with one token, and returns those of its keys that are, or hold, something wrong."""
        if self._is_surely_fine(node):
            return frozenset()
        return _tell(document, node, self._token.iter_errors(plain(node)), problems, "this token")

    def tell_missing(
        self, documents: Sequence[Document], head: Document, problems: Problems
    ) -> None:
        """Tells which top keys no file of the manifest has; the place is the file with the head."""
        present = {
            key: child for document in documents for key, child in document.root.pairs.items()
        }
        for key in _missing(self.schema, present):
            problems.error(head.mark(head.root.at), f"the manifest has no {key} - add it")

    def _is_surely_fine(self, node: Node) -> bool:
        if not isinstance(node.value, dict):
            return False
        form: list[Hashable] = []
        for key, child in node.value.items():
            rule = self._rules.get(key)
            if rule is None:
                form.append((key, _frozen(child)))
            elif isinstance(child.value, str) and rule(child.value):
                form.append(key)
            else:
                return False
        verdict = self._verdicts.get(tuple(form))
        if verdict is None:
            verdict = self._verdicts[tuple(form)] = self._token.is_valid(plain(node))
        return verdict

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema with its local reference followed; the keys beside the reference win."""
        reference = schema.get("$ref")
        if reference is None:
            return schema
        target: dict[str, Any] = self.schema["$defs"][reference.removeprefix("#/$defs/")]
        return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}

    def _text_rules(self, token: dict[str, Any]) -> dict[str, Callable[[str], bool]]:
        """The properties of a token about which the schema says no more than length and pattern, each with that check."""
        if not token.keys() <= _FORM_KEYWORDS | _NOTES:
            return {}
        resolved = {key: self._resolved(schema) for key, schema in token["properties"].items()}
        return {
            key: functools.partial(
                _fits,
                re.compile(schema.get("pattern", "")),
                schema.get("minLength", 0),
                schema.get("maxLength"),
            )
            for key, schema in resolved.items()
            if schema.get("type") == "string" and schema.keys() <= _TEXT_KEYWORDS | _NOTES
        }


def _fits(pattern: re.Pattern[str], least: int, most: int | None, text: str) -> bool:
    return (
        least <= len(text)
        and (most is None or len(text) <= most)
        and pattern.search(text) is not None
    )


def _frozen(node: Node) -> Hashable:
    """The node as a value that is equal only to that of a node with the same JSON data (True is not 1 here)."""
    value = node.value
    if isinstance(value, dict):
        return dict, tuple([(key, _frozen(child)) for key, child in value.items()])
    if isinstance(value, list):
        return list, tuple([_frozen(child) for child in value[:LONGEST_LIST]])
    return type(value), value


def _emptied(node: Node) -> Node:
    return Node([], node.at, key_at=node.key_at) if isinstance(node.value, list) else node


def _tell(
    document: Document,
    root: Node,
    errors: Iterable[ValidationError],
    problems: Problems,
    whole: str,
) -> frozenset[str]:
    """Adds the sentences for these errors, and returns the keys of ``root`` that are, or hold, something wrong."""
    found = [(tuple(error.absolute_path), str(error.validator), error) for error in errors]
    mistyped = {path for path, keyword, _ in found if keyword == "type"}
    told: dict[tuple[int, str], None] = {}  # a set that keeps the order
    for path, keyword, error in found:
        node = _descend(root, path)
        follows = path in mistyped and keyword != "type"
        if not follows and node.value is not Odd.REFUSED:
            told.update(
                dict.fromkeys(
                    _SENTENCES[keyword](_Fault(document, node, _name(path, whole), error))
                )
            )
    for at, sentence in told:
        problems.error(document.mark(at), sentence)
    return frozenset(str(path[0]) for path, _, _ in found if path)


def _descend(node: Node, path: tuple[str | int, ...]) -> Node:
    for step in path:
        node = node.pairs[step] if isinstance(step, str) else node.items[step]
    return node


def _name(path: tuple[str | int, ...], whole: str) -> str:
    """How a message names the place:

    ``vault.mount``, ``scope`` for an item of ``scopes``.
    """
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


def _missing(schema: dict[str, Any], present: dict[str, Node]) -> Iterator[str]:
    """The required keys that are not there, save those that are only misspelt, which is told where they stand."""
    misspelt = {near_miss(key, schema["properties"]) for key in _unknown(schema, present)}
    return (key for key in schema["required"] if key not in present and key not in misspelt)


def _unknown(schema: dict[str, Any], present: Iterable[str]) -> list[str]:
    known = schema["properties"]
    return list(itertools.islice((key for key in present if key not in known), _MOST_KEYS))


@dataclasses.dataclass(frozen=True, slots=True)
class _Fault:
    """One error of jsonschema: where it stands, how the place is named, what the schema says there."""

    document: Document
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

    def here(self, rest: str) -> list[tuple[int, str]]:
        """The one sentence about the place itself."""
        return [(self.node.at, f"{self.name} {rest}")]


def _unknown_key(fault: _Fault) -> list[tuple[int, str]]:
    known = fault.schema["properties"]
    return [
        (fault.node.pairs[key].key_at, f"unknown key {quoted(key)} - {_which(key, known)}")
        for key in _unknown(fault.schema, fault.node.pairs)
    ]


def _which(key: str, known: dict[str, Any]) -> str:
    near = near_miss(key, known)
    return f"did you mean {quoted(near)}?" if near else f"known here: {', '.join(known)}"


def _no_key(fault: _Fault) -> list[tuple[int, str]]:
    schema = fault.schema["properties"]
    missing = _missing(fault.schema, fault.node.pairs)
    return [
        (fault.node.at, f"{fault.name} has no {key} - add one{_such_as(schema[key])}")
        for key in missing
    ]


def _wrong_type(fault: _Fault) -> list[tuple[int, str]]:
    node, wanted = fault.node, _TYPES[fault.limit] + _such_as(fault.schema)
    if node.value is None:
        at = node.key_at if node.key_at >= 0 else node.at
        return [(at, f"{fault.name} has no value - write {wanted}, or remove it")]
    if isinstance(node.value, dict | list | str):
        kind = {dict: "a mapping", list: "a list"}.get(
            type(node.value), f"the text {quoted(node.text)}"
        )
        return fault.here(f"must be {wanted}, not {kind}")
    if fault.limit == "string" and re.search(fault.schema.get("pattern", ""), node.text):
        kind = node.value.value if isinstance(node.value, Odd) else _scalar_kind(node.value)
        return fault.here(
            f"must be text, and YAML reads {cut(node.text)} as {kind} - put it in quotes: {quoted(node.text)}"
        )
    return fault.here(f"must be {wanted}, not {cut(node.text)}")


def _scalar_kind(value: int | bool) -> str:  # noqa: FBT001  # the value of a node, not a switch
    return "a boolean" if isinstance(value, bool) else "a number"


def _wrong_constant(fault: _Fault) -> list[tuple[int, str]]:
    return fault.here(f"must be {_as_yaml(fault.limit)}, not {cut(fault.node.text)}")


def _wrong_pattern(fault: _Fault) -> list[tuple[int, str]]:
    return fault.here(f"{quoted(fault.node.text)} - {fault.schema['patternErrorMessage']}")


def _counted(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _too_short(fault: _Fault) -> list[tuple[int, str]]:
    return fault.here(
        f"must have at least {_counted(fault.limit, 'character')} - write text{_such_as(fault.schema)}"
    )


def _too_long(fault: _Fault) -> list[tuple[int, str]]:
    return fault.here(
        f"must have at most {_counted(fault.limit, 'character')}, not {len(fault.node.text)}"
    )


def _too_small(fault: _Fault) -> list[tuple[int, str]]:
    return fault.here(f"must be at least {fault.limit}, not {fault.node.text}")


def _too_great(fault: _Fault) -> list[tuple[int, str]]:
    return fault.here(f"must be at most {fault.limit}, not {fault.node.text}")


def _too_few(fault: _Fault) -> list[tuple[int, str]]:
    return fault.here(
        f"must have at least {_counted(fault.limit, 'item')} - write {_as_yaml(fault.schema['examples'][0])}, or remove it"
    )


def _too_many(fault: _Fault) -> list[tuple[int, str]]:
    return fault.here(
        f"must have at most {_counted(fault.limit, 'item')}, not {len(fault.node.items)}"
    )


def _repeated(fault: _Fault) -> list[tuple[int, str]]:
    first: dict[Hashable, Node] = {}
    found = []
    for item in fault.node.items[:LONGEST_LIST]:
        earlier = first.setdefault(_frozen(item), item)
        if earlier is not item:
            where = shown(fault.document.mark(earlier.at))
            found.append(
                (
                    item.at,
                    f"{fault.name.removesuffix('s')} {quoted(item.text)} is here twice - the first is at {where}",
                )
            )
    return found


# Each keyword of the schema that can be broken, and the sentences about it: (packed
# position, sentence).
_SENTENCES: dict[str, Callable[[_Fault], list[tuple[int, str]]]] = {
    "additionalProperties": _unknown_key,
    "const": _wrong_constant,
    "maxItems": _too_many,
    "maxLength": _too_long,
    "maximum": _too_great,
    "minItems": _too_few,
    "minLength": _too_short,
    "minimum": _too_small,
    "pattern": _wrong_pattern,
    "required": _no_key,
    "type": _wrong_type,
    "uniqueItems": _repeated,
}
