"""The steps of the ledger around the end of an id, beside those in ``transitions``.

    an id that is      and                            then
    -----------------  -----------------------------  ------------------------------
    current, retiring  is to go, and can neither be   ``mark_missing``
                       listed nor asked
    revoking           the exchange answered a        ``note_asked``
                       DELETE as if it were gone
    closed, by our     the exchange lists it again    ``reopen_revoking``
    own revocation

The rules are those of ``transitions``.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.state.entries import entry_of, require, transition, with_entry
from reconciler.state.ledger import REVOKED, Entry, Ledger, Revoking

NOWHERE = "_closed"
"""The path of an entry that is only there to revoke an id again.

A name that begins with ``_`` is no label's path, so nothing lies there.
"""


@transition
def note_asked(ledger: Ledger, label: str, token_id: str, *, at_ms: int) -> Ledger:
    """Remember that the exchange answered the DELETE of a revoking id."""
    entry = entry_of(ledger, label)
    require(any(r.token_id == token_id for r in entry.revoking), f"{token_id} is not revoking")
    rows = tuple(
        replace(r, asked_at_ms=at_ms) if r.token_id == token_id else r for r in entry.revoking
    )
    return with_entry(ledger, label, replace(entry, revoking=rows))


@transition
def reopen_revoking(ledger: Ledger, label: str, token_id: str, live_label: str) -> Ledger:
    """Revoke an id again that we revoked before, and that the exchange lists again."""
    last = ledger.revoked_ids().get(token_id)
    if last is None or token_id in ledger.known_ids():
        require(False, f"{token_id} is not one that we revoked")
    assert last is not None  # noqa: S101  # required above
    entry = ledger.tokens.get(label, Entry(path=NOWHERE))
    row = Revoking(token_id=token_id, live_label=live_label, reason=last.outcome)
    assert row.reason in REVOKED  # noqa: S101  # ``revoked_ids`` has no others
    return with_entry(ledger, label, replace(entry, revoking=(*entry.revoking, row)))


@transition
def mark_missing(ledger: Ledger, label: str, token_id: str, *, at_ms: int) -> Ledger:
    """Remember that a token is not listed, and that its secret is lost."""
    entry = entry_of(ledger, label)
    if entry.current is not None and entry.current.token_id == token_id:
        current = replace(entry.current, missing_since_ms=at_ms)
        return with_entry(ledger, label, replace(entry, current=current))
    require(
        any(r.token_id == token_id for r in entry.retiring),
        f"{token_id} is neither current nor retiring",
    )
    rows = tuple(
        replace(r, missing_since_ms=at_ms) if r.token_id == token_id else r for r in entry.retiring
    )
    return with_entry(ledger, label, replace(entry, retiring=rows))
