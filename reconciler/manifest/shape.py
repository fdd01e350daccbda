"""What the schema says of a manifest: which of its keys can be used, which are wrong.

Rules this module keeps:

1. The schema decides. jsonschema judges by ``schemas/tokens.schema.json``, and no rule
   of shape is written down here again. Where the schema has better words than ours
   (``patternErrorMessage``, ``examples``), ``sentences`` uses them.
2. The way around jsonschema is only a memory of its verdicts. jsonschema takes 0.2 ms
   for a token, so 1,000 tokens would double what ``validate`` takes as a whole. A
   verdict is therefore remembered for all tokens of the same *form*: the same keys and
   the same values. Texts about which the schema says no more than length and pattern
   may differ, because they are checked for each token with the schema's own numbers
   and pattern.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from reconciler.manifest.sentences import LONGEST_LIST, absent, frozen, sentences
from reconciler.manifest.strict_yaml import Node
from reconciler.model import Problem
from reconciler.schema_files import load_schema

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

# What a text rule checks; what a token's schema may say for its verdict to depend on
# the form alone; and what judges nothing.
_TEXT_KEYWORDS = frozenset({"type", "minLength", "maxLength", "pattern"})
_FORM_KEYWORDS = frozenset({"type", "required", "additionalProperties", "properties"})
_NOTES = frozenset(
    {"title", "description", "examples", "default", "patternErrorMessage", "$comment"}
)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A mapping of the manifest after the schema judged it.

    ``wrong`` are those of its keys that are, or hold, something wrong; ``problems`` say
    what.
    """

    node: Node
    wrong: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()

    def get(self, key: str) -> Node | None:
        """Return the node of a key, or None where it is absent or wrong."""
        return None if key in self.wrong else self.node.pairs.get(key)

    def within(self, key: str, inner: str) -> Node | None:
        """Return the node of a key in the mapping of ``key``; None as for ``get``."""
        node = self.get(key)
        return node.pairs.get(inner) if node else None


class Shape:
    """Judges documents and tokens by the schema of the manifest.

    Made once for a load: jsonschema takes 60 ms and 10 MiB to import.
    """

    def __init__(self) -> None:
        # only where a manifest is read
        from jsonschema import Draft202012Validator  # noqa: PLC0415

        self.schema = load_schema("tokens")
        token = self._resolved(self.schema["properties"]["tokens"]["items"])
        self.path = re.compile(self.schema["$defs"]["path"]["pattern"])
        self.scope = re.compile(self.schema["$defs"]["scope"]["pattern"])
        self._document = Draft202012Validator(self.schema)
        self._token = self._document.evolve(schema=token)
        self._rules = self._text_rules(token)
        self._verdicts: dict[Hashable, bool] = {}

    def judge_document(self, root: Node) -> Judged:
        """Return the head of one file as judged.

        A missing key is no problem here, since another file may hold it. Tokens are for
        ``judge_token``.
        """
        bare = root
        if isinstance(root.value, dict):
            pairs = {key: _emptied(key, child) for key, child in root.value.items()}
            bare = Node(pairs, root.file, root.at)
        errors = self._document.iter_errors(plain(bare))
        here = (fault for fault in errors if fault.validator != "required" or fault.absolute_path)
        return _judged(root, here, "the manifest")

    def judge_token(self, node: Node) -> Judged:
        """Return one token as judged."""
        if self._is_surely_fine(node):
            return Judged(node=node)
        return _judged(node, self._token.iter_errors(plain(node)), "this token")

    def missing(self, roots: Iterable[Node]) -> Iterator[str]:
        """Yield the top keys that no file of the manifest has."""
        present = {key: child for root in roots for key, child in root.pairs.items()}
        return absent(self.schema, present)

    def _is_surely_fine(self, node: Node) -> bool:
        if not isinstance(node.value, dict):
            return False
        form: list[Hashable] = []
        for key, child in node.value.items():
            rule = self._rules.get(key)
            if rule is None:
                form.append((key, frozen(child)))
            elif isinstance(child.value, str) and rule(child.value):
                form.append(key)
            else:
                return False
        verdict = self._verdicts.get(tuple(form))
        if verdict is None:
            verdict = self._verdicts[tuple(form)] = self._token.is_valid(plain(node))
        return verdict

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema with its local reference followed; keys beside it win."""
        reference = schema.get("$ref")
        if reference is None:
            return schema
        target: dict[str, Any] = self.schema["$defs"][reference.removeprefix("#/$defs/")]
        return {**target, **{key: value for key, value in schema.items() if key != "$ref"}}

    def _text_rules(self, token: dict[str, Any]) -> dict[str, Callable[[str], bool]]:
        """Return a check for each property whose schema says only length, pattern."""
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


def plain(node: Node) -> Any:
    """Return the node as JSON data; an ``Odd`` stays, since it is no type of JSON."""
    value = node.value
    if isinstance(value, dict):
        return {key: plain(child) for key, child in value.items()}
    if isinstance(value, list):
        return [plain(child) for child in value[:LONGEST_LIST]]
    return value


def _fits(pattern: re.Pattern[str], least: int, most: int | None, text: str) -> bool:
    is_long_enough = least <= len(text) and (most is None or len(text) <= most)
    return is_long_enough and pattern.search(text) is not None


def _emptied(key: str, node: Node) -> Node:
    is_tokens = key == "tokens" and isinstance(node.value, list)
    return Node([], node.file, node.at) if is_tokens else node


def _judged(node: Node, errors: Iterable[ValidationError], whole: str) -> Judged:
    faults = list(errors)
    wrong = frozenset(str(fault.absolute_path[0]) for fault in faults if fault.absolute_path)
    return Judged(node=node, wrong=wrong, problems=sentences(node, faults, whole))
