"""A label gets another name: its entry moves, in one write of the ledger.

    the new label       the former label       then
    ------------------  ---------------------  -----------------------------------------
    has no entry        has one                the entry moves as it is: tokens, path,
                                               protection
    has no entry        an intent is open      refused: the write is finished first
    has an entry        any                    refused: two entries can't be one

A label that had left the manifest is back with its new name. The secret stays where it
is, and the exchange goes on calling the tokens by the former label: each remembers what
was asked for (``asked_label``), so that a rotation with its normal overlap follows.
Attempts that were abandoned keep the former label, because that
is what their tokens would be called.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.state.entries import entry_of, require, transition
from reconciler.state.ledger import Ledger


@transition
def rename_entry(ledger: Ledger, label: str, was: str) -> Ledger:
    """Move the entry of a former label to the label that it has now."""
    entry = entry_of(ledger, was)
    require(label not in ledger.tokens, f"{label} has an entry already")
    require(entry.intent is None, f"{was} has an open intent")
    current = entry.current
    if current is not None:
        current = replace(current, asked_label=current.asked_label or was, left_ms=None)
    retiring = tuple(replace(r, asked_label=r.asked_label or was) for r in entry.retiring)
    reserve = tuple(replace(r, asked_label=r.asked_label or was) for r in entry.reserve)
    tokens = {name: known for name, known in ledger.tokens.items() if name != was}
    moved = replace(entry, current=current, retiring=retiring, reserve=reserve)
    return replace(ledger, tokens={**tokens, label: moved})
