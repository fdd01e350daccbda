"""Entries of the exchange's list that can't be read: whose they may be.

    the entry                               then it is
    --------------------------------------  ------------------------------------------
    has an id that the ledger knows         ours
    has a label like one of the ledger's    ours: perhaps of a derive that was cut off
    has no id, and a token that should      perhaps ours
    live is not in the list
    anything else                           foreign: it is counted, and left alone

What is ours stops a run, because nothing could be decided about it.
"""

from __future__ import annotations

from collections.abc import Iterable

from reconciler.model import TokenList, Unreadable
from reconciler.state.ledger import Ledger
from reconciler.state.lost import alike, known_of


def unreadable_of_ours(
    ledger: Ledger, found: TokenList, *, labels: Iterable[str] = ()
) -> Unreadable | None:
    """Return the first entry that may be ours, if any; ``labels`` are ours as well."""
    ours = known_of(ledger) | ledger.revoked_ids().keys()
    names = {*labels, *ledger.tokens, *(row.label for row in ledger.abandoned)}
    listed = {token.token_id for token in found.tokens}
    missing = not _should_live(ledger) <= listed
    for entry in found.unreadable:
        if entry.token_id in ours or (entry.token_id is None and missing):
            return entry
        if any(alike(name, entry.label) for name in names):
            return entry
    return None


def _should_live(ledger: Ledger) -> frozenset[str]:
    entries = ledger.tokens.values()
    currents = {e.current.token_id for e in entries if e.current is not None}
    retiring = {row.token_id for e in entries for row in e.retiring}
    return frozenset(currents | retiring | {kept.token_id for e in entries for kept in e.reserve})
