"""Writes a manifest: a starter, or one of the tokens that the exchange lists.

    a live token                                then
    ------------------------------------------  ----------------------------------------
    has a label that no other live token has    an entry with exactly its scopes
    shares its label with another one           left out: a person says which one stays
    has no label                                left out: it can't be named
    can't be read, or breaks a manifest's rule  left out, with the rule's sentence

What is left out stands at the end, commented out, each with its id and the reason. So
the text is a valid manifest whatever the exchange lists, and no token is passed over in
silence.

Rules this module keeps:

1. The same list gives the same text, whatever its order.
2. The rules of a manifest are asked, never repeated: the text is judged like any other.
3. Text of the exchange stands in quotes or made harmless in a comment.
"""

from __future__ import annotations

import collections
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from reconciler import load_schema
from reconciler.errors import ReconcilerError
from reconciler.escape import counted, safe
from reconciler.manifest.load import problems_of
from reconciler.manifest.problems import SEVERAL
from reconciler.manifest.strict_yaml import plain_value
from reconciler.model import DAY_MS, MAX_LABELS, LiveToken, TokenList, iso
from reconciler.values import value

MANAGER = "reconciler"
PLACE = ("secret", "limitless/tokens")
_SCOPES_MOST = 32  # as in the schema: more would only make the text long
_PATH_CHARS = 200  # leaves room for a number at its end
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*")

_HEAD = """\
# yaml-language-server: $schema=./schemas/tokens.schema.json
{about}
version: 1
{profile}manager: {manager}    # the token that the program itself signs list and revoke with
vault:
  mount: {mount}    # a KV version 2 mount
  prefix: {prefix}    # everything that is written lies below it
defaults:
  rotate_after: 30d    # or never; a rotation needs a person's identity token, or a reserve
  overlap: 26h    # how long an old token lives on; a websocket signs once, for up to 24 h
tokens:
"""

_STARTER = """\
# The API tokens that should exist. `reconciler validate` checks this file, offline;
# `reconciler bootstrap` derives the manager's token; `reconciler apply` does the rest."""

_EXAMPLE = """\
  # - label: production-bot
  #   description: market maker, eu-west
  #   scopes: [trading, account_creation]
  #   path: prod/bot            # below the prefix; default: the label
  #   rotate_after: 90d
  #   reserve: 1                # a successor is kept ready: that rotation needs no person
  #   protect: true             # never revoked by leaving this file
"""


@value
class Written:
    """A manifest's text; its entries as label and id; how many tokens are left out."""

    text: str
    entries: tuple[tuple[str, str], ...] = ()
    left_out: int = 0


@value
class Listed:
    """What the exchange at ``api_url`` lists at an instant."""

    tokens: TokenList
    at_ms: int
    api_url: str
    profile_id: int | None = None


@value
class _LeftOut:
    """A token that has no entry, and why; its fields are fit for a comment."""

    label: str
    token_id: str
    why: str
    about: str = ""
    scopes: tuple[str, ...] = ()


def starter_manifest(place: tuple[str, str] = PLACE) -> Written:
    """Return a manifest with the manager only. ``place`` is mount and prefix."""
    return Written(text=_head(_STARTER, MANAGER, place, None) + _manager(MANAGER) + _EXAMPLE)


def manifest_of_live(listed: Listed, place: tuple[str, str] = PLACE) -> Written:
    """Return a manifest of the live tokens. ReconcilerError for more than one holds."""
    chosen, left = _sorted_out(listed)
    labels = {token.label for token in listed.tokens.tokens}
    manager = _free(MANAGER, labels)
    if len(chosen) >= MAX_LABELS:
        raise ReconcilerError(
            f"the exchange lists {len(chosen)} labels, and a manifest holds {MAX_LABELS:,} "
            f"with the manager: {SEVERAL}"
        )
    while True:
        head = _head(_about(listed, len(chosen), len(left)), manager, place, listed.profile_id)
        begins, body = _body(head + _manager(manager), chosen, manager, listed.at_ms)
        broken = _broken(body, begins)
        if not broken:
            text = body + "".join(_commented(sorted(left, key=_order)))
            entries = tuple((str(token.label), token.token_id) for token in chosen)
            return Written(text=text, entries=entries, left_out=len(left))
        left += [
            _left(token, broken[at], listed) for at, token in enumerate(chosen) if at in broken
        ]
        chosen = [token for at, token in enumerate(chosen) if at not in broken]


def list_to_adopt(written: Written) -> str:
    """Return the list for ``adopt --from`` that belongs to a written manifest.

    Where each secret lies is left empty.
    """
    head = """\
# Where the secret of each live token lies today, for `reconciler adopt --from`.
# Write MOUNT/PATH of a KV version 2 mount after `vault:`, and the name of the field that
# holds the secret. A row that is not to be adopted is removed.
"""
    rows = (
        f"- label: {quoted(label)}\n  token_id: {quoted(token_id, plain=False)}\n"
        "  vault:\n  secret_field: secret\n"
        for label, token_id in written.entries
    )
    return head + ("".join(rows) or "[]\n")


def quoted(text: str, *, plain: bool = True) -> str:
    """Return text as a scalar of YAML, in quotes where it would mean something else."""
    if plain and _PLAIN.fullmatch(text) and plain_value(text) == text:
        return text
    return f'"{"".join(_escaped(char) for char in text)}"'


def _escaped(char: str) -> str:
    if char in '"\\':
        return f"\\{char}"
    point = ord(char)
    if char.isprintable() and point != 0xFEFF:  # noqa: PLR2004  # a mark of the byte order
        return char
    return f"\\U{point:08x}"


# --- which tokens have an entry ---


def _sorted_out(listed: Listed) -> tuple[list[LiveToken], list[_LeftOut]]:
    """Return the tokens that may have an entry, by label, and those that may not."""
    found = listed.tokens
    chosen, left = [], []
    shared = collections.Counter(token.label for token in found.tokens)
    shared.update(entry.label for entry in found.unreadable if entry.label)
    for token in sorted(found.tokens, key=lambda t: (t.label or "", t.token_id)):
        if not token.label:
            left.append(_left(token, "it has no label", listed))
        elif shared[token.label] > 1:
            why = f"{shared[token.label]} live tokens have this label: keep one of them"
            left.append(_left(token, why, listed))
        elif len(token.scopes) > _SCOPES_MOST:
            left.append(_left(token, f"it has {len(token.scopes)} scopes", listed))
        else:
            chosen.append(token)
    left += [
        _LeftOut(
            label=safe(entry.label or ""), token_id=safe(entry.token_id or ""), why=safe(str(entry))
        )
        for entry in found.unreadable
    ]
    return chosen, left


def _left(token: LiveToken, why: str, listed: Listed) -> _LeftOut:
    return _LeftOut(
        label=safe(token.label or ""),
        token_id=safe(token.token_id),
        why=safe(why),
        about=_ages(token, listed.at_ms),
        scopes=token.scopes[:_SCOPES_MOST],
    )


def _order(row: _LeftOut) -> tuple[str, str, str]:
    return row.label, row.token_id, row.why


def _broken(body: str, begins: Sequence[int]) -> dict[int, str]:
    """Return which entries break a rule, by their position, each with the sentence."""
    broken: dict[int, str] = {}
    for problem in problems_of("tokens.yaml", body):
        if problem.severity == "error":
            at = sum(1 for line in begins if line <= problem.mark.line) - 1
            broken.setdefault(at, problem.message)
    if -1 in broken:
        raise ReconcilerError(f"the manifest's head can't be written: {broken[-1]}")
    return broken


def _free(name: str, taken: Iterable[str | None]) -> str:
    """Return a label for the manager that no live token has."""
    known = set(taken)
    if name not in known:
        return name
    names = (f"{name}-manager", *(f"{name}-manager-{n}" for n in range(2, MAX_LABELS * 100)))
    return next(free for free in names if free not in known)


# --- text ---


def _head(about: str, manager: str, place: tuple[str, str], profile_id: int | None) -> str:
    profile = f"profile_id: {profile_id}\n" if profile_id else ""
    mount, prefix = (quoted(part) for part in place)
    return _HEAD.format(about=about, profile=profile, manager=manager, mount=mount, prefix=prefix)


def _about(listed: Listed, entries: int, left_out: int) -> str:
    tokens, day = counted(entries, "token"), iso(listed.at_ms)[:10]
    lines = [
        f"# The {tokens} that {safe(listed.api_url)} listed on {day}, with exactly their scopes.",
        "# Correct mount and prefix; then `reconciler bootstrap`, and `reconciler adopt`.",
    ]
    if left_out:
        lines.append(
            f"# {counted(left_out, 'token')} more at the end, commented out with the reason."
        )
    return "\n".join(lines)


def _manager(label: str) -> str:
    return (
        "  # still to be derived, by `reconciler bootstrap`\n"
        f"  - label: {label}\n    scopes: [trading]\n"
    )


def _body(
    head: str, tokens: Sequence[LiveToken], manager: str, at_ms: int
) -> tuple[list[int], str]:
    """Return the line at which each token begins, and the text."""
    begins: list[int] = []
    parts, line = [head], head.count("\n") + 1
    for token, path in zip(tokens, _paths(tokens, manager), strict=True):
        begins.append(line)
        rows = [
            f"  # {_ages(token, at_ms)}",
            f"  - label: {quoted(str(token.label))}",
            f"    scopes: [{', '.join(quoted(scope) for scope in token.scopes)}]",
        ]
        if path is not None:
            rows.append(f"    path: {quoted(path)}")
        parts.append("\n".join(rows) + "\n")
        line += len(rows)
    return begins, "".join(parts)


def _commented(rows: Iterable[_LeftOut]) -> Iterator[str]:
    for number, row in enumerate(rows):
        if number == 0:
            yield "\n  # --- left out, each with the reason ---\n"
        yield f"\n  # {row.why}\n"
        if row.label:
            yield f"  # - label: {quoted(row.label)}\n"
        if row.scopes:
            yield f"  #   scopes: [{', '.join(safe(quoted(scope)) for scope in row.scopes)}]\n"
        yield f"  #   id {row.token_id or 'unknown'}{f', {row.about}' if row.about else ''}\n"


def _ages(token: LiveToken, at_ms: int) -> str:
    """Return a token's age and last use, for a comment."""
    used_at_ms = token.last_used_at_ms
    used = "never used" if used_at_ms is None else f"last used {_ago(used_at_ms, at_ms)}"
    return f"made {_ago(token.created_at_ms, at_ms)}, {used}"


def _ago(then_ms: int, at_ms: int) -> str:
    days = max(at_ms - then_ms, 0) // DAY_MS
    return f"{iso(then_ms)[:10]} ({counted(days, 'day')} ago)"


# --- paths ---


def _paths(tokens: Sequence[LiveToken], manager: str) -> list[str | None]:
    """Return a path for each label that can't be one; each path is taken once."""
    schema = load_schema("tokens")["$defs"]["path"]
    legal = re.compile(schema["pattern"])
    labels = [str(token.label) for token in tokens]
    fits = [len(label) <= schema["maxLength"] and bool(legal.search(label)) for label in labels]
    taken = {manager, *(label for label, fit in zip(labels, fits, strict=True) if fit)}
    paths: list[str | None] = []
    for label, fit in zip(labels, fits, strict=True):
        if fit:
            paths.append(None)
            continue
        base = _slug(label)
        numbers = (f"{base}-{number}" for number in range(2, len(labels) + 3))
        path = next(free for free in (base, *numbers) if free not in taken)
        taken.add(path)
        paths.append(path)
    return paths


def _slug(label: str) -> str:
    """``Ops Laptop (desk 3)`` becomes ``ops-laptop-desk-3``."""
    bare = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", bare)[:_PATH_CHARS].strip("-") or "token"
