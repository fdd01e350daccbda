"""Scopes that the exchange granted instead of those that were asked for.

A token with other scopes than asked for is revoked at once. Were it asked for again in
each run, each run would derive and revoke a whole fleet. So it is remembered:

    after                                            the scopes that were asked for
    -----------------------------------------------  -----------------------------------
    a derive that was granted other scopes           are remembered, and asked for no
                                                     more
    a live token has just them, made after that      may be asked for: the exchange
                                                     grants them by now
    the manifest has other scopes                    are not asked for any more
    --retry-scopes                                   are asked for once more
    a derive of just these scopes is recorded        are forgotten

Scopes are compared as sets.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from reconciler.model import LiveToken
from reconciler.state.ledger import Granted, Ledger

GRANTED_KEPT = 20


def remember_granted(ledger: Ledger, row: Granted) -> Ledger:
    """Return the ledger with what was granted instead; the last answer counts."""
    return replace(ledger, granted=(*_others(ledger, row.asked), row)[-GRANTED_KEPT:])


def forget_granted(ledger: Ledger, asked: Iterable[str]) -> Ledger:
    """Return the ledger after a derive that was granted what it asked for."""
    kept = _others(ledger, asked)
    return ledger if len(kept) == len(ledger.granted) else replace(ledger, granted=kept)


def _others(ledger: Ledger, asked: Iterable[str]) -> tuple[Granted, ...]:
    scopes = frozenset(asked)
    return tuple(row for row in ledger.granted if frozenset(row.asked) != scopes)


def granted_otherwise(
    ledger: Ledger, live: Iterable[LiveToken]
) -> Mapping[frozenset[str], Granted]:
    """Return what is remembered, by the scopes asked for.

    What a live token refutes is left out.
    """
    rows = {frozenset(row.asked): row for row in ledger.granted}
    for token in live if rows else ():
        row = rows.get(frozenset(token.scopes))
        if row is not None and token.created_at_ms > row.at_ms:
            del rows[frozenset(token.scopes)]
    return rows
