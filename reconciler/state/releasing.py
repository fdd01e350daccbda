"""Labels are released: their tokens live on as somebody else's.

    a token of the label is    then
    -------------------------  ---------------------------------------------------------
    current, retiring, in the  released: it leaves the entry, and its id is remembered;
    reserve                    its secret stays where it is
    revoking                   it stays: there is no way back, a list has to close it
    of an open intent          the release is refused: the write is finished first
    released, and adopted      it is ours again (``taken_back``)

The entry goes, and with it the label's protection, unless an id is revoking. Attempts
that were abandoned stay remembered: their tokens have no id that could be released.

A released id is known, so that an old reply of the exchange never makes it a new token
of ours. It is no twin of its label and never lost, so the label may be derived anew.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.state.entries import entry_of, require, transition, without_copies
from reconciler.state.ledger import Entry, Ledger
from reconciler.state.parted import RELEASED_MOST, Released


@transition
def release_labels(ledger: Ledger, labels: Iterable[str], *, at_ms: int) -> Ledger:
    """Stop managing the tokens of these labels, in one write."""
    tokens, rows = dict(ledger.tokens), []
    for label in sorted(labels):
        entry = entry_of(ledger, label)
        require(entry.intent is None, f"{label} has an open intent")
        rows += [
            Released(label=label, token_id=token_id, at_ms=at_ms) for token_id in held_ids(entry)
        ]
        left = Entry(path=entry.path, revoking=entry.revoking)
        tokens[label] = left
        if left.idle:
            del tokens[label]
    ids = {row.token_id for row in rows}
    kept = tuple(row for row in ledger.released if row.token_id not in ids)
    ledger = without_copies(ledger, ids)
    return replace(ledger, tokens=tokens, released=(*kept, *rows)[-RELEASED_MOST:])


def held_ids(entry: Entry) -> tuple[str, ...]:
    """Return the ids that a release lets go, the current one first."""
    current = (entry.current.token_id,) if entry.current is not None else ()
    older = (row.token_id for row in entry.retiring)
    return (*current, *older, *(kept.token_id for kept in entry.reserve))


def taken_back(ledger: Ledger, token_id: str) -> Ledger:
    """Return the ledger after a token became ours, which may have been released."""
    if token_id not in ledger.released_ids():
        return ledger
    kept = tuple(row for row in ledger.released if row.token_id != token_id)
    return replace(ledger, released=kept)
