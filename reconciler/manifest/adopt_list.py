"""The list of tokens to adopt: YAML or JSON, and every mistake in it with its place.

    key              value                                             default
    ---------------  ------------------------------------------------  ----------------
    label            a label of the manifest; each once                required
    vault            MOUNT/PATH of what holds the secret               required
    token_id         the live token's id; each once                    read from Vault
    token_id_field   the field that holds the id                       token_id
    secret_field     the field that holds the secret                   secret

Rules this module keeps:

1. All mistakes at once, each with file, line and column.
2. A secret has no place in the list. What stands under a wrong key, an unknown label
   and the name of a field may be one, so no message repeats them.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator

from reconciler.errors import Problem
from reconciler.manifest.problems import ManifestError, Problems, error, quoted
from reconciler.manifest.sentences import near_miss
from reconciler.manifest.starter import quoted as scalar
from reconciler.manifest.strict_yaml import Node, UnreadableError, compose
from reconciler.model import MAX_LABELS, ToAdopt

HINTS_MOST = 20
"""So many mistakes get a hint at a label that is alike; looking for one is slow."""

_KEYS = ("label", "vault", "token_id", "token_id_field", "secret_field")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}")
_PAIR = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|.)", re.DOTALL)


def read_adopt_list(name: str, text: str, labels: Iterable[str]) -> tuple[ToAdopt, ...]:
    """Return the rows of a list. ManifestError holds every problem.

    ``labels`` are those of the manifest.
    """
    problems = Problems()
    rows: list[ToAdopt] = []
    try:
        root = compose(name, _as_yaml(text).encode(), problems, itertools.count(1))
    except UnreadableError as failure:
        problems.add(error(failure.mark, str(failure)))
    else:
        nodes = _nodes(root, problems)
        known = frozenset(labels)
        for node in nodes:
            found = list(_wrong(node, known, hints=problems.errors < HINTS_MOST))
            problems.extend(found)
            if not found:
                rows.append(_row(node))
        problems.extend(_twice(nodes))
    if problems.errors:
        raise ManifestError(problems.in_order(), problems.errors, what="the list to adopt")
    return tuple(rows)


def adopt_list_text(rows: Iterable[ToAdopt]) -> str:
    """Return rows as a list that can be read again."""
    return "".join(
        f"- label: {scalar(row.label)}\n"
        + (f"  token_id: {scalar(row.token_id, plain=False)}\n" if row.token_id else "")
        + f"  vault: {scalar(row.place)}\n"
        + ("" if row.token_id else f"  token_id_field: {scalar(row.token_id_field)}\n")
        + f"  secret_field: {scalar(row.secret_field)}\n"
        for row in rows
    )


def _as_yaml(text: str) -> str:
    """Return JSON with its surrogate pairs as characters: YAML has no such pairs."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return _PAIR.sub(lambda found: _joined(found[0]), text)


def _joined(escape: str) -> str:
    return json.loads(f'"{escape}"') if len(escape) > 2 else escape  # noqa: PLR2004  # `\n`


def _nodes(root: Node, problems: Problems) -> list[Node]:
    """Return the rows of the list, which is one, has some, and is not too long."""
    if not isinstance(root.value, list):
        problems.add(error(root.mark, "this is no list - write rows that begin with `- label:`"))
    elif not root.items:
        problems.add(error(root.mark, "the list is empty - write a row for each token to adopt"))
    elif len(root.items) > MAX_LABELS:
        surplus = root.items[MAX_LABELS]
        problems.add(error(surplus.mark, f"more than {MAX_LABELS:,} rows - adopt in several goes"))
    return root.items[:MAX_LABELS]


def _wrong(node: Node, labels: frozenset[str], *, hints: bool) -> Iterator[Problem]:
    if not isinstance(node.value, dict):
        yield error(node.mark, "a row is a mapping - write label: and vault:")
        return
    pairs = node.pairs
    for key, child in pairs.items():
        if key not in _KEYS:
            alike = near_miss(key, _KEYS)
            hint = f"did you mean {alike}?" if alike else f"the keys are {', '.join(_KEYS)}"
            yield error(child.key_mark, f"a row has no such key - {hint}")
        elif child.value is not None and not isinstance(child.value, str):
            yield error(child.mark, f"{key} is text - write it in quotes")
    yield from _wrong_label(node, labels if hints else frozenset(), known=labels)
    yield from _wrong_place(node, labels)
    if "token_id" in pairs and "token_id_field" in pairs:
        second = pairs["token_id_field"]
        yield error(second.key_mark, "token_id and token_id_field exclude each other - keep one")
    if "token_id" in pairs and pairs["token_id"].value in {None, ""}:
        yield error(pairs["token_id"].mark, "token_id is empty - write the id, or leave it out")
    for key in pairs.keys() & {"token_id_field", "secret_field"}:
        if not _FIELD.fullmatch(_text(node, key)):
            sentence = f"{key} is the name of a field - never the value itself"
            yield error(pairs[key].mark, sentence)


def _wrong_place(node: Node, known: frozenset[str]) -> Iterator[Problem]:
    place = node.pairs.get("vault")
    if place is None or place.value in {None, ""}:
        label = _text(node, "label")
        whose = f" of {quoted(label)}" if label in known else ""
        where = place or node
        yield error(where.mark, f"vault{whose} is empty - write MOUNT/PATH of its secret")
    elif isinstance(place.value, str) and "/" not in place.value.strip("/"):
        yield error(place.mark, "vault names no path - write MOUNT/PATH")


def _wrong_label(node: Node, near: frozenset[str], *, known: frozenset[str]) -> Iterator[Problem]:
    label = node.pairs.get("label")
    if label is None or label.value in {None, ""}:
        yield error((label or node).mark, "a row has no label - write one of the manifest's")
    elif isinstance(label.value, str) and label.value not in known:
        alike = near_miss(label.value, sorted(near))
        hint = f"did you mean {quoted(alike)}?" if alike else "add it there, or remove the row"
        yield error(label.mark, f"the manifest has no such label - {hint}")


def _twice(nodes: Iterable[Node]) -> Iterator[Problem]:
    """Yield a problem for each label and each id that an earlier row has."""
    first: dict[tuple[str, str], Node] = {}
    for node in nodes:
        for key in ("label", "token_id"):
            found = node.pairs.get(key)
            if found is None or not isinstance(found.value, str) or not found.value:
                continue
            before = first.setdefault((key, found.value), found)
            if before is not found:
                yield error(found.mark, f"{key} is here twice - the first is at {before.mark}")


def _row(node: Node) -> ToAdopt:
    given = {
        "token_id_field": _text(node, "token_id_field"),
        "secret_field": _text(node, "secret_field"),
    }
    return ToAdopt(
        label=_text(node, "label"),
        place=_text(node, "vault").strip("/"),
        token_id=_text(node, "token_id") or None,
        **{key: text for key, text in given.items() if text},
    )


def _text(node: Node, key: str) -> str:
    found = node.pairs.get(key)
    return found.value if found is not None and isinstance(found.value, str) else ""
