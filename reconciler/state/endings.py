"""The steps of the ledger around the end of an id, beside those in ``transitions``.

    an id that is      and                            then
    -----------------  -----------------------------  ------------------------------
    current, retiring  is to go, and can neither be   ``mark_missing``
                       listed nor asked
    revoking           the exchange answered a        ``note_asked``
                       DELETE as if it were gone
    revoking, as it    somebody uses it               ``spare_revoking``
    was interrupted
    closed, by our     the exchange lists it again    ``reopen_revoking``
    own revocation
    unknown, named     a person has looked at it      ``forget_token``
    as perhaps ours
    missing            a person knows that it is      ``forget_token``
                       gone

The rules are those of ``transitions``.
"""

from __future__ import annotations

from dataclasses import replace

from reconciler.model import LiveToken
from reconciler.state.entries import entry_of, require, transition, with_entry
from reconciler.state.ledger import (
    REVOKED,
    Closed,
    Entry,
    Ledger,
    Retiring,
    Revoking,
)
from reconciler.state.lost import Lost, lost_from, still_remembered
from reconciler.state.transitions import CLOSED_KEPT

INTERRUPTED = "interrupted"
"""Why an id goes whose derive was not finished: nobody is believed to hold it."""

FORGOTTEN = "forgotten"
"""The outcome of an id that a person took out of our hands."""

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
def spare_revoking(  # noqa: PLR0913  # the last three by name
    ledger: Ledger, label: str, token_id: str, *, at_ms: int, overlap_ms: int, ours_until_ms: int
) -> Ledger:
    """Let an interrupted token retire that somebody uses: the one way back.

    It goes by evidence then, as any predecessor does. ``overlap_ms`` is for a label
    whose overlap is unknown; uses until ``ours_until_ms`` may be our own.
    """
    entry = entry_of(ledger, label)
    row = next((r for r in entry.revoking if r.token_id == token_id), None)
    require(row is not None, f"{token_id} is not revoking")
    assert row is not None  # noqa: S101  # required above
    require(row.reason == INTERRUPTED, f"{token_id} was not interrupted")
    held_by = Retiring(
        token_id=token_id,
        live_label=row.live_label,
        superseded_at_ms=at_ms,
        not_before_ms=at_ms + (overlap_ms if entry.overlap_ms is None else entry.overlap_ms),
        reason="perhaps in use",
        verified_at_ms=ours_until_ms,
        path=row.path,
    )
    left = tuple(r for r in entry.revoking if r.token_id != token_id)
    spared = replace(entry, revoking=left, retiring=(*entry.retiring, held_by))
    return with_entry(ledger, label, spared)


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
    reserve = tuple(
        replace(r, missing_since_ms=at_ms) if r.token_id == token_id else r for r in entry.reserve
    )
    ids = {r.token_id for r in entry.retiring} | {r.token_id for r in reserve}
    require(
        token_id in ids,
        f"{token_id} is neither current, retiring, nor in the reserve",
    )
    rows = tuple(
        replace(r, missing_since_ms=at_ms) if r.token_id == token_id else r for r in entry.retiring
    )
    return with_entry(ledger, label, replace(entry, retiring=rows, reserve=reserve))


@transition
def tidy_abandoned(ledger: Ledger, live: tuple[LiveToken, ...], *, now_ms: int) -> Ledger:
    """Forget abandoned intents that no live token can come from any more."""
    rows = still_remembered(ledger.abandoned, ledger, live, now_ms=now_ms)
    return replace(ledger, abandoned=rows)


@transition
def forget_token(ledger: Ledger, label: str, token: LiveToken, *, at_ms: int) -> Ledger:
    """Take a person's word about a token that may come from an abandoned intent.

    It is an ordinary token of somebody else's from now on. An intent that it may come
    from is forgotten with it, as each makes one token.
    """
    gone = [row for row in ledger.abandoned if lost_from(row, token, ledger) is not None]
    require(bool(gone), f"no abandoned intent can have made {token.token_id}")
    first = next((r for r in gone if lost_from(r, token, ledger) is Lost.PROBABLY), gone[0])
    kept = tuple(
        replace(row, before=(*row.before, token.token_id)) if row in gone else row
        for row in ledger.abandoned
        if row is not first
    )
    return _forgotten(replace(ledger, abandoned=kept), label, token.token_id, at_ms)


@transition
def forget_missing(ledger: Ledger, label: str, token_id: str, *, at_ms: int) -> Ledger:
    """Take a person's word that a token which nobody can ask is gone."""
    entry = entry_of(ledger, label)
    current = entry.current
    if current is not None and current.token_id == token_id:
        require(current.missing_since_ms is not None, f"{token_id} is not missing")
        entry = replace(entry, current=None)
    else:
        old = next((r for r in entry.retiring if r.token_id == token_id), None)
        kept = next((r for r in entry.reserve if r.token_id == token_id), None)
        since_ms = [r.missing_since_ms for r in (old, kept) if r is not None]
        require(any(at is not None for at in since_ms), f"{token_id} is not missing")
        named = entry.intent.token_id if entry.intent is not None else None
        promoted = kept is not None and named == token_id
        require(not promoted, f"the open intent of {label} names {token_id}")
        entry = replace(
            entry,
            retiring=tuple(r for r in entry.retiring if r != old),
            reserve=tuple(r for r in entry.reserve if r != kept),
        )
    return _forgotten(with_entry(ledger, label, entry), label, token_id, at_ms)


def _forgotten(ledger: Ledger, label: str, token_id: str, at_ms: int) -> Ledger:
    row = Closed(label=label, token_id=token_id, outcome=FORGOTTEN, at_ms=at_ms)
    return replace(ledger, closed=(*ledger.closed, row)[-CLOSED_KEPT:])
