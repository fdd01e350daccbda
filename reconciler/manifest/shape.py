"""What the schema says of a manifest: which of its keys can be used, which are wrong.

Rules this module keeps:

1. The schema decides. jsonschema judges by ``schemas/tokens.schema.json``, and no rule
   of shape is written down here again. Where the schema has better words than ours
   (``patternErrorMessage``, ``examples``), ``sentences`` uses them.
2. What the schema surely allows (``surely``) is not shown to jsonschema. Only a
   manifest with something wrong in it waits until jsonschema is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from reconciler import load_schema
from reconciler.errors import Problem
from reconciler.manifest.sentences import LONGEST_LIST, absent, sentences
from reconciler.manifest.strict_yaml import Node
from reconciler.manifest.surely import surely
from reconciler.values import value

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError


@value
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
        content = self.node.value  # not ``pairs``: this is asked often for each token
        if self.wrong and key in self.wrong:
            return None
        return content.get(key) if isinstance(content, dict) else None

    def within(self, key: str, inner: str) -> Node | None:
        """Return the node of a key in the mapping of ``key``; None as for ``get``."""
        node = self.get(key)
        return node.pairs.get(inner) if node else None


class Shape:
    """Judges documents and tokens by the schema of the manifest."""

    def __init__(self) -> None:
        self.schema = load_schema("tokens")
        token = self.schema["properties"]["tokens"]["items"]
        self.path = re.compile(self.schema["$defs"]["path"]["pattern"])
        self.scope = re.compile(self.schema["$defs"]["scope"]["pattern"])
        self._document = {key: rule for key, rule in self.schema.items() if key != "required"}
        self._is_surely_document = surely(self._document, self.schema)
        self._is_surely_token = surely(token, self.schema)
        self._token = {"$defs": self.schema["$defs"], **token}
        self._validators: dict[int, Draft202012Validator] = {}

    def judge_document(self, root: Node) -> Judged:
        """Return the head of one file as judged.

        A missing key is no problem here, since another file may hold it. Tokens are for
        ``judge_token``.
        """
        bare = root
        if isinstance(root.value, dict):
            pairs = {key: _emptied(key, child) for key, child in root.value.items()}
            bare = Node(pairs, root.file, root.at)
        value = plain(bare)
        if self._is_surely_document(value):
            return Judged(node=root)
        return _judged(root, self._errors(self._document, value), "the manifest")

    def judge_token(self, node: Node) -> Judged:
        """Return one token as judged."""
        value = plain(node)
        if self._is_surely_token(value):
            return Judged(node=node)
        return _judged(node, self._errors(self._token, value), "this token")

    def _errors(self, schema: dict[str, Any], value: Any) -> Iterator[ValidationError]:
        # only where something may be wrong
        from jsonschema import Draft202012Validator  # noqa: PLC0415

        validator = self._validators.setdefault(id(schema), Draft202012Validator(schema))
        return validator.iter_errors(value)

    def missing(self, roots: Iterable[Node]) -> Iterator[str]:
        """Yield the top keys that no file of the manifest has."""
        present = {key: child for root in roots for key, child in root.pairs.items()}
        return absent(self.schema, present)


def plain(node: Node) -> Any:
    """Return the node as JSON data; an ``Odd`` stays, since it is no type of JSON."""
    value = node.value
    if isinstance(value, dict):
        return {
            # most are scalars, and a call for each of them is a tenth of judging
            key: plain(child) if isinstance(child.value, (dict, list)) else child.value
            for key, child in value.items()
        }
    if isinstance(value, list):
        return [plain(child) for child in value[:LONGEST_LIST]]
    return value


def _emptied(key: str, node: Node) -> Node:
    is_tokens = key == "tokens" and isinstance(node.value, list)
    return Node([], node.file, node.at) if is_tokens else node


def _judged(node: Node, errors: Iterable[ValidationError], whole: str) -> Judged:
    faults = list(errors)
    wrong = frozenset(str(fault.absolute_path[0]) for fault in faults if fault.absolute_path)
    return Judged(node=node, wrong=wrong, problems=sentences(node, faults, whole))
