"""The rules that tie two places together, and those about the pins.

Those about when rotations happen are in ``timing``.

Each rule is a function of the whole draft that yields problems; ``RULES`` is the table
of contents. Rules rest on what the schema found good, and leave out the rest: its
problem has been told.

Rules this module keeps:

1. A rule changes nothing, so each can be asked alone and in any order.
2. The manifest is data from a pull request. What it may not choose comes from whoever
   runs the pipeline, as ``Pins``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from reconciler.errors import Problem
from reconciler.manifest import timing
from reconciler.manifest.problems import SEVERAL, error, quoted, warning
from reconciler.manifest.sentences import near_miss
from reconciler.manifest.shape import Judged, Shape
from reconciler.manifest.strict_yaml import Node
from reconciler.model import DEFAULT_SCOPES, MAX_LABELS, SCOPES
from reconciler.values import value

LEGACY_KEY = "LIMITLESS_API_KEY"
HEAD_KEYS = ("profile_id", "manager", "vault", "defaults")

# 'tradng' is so alike that it is taken for a slip, 'trading_v2' for a new scope.
_MISSPELT = 0.85
_ALIKE = 0.75  # below it, scopes as different as admin and trading are alike


@value
class Pins:
    """What whoever runs the pipeline allows, whatever the manifest says.

    ``vault_prefix`` is ``mount/prefix`` (RECONCILER_VAULT_PREFIX); ``allowed_scopes``
    come from RECONCILER_ALLOWED_SCOPES; None allows anything. With ``missing_manager``
    (--allow-missing-manager) a manager that is none of the tokens is only a warning.
    """

    vault_prefix: str | None = None
    allowed_scopes: tuple[str, ...] | None = None
    missing_manager: bool = False


@value
class Draft:
    """All that was read, judged by the schema.

    ``files`` are the files that could be read, ``head`` is the one with the head keys.
    ``tokens`` are those of all files, at most ``MAX_LABELS``; ``surplus`` is the first
    token beyond. ``complete`` says that no file is missing because it can't be read.
    ``keys`` are those that any token has, so that a rule about others is quick.
    """

    shape: Shape
    pins: Pins
    files: tuple[Judged, ...]
    head: Judged
    tokens: tuple[Judged, ...]
    surplus: Node | None
    complete: bool
    keys: frozenset[str]

    def written(self, key: str) -> list[Node | None]:
        """Return the nodes of a key in the defaults and in each token."""
        own = [token.get(key) for token in self.tokens] if key in self.keys else []
        return [self.head.within("defaults", key), *own]


def one_head(draft: Draft) -> Iterator[Problem]:
    """All head keys stand in one file, each once."""
    first = draft.head.node
    for other in draft.files:
        for key in HEAD_KEYS if other is not draft.head else ():
            again, before = other.node.pairs.get(key), first.pairs.get(key)
            if again is not None and before is not None:
                sentence = (
                    f"the key {quoted(key)} is here twice - the first is at {before.key_mark}"
                )
                yield error(again.key_mark, sentence)
            elif again is not None:
                where = f"belongs to the head, which is in {first.mark}"
                yield error(again.key_mark, f"the key {quoted(key)} {where} - move it there")


def nothing_missing(draft: Draft) -> Iterator[Problem]:
    """Some file has each required key; asked only if every file is a mapping."""
    roots = [file.node for file in draft.files]
    if draft.complete and all(isinstance(root.value, dict) for root in roots):
        for key in draft.shape.missing(roots):
            yield error(draft.head.node.mark, f"the manifest has no {key} - add it")


def pinned_prefix(draft: Draft) -> Iterator[Problem]:
    """The place in Vault is the pinned one.

    Comparing the joined text is enough: Vault mounts nothing below another mount, so
    the text can be cut in two in only one way.
    """
    pin = (draft.pins.vault_prefix or "").strip("/")
    mount, prefix = draft.head.within("vault", "mount"), draft.head.within("vault", "prefix")
    if draft.pins.vault_prefix is None or mount is None or prefix is None:
        return
    place = f"{mount.text}/{prefix.text}"
    if place != pin:
        wrong = prefix if pin.startswith(mount.text + "/") else mount
        yield error(
            wrong.mark,
            f"vault is {quoted(place)}, and RECONCILER_VAULT_PREFIX allows only {quoted(pin)}"
            " - write that, or have the pin changed",
        )


def fleet_size(draft: Draft) -> Iterator[Problem]:
    """The ledger of the manifest fits into one entry of Vault."""
    if draft.surplus is not None:
        yield error(draft.surplus.mark, f"more than {MAX_LABELS:,} tokens - {SEVERAL}")


def scopes(draft: Draft) -> Iterator[Problem]:
    """Every scope is known and allowed; ``delegated_signing`` stands with ``trading``.

    An unknown scope is one warning, at its first place: a new scope of the exchange may
    be in every token.
    """
    known = (*SCOPES, *(draft.pins.allowed_scopes or ()))
    common = frozenset(SCOPES if draft.pins.allowed_scopes is None else ())
    unknown: dict[str, list[Node]] = {}
    for token in draft.tokens:
        named = _named_scopes(draft.shape, token)
        clean = "scopes" not in token.wrong
        for scope, node in named.items():
            sentence = None
            if scope not in common:
                sentence = _not_allowed(scope, known, draft.pins.allowed_scopes)
            if sentence is not None:
                yield error(node.mark, sentence)
            elif scope not in known:
                unknown.setdefault(scope, []).append(node)
            clean = clean and scope in known and sentence is None
        if clean and "delegated_signing" in named and "trading" not in named:
            yield error(
                named["delegated_signing"].mark,
                "scope 'delegated_signing' needs 'trading' in the same token - add it",
            )
    for scope, nodes in unknown.items():
        times = f" ({len(nodes)} times)" if len(nodes) > 1 else ""
        alike = near_miss(scope, known, _ALIKE)
        hint = f"did you mean {quoted(alike)}?" if alike else "the exchange may know it"
        yield warning(nodes[0].mark, f"scope {quoted(scope)} is not known here{times} - {hint}")


def _named_scopes(shape: Shape, token: Judged) -> dict[str, Node]:
    """Return each well-formed scope, even of a list that is not, with its node."""
    node = token.node.pairs.get("scopes")
    if node is None:
        return dict.fromkeys(DEFAULT_SCOPES, token.node)
    return {
        item.text: item
        for item in node.items
        if item.value in SCOPES or (isinstance(item.value, str) and shape.scope.search(item.text))
    }


def _not_allowed(scope: str, known: tuple[str, ...], allowed: tuple[str, ...] | None) -> str | None:
    if scope not in known:
        alike = near_miss(scope.lower().replace("-", "_"), known, _MISSPELT)
        if alike:
            return f"scope {quoted(scope)} - did you mean {quoted(alike)}?"
    if allowed is not None and scope not in allowed:
        only = ", ".join(allowed) or "none"
        pin = f"RECONCILER_ALLOWED_SCOPES allows only {only}"
        return f"scope {quoted(scope)} is not allowed here - {pin}"
    return None


def labels_and_paths(draft: Draft) -> Iterator[Problem]:
    """Each label and each path is taken once, and a label without a path can be one."""
    labels: dict[str, Node] = {}
    paths: dict[str, Node] = {}
    for token in draft.tokens:
        label, path = token.get("label"), token.get("path")
        if label is None:
            continue
        composed = unicodedata.normalize("NFC", label.text)
        if composed != label.text:
            yield error(
                label.mark,
                f"label {quoted(label.text)} holds decomposed characters (not NFC), which an"
                f" exchange may compose - write {quoted(composed)}, typed anew",
            )
        if labels.setdefault(label.text, label) is not label:
            yield _twice("label", label, labels)
        elif "path" in token.wrong:
            continue
        elif path is None and not draft.shape.path.search(label.text):
            yield error(
                label.mark,
                f"label {quoted(label.text)} can't be the path in Vault too"
                " - add a path such as prod/bot",
            )
        else:
            place = path or label
            if paths.setdefault(place.text, place) is not place:
                yield _twice("path", place, paths)


def former_labels(draft: Draft) -> Iterator[Problem]:
    """Each former label (``was``) is one token's, and no token's label any more."""
    if "was" not in draft.keys:
        return
    renamed = [(token, was) for token in draft.tokens if (was := token.get("was"))]
    labels = {label.text: label for token in draft.tokens if (label := token.get("label"))}
    former: dict[str, Node] = {}
    for token, was in renamed:
        label = token.get("label")
        if label is not None and was.text == label.text:
            told = "is the token's label as well - leave it out, or write the former label"
            yield error(was.mark, f"was {quoted(was.text)} {told}")
        elif was.text in labels:
            told = f"is the label of a token, at {labels[was.text].mark}"
            yield error(was.mark, f"was {quoted(was.text)} {told} - it can't be both")
        if former.setdefault(was.text, was) is not was:
            yield _twice("was", was, former)


def _twice(name: str, node: Node, first: dict[str, Node]) -> Problem:
    return error(
        node.mark,
        f"{name} {quoted(node.text)} is here twice - the first is at {first[node.text].mark}",
    )


def manager(draft: Draft) -> Iterator[Problem]:
    """The manager is one of the tokens.

    It is not judged where tokens or labels are missing for another reason.
    """
    node = draft.head.get("manager")
    labels = [label.text for token in draft.tokens if (label := token.get("label"))]
    all_named = draft.complete and not draft.surplus and len(labels) == len(draft.tokens)
    if node is None or not labels or not all_named or node.text in labels:
        return
    alike = near_miss(node.text, labels)
    hint = f"did you mean {quoted(alike)}?" if alike else "add a token with this label"
    told = warning if draft.pins.missing_manager else error
    yield told(node.mark, f"manager {quoted(node.text)} is none of the tokens - {hint}")


def legacy_names(draft: Draft) -> Iterator[Problem]:
    """No further name is one that every SDK reads as a key of the old kind."""
    own = [token.get("fields") for token in draft.tokens] if "fields" in draft.keys else []
    for node in (draft.head.within("vault", "fields"), *own):
        found = node.pairs.get(LEGACY_KEY) if node else None
        if found is not None:
            yield warning(
                found.key_mark,
                f"every SDK reads {LEGACY_KEY} as a key of the old kind, which does not sign"
                " - choose another name",
            )


RULES = (
    one_head,
    nothing_missing,
    pinned_prefix,
    fleet_size,
    *timing.RULES,
    scopes,
    labels_and_paths,
    legacy_names,
    former_labels,
    manager,
)


def broken(draft: Draft) -> Iterable[Problem]:
    """Yield the problems of all rules."""
    for rule in RULES:
        yield from rule(draft)
