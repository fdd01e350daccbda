"""What the transitions of the ledger are made of."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Concatenate, ParamSpec

from reconciler.model import VersionId
from reconciler.state.ledger import Current, Entry, Ledger, LedgerError, Revoking

Transition = Callable[[Ledger], Ledger]
"""One step of the ledger.

LedgerError if the ledger contradicts what the step relies on.
"""

P = ParamSpec("P")


def transition(
    step: Callable[Concatenate[Ledger, P], Ledger],
) -> Callable[P, Transition]:
    """Return a function that takes all arguments but the ledger, and makes the step."""

    @functools.wraps(step)
    def make(*args: P.args, **kwargs: P.kwargs) -> Transition:
        return lambda ledger: step(ledger, *args, **kwargs)

    return make


# reads like an assertion, which -O would drop
def require(holds: bool, sentence: str) -> None:  # noqa: FBT001
    """Raise LedgerError unless what a transition relies on holds."""
    if not holds:
        raise LedgerError(
            f"the ledger contradicts itself ({sentence}): "
            "was it edited by hand? Look at its latest versions"
        )


def entry_of(ledger: Ledger, label: str) -> Entry:
    """Return a label's entry. LedgerError if there is none."""
    if label not in ledger.tokens:
        raise LedgerError(f"the ledger does not know {label}")
    return ledger.tokens[label]


def current_of(entry: Entry, label: str) -> Current:
    """Return an entry's current token. LedgerError if there is none."""
    if entry.current is None:
        raise LedgerError(f"{label} has no current token")
    return entry.current


def at_version(current: Current, version: VersionId) -> Current:
    """Return the token with its content at that version."""
    return replace(current, version=version.number, version_created_at_ms=version.created_at_ms)


def with_entry(ledger: Ledger, label: str, entry: Entry) -> Ledger:
    """Return the ledger with this entry of the label.

    An entry with nothing to remember is left out. An id that is revoking knows each
    place at which a copy of its secret was left; nothing more is told of its path.
    """
    if entry.emptied:
        lives = tuple(row for row in entry.emptied if entry.lives(row.token_id))
        entry = replace(entry, emptied=lives)
    if ledger.left and entry.revoking:
        rows = tuple(replace(row, copies=_copies(ledger, row)) for row in entry.revoking)
        entry = replace(entry, revoking=rows)
    tokens = {**ledger.tokens, label: entry}
    if entry.idle and not entry.protect:
        del tokens[label]
    return replace(ledger, tokens=tokens)


def readable_again(entry: Entry, token_id: str) -> Entry:
    """Return the entry after a token's secret was found at another version."""
    if not entry.emptied:
        return entry
    return replace(entry, emptied=tuple(r for r in entry.emptied if r.token_id != token_id))


def _copies(ledger: Ledger, row: Revoking) -> tuple[str, ...]:
    paths = {left.path for left in ledger.left if left.token_id == row.token_id}
    return tuple(sorted(paths.union(row.copies)))


def without_copies(ledger: Ledger, token_ids: Iterable[str]) -> Ledger:
    """Return the ledger without the places of copies of these tokens."""
    ids = frozenset(token_ids)
    if not any(row.token_id in ids for row in ledger.left):
        return ledger
    return replace(ledger, left=tuple(r for r in ledger.left if r.token_id not in ids))


def fenced(ledger: Ledger, path: str, version: VersionId | None) -> Ledger:
    """Return the ledger after a fence wrote a path's current content as ``version``.

    It is the content of whichever label has the path.
    """
    if version is None:
        return ledger
    tokens = {
        label: replace(entry, current=at_version(entry.current, version))
        if entry.current is not None and entry.is_at(path)
        else entry
        for label, entry in ledger.tokens.items()
    }
    return replace(ledger, tokens=tokens)


def displaced(ledger: Ledger, label: str, path: str) -> Ledger:
    """Return the ledger after a label's secret was written at a path: it has it now.

    Whatever other label's current secret lay there lies nowhere from now on.
    """
    tokens = {
        name: replace(entry, current=replace(entry.current, displaced=True))
        if name != label and entry.current is not None and entry.is_at(path)
        else entry
        for name, entry in ledger.tokens.items()
    }
    return replace(ledger, tokens=tokens)
