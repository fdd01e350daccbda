"""A label leaves the manifest, and may come back: its token retires where it lies.

    the label             its current token     then
    --------------------  --------------------  ----------------------------------------
    left the manifest     ``left_ms`` is noted  it lives on for its overlap, and its
                                                secret stays readable
    is in it again        the note goes         nothing else has happened
    stays away, and the   its secret is         a later list decides on the token, which
    token is quiet        deleted               goes or is held (``emptying``)
    is in it again then   the note goes         its version is written anew; where that
                                                is deleted, its token is rotated

Both notes are writes of the ledger alone. A token that was revoked does not come back.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.state.entries import current_of, entry_of, require, transition, with_entry
from reconciler.state.ledger import Ledger


@transition
def note_left(ledger: Ledger, label: str, *, at_ms: int) -> Ledger:
    """Remember that a label has left the manifest: its overlap begins.

    A label that left before keeps its time.
    """
    entry = entry_of(ledger, label)
    current = current_of(entry, label)
    require(entry.intent is None, f"{label} has an open intent")
    if current.left_ms is not None:
        return ledger
    return with_entry(ledger, label, replace(entry, current=replace(current, left_ms=at_ms)))


@transition
def note_returned(ledger: Ledger, label: str) -> Ledger:
    """Remember that a label that had left is in the manifest again."""
    entry = entry_of(ledger, label)
    current = current_of(entry, label)
    return with_entry(ledger, label, replace(entry, current=replace(current, left_ms=None)))
