"""A path that nobody owns any more: its secret goes first, and its token later.

    the path                  ``Entry.emptied`` has the token  then
    ------------------------  -------------------------------  ------------------------
    holds the token's secret  no                               a run may delete it once
                                                               that is announced
    may be emptied any time   yes, without a time              the run deletes that
                                                               version by its number
    does not hold it          yes, with the time               a list of a later time
                                                               decides on the token
    holds it again, as a      no                               the token is as any other
    version of our own

A deletion that was announced may still arrive later, from a run that stood still. So a
label that returns has its secret written anew, as another version.

The rules are those of ``transitions``.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.state.entries import entry_of, require, transition, with_entry
from reconciler.state.ledger import Entry, Ledger
from reconciler.state.parted import Emptied


def emptied_of(entry: Entry, token_id: str) -> Emptied | None:
    """Return what is recorded of the emptied path of a token, if anything is."""
    return next((row for row in entry.emptied if row.token_id == token_id), None)


@transition
def note_emptying(ledger: Ledger, label: str, token_id: str) -> Ledger:
    """Announce that the secret of a current or retiring token is to be deleted."""
    return _noted(ledger, label, Emptied(token_id=token_id))


@transition
def note_emptied(ledger: Ledger, label: str, token_id: str, *, at_ms: int) -> Ledger:
    """Remember that nobody can read the secret of a token any more, since then."""
    return _noted(ledger, label, Emptied(token_id=token_id, at_ms=at_ms))


def _noted(ledger: Ledger, label: str, row: Emptied) -> Ledger:
    entry = entry_of(ledger, label)
    require(entry.lives(row.token_id), f"{row.token_id} is neither current nor retiring")
    rows = (*(r for r in entry.emptied if r.token_id != row.token_id), row)
    return with_entry(ledger, label, replace(entry, emptied=rows))
