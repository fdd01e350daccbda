"""The words that all renderings share.

Rules this room keeps:

1. Pure: values in, text out. Nothing here knows a terminal, a file or the clock.
2. Text that others chose (labels, notes, ids, paths, addresses) goes through ``safe``
   before it is laid out.
3. What a change grants, moves or ends is computed from its two sides. Its reason would
   not do: a row has one reason, but may do more than one thing.
4. The same plan gives the same bytes.
"""

from __future__ import annotations

import collections
from collections.abc import Sequence

from reconciler.escape import counted, safe
from reconciler.model import iso
from reconciler.plan import (
    ACTIONS,
    PERHAPS_OURS,
    PROBABLY_OURS,
    SENTENCES,
    Capped,
    Change,
    NotTouched,
    Plan,
    Reason,
    Selection,
    path_note,
    scope_note,
)
from reconciler.state import Kind

NOT_CHECKED = (
    "not checked: whether the exchange allows these scopes; "
    "apply checks it before it writes anything"
)

FEW = 10
"""So many names stand in one line; the rest is counted."""

FOREIGN_NAMED = 5

GROUPED_FROM = 4
"""So many rows that wait for the same are told in one line."""


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from wcwidth import wcswidth  # noqa: PLC0415  # few labels need it

    width = wcswidth(text)
    return width if width >= 0 else len(text)  # what ``safe`` made has a width


def capped_words(found: Capped) -> str:
    """Return what isn't stocked, as another token may end for it, and what to do."""
    return (
        f"{some([subject(label) for label in found.labels])}: nothing is stocked. "
        f"{counted(found.live, 'token')} live, and {found.lived} lived when a derive had ended "
        f"another, at {iso(found.at_ms)}. Revoke tokens that nobody needs, or lower `reserve`; "
        f"it is tried again from {iso(found.until_ms)}"
    )


def subject(label: str) -> str:
    """Return the label, or what a row without one is about."""
    return safe(label) if label else "(manifest)"


def some(names: Sequence[str]) -> str:
    """Return the first few names and how many more there are.

    The names are fit to print already.
    """
    more = len(names) - FEW
    return ", ".join(names[:FEW]) + (f" and {more} more" if more > 0 else "")


def why(change: Change) -> str:
    """Return the reason of a row as a sentence, with its note."""
    return said(change.reason, change.note)


def said(reason: Reason, note: str) -> str:
    """Return the sentence of a reason, with what varies."""
    sentence = SENTENCES[reason]
    if not note:
        return sentence
    return f"{sentence} ({safe(note)})" if ":" in sentence else f"{sentence}: {safe(note)}"


def grouped(rows: Sequence[Change]) -> tuple[tuple[Change, ...], tuple[tuple[str, str], ...]]:
    """Return the rows that are told one by one, and groups of those that wait alike.

    A group is the labels in words, and what they wait for. What needs a person, and
    what acts, is told by itself.
    """
    many = collections.Counter(_waits(c) for c in rows if not c.acts and not c.needs_decision)
    alike = {waits for waits, number in many.items() if number >= GROUPED_FROM}
    groups = []
    for value, note in sorted((reason.value, note) for reason, note in alike):
        reason = Reason(value)
        found = [c for c in rows if _waits(c) == (reason, note)]
        labels = list(dict.fromkeys(subject(c.label) for c in found))
        number = counted(len(labels), "label")
        groups.append((f"{number}: {some(labels)}", said(reason, note)))
    return tuple(c for c in rows if _waits(c) not in alike or c.acts), tuple(groups)


_FROM_MANIFEST = frozenset({Reason.WINDOW, Reason.HOLD_UNTIL, Reason.HOLD_BROKEN})


def _waits(change: Change) -> tuple[Reason, str]:
    """Return what a row waits for; what the manifest says of it is a part of that."""
    return change.reason, change.note if change.reason in _FROM_MANIFEST else ""


# --- what a change does, by its two sides ---


def extras(change: Change) -> tuple[str, ...]:
    """Return what a row does beyond its reason: scopes, path, others' fields."""
    scopes, path = scope_note(change), path_note(change)
    lost = ", ".join(safe(name) for name in change.lost_fields)
    return (
        *((f"scopes {scopes}",) if scopes and scopes != safe(change.note) else ()),
        *((path,) if path and change.reason is not Reason.PATH_CHANGED else ()),
        *((f"takes away fields of others: {lost}",) if lost else ()),
    )


def planned_extras(change: Change) -> tuple[str, ...]:
    """Return the same of a row that is yet to be done, with others' fields that stay.

    Once it is done, its outcome names those.
    """
    kept = ", ".join(safe(name) for name in change.kept_fields)
    return (*extras(change), *((f"keeps fields of others: {kept}",) if kept else ()))


# --- sentences of a whole plan ---


def not_touched_count(plan: Plan) -> int:
    """Return how many tokens are not ours to change, named or not."""
    return len(plan.not_touched) + plan.foreign_unnamed


def summary_line(plan: Plan) -> str:
    """Return ``2 to derive, 1 held, 5 kept, 3 not touched``, without zeros."""
    parts = [f"{number} {ACTIONS[action].counted}" for action, number in plan.counts().items()]
    if plan.reached:
        parts.insert(0, "nothing to do" + (" but stock the reserve" if plan.acting else ""))
    elif not plan.acting:
        parts.insert(0, "waiting for a decision")
    untouched = not_touched_count(plan)
    return ", ".join([*parts, *([f"{untouched} not touched"] if untouched else [])])


def short_digest(digest: str) -> str:
    """Return ``sha256:`` and the first 12 hexadecimal digits."""
    algorithm, _, value = digest.partition(":")
    return f"{algorithm}:{value[:12]}…"


def place_line(plan: Plan) -> str:
    """Return whose tokens these are: the exchange and the profile."""
    profile = "" if plan.profile_id is None else f", profile {plan.profile_id}"
    return f"{safe(plan.api_url)}{profile}"


def flags_line(plan: Plan) -> str:
    """Return the guards that were lifted, as flags."""
    return " ".join(safe(flag) for flag in plan.flags)


def selection_line(selection: Selection) -> str:
    """Return what the plan is limited to, as flags."""
    return " ".join(
        [
            *(f"--target {safe(label)}" for label in sorted(selection.targets)),
            *(f"--exclude {safe(label)}" for label in sorted(selection.excluded)),
            *([f"--only {selection.only.value}"] if selection.only is not None else []),
            *(f"--token-id {safe(token_id)}" for token_id in sorted(selection.token_ids)),
        ]
    )


def is_named(row: NotTouched) -> bool:
    """Return whether a person has to look at this token by name.

    A twin, or one that a derive without an answer may have made; its label may have
    been changed by the exchange.
    """
    return row.kind is Kind.TWIN or row.probably_ours or row.perhaps_ours


def twin_sentence(row: NotTouched) -> str:
    """Return what a twin is, and what a person can do about it."""
    if row.probably_ours:
        return PROBABLY_OURS
    if row.perhaps_ours:
        return PERHAPS_OURS
    return "has a label of ours, but is not in the ledger: adopt it, or leave it be"


def foreign_shown(plan: Plan) -> tuple[tuple[NotTouched, ...], int]:
    """Return the foreign tokens that are named, and how many more there are."""
    foreign = [row for row in plan.not_touched if row.kind is Kind.FOREIGN and not is_named(row)]
    return tuple(foreign[:FOREIGN_NAMED]), max(
        0, len(foreign) - FOREIGN_NAMED
    ) + plan.foreign_unnamed
