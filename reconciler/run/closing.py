"""The end of a run: a list decides which revocations are proven.

A DELETE that was answered proves nothing: a proxy may have answered it. After a run's
last DELETE one more list is asked, again and again for ten seconds at most.

    the list                              then
    ------------------------------------  --------------------------------------------
    lacks another token of ours that      it is partial: ask again
    lived
    lacks somebody else's that lived      it is partial, or it was revoked: what is gone
                                          has to be lacking in two such lists in a row
    lacks the id, and the DELETE was      closed, with the write that gives the lease
    answered, or an earlier list of       back
    this run had it
    holds the id                          ask again; in the end the row fails, and the
                                          id stays revoking

A row that waits for the list is told once the list has decided. Several manifests of a
profile may revoke at once, for longer than a run asks; so a list without somebody
else's token is weaker evidence, and no reason to fail.
"""

from __future__ import annotations

import dataclasses
from functools import reduce

from reconciler.model import USE_MARGIN_MS
from reconciler.protocol import Listing, ListTokens, Now, ReadDesk, Sleep, Step, settled
from reconciler.run.effects import Ended, ReadHalt
from reconciler.run.progress import Progress
from reconciler.run.rotation import rotation_end
from reconciler.state import (
    Ledger,
    Revoking,
    Transition,
    close_revoking,
    note_signed,
    tidy_abandoned,
    tidy_cap,
    unchanged,
)

PAUSES_MS = (0, 500, 1000, 2000, 3000, 3500)
"""Before each list: ten seconds in all."""


def close_revocations(progress: Progress) -> Step[tuple[Progress, Transition]]:
    """Ask the list about what this run revoked.

    Returns the progress with the rows as they ended, and the step of the ledger that
    closes what is proven.
    """
    desk = yield from ReadDesk()
    asked = progress.asked
    if not asked:
        now_ms = yield from Now()
        return progress, _tidying(progress, desk.ledger, now_ms)
    waiting = {
        r.token_id: (label, r)
        for label, entry in desk.ledger.tokens.items()
        for r in entry.revoking
        if r.asked_at_ms is not None or r.token_id in progress.shown
    }
    gone: frozenset[str] = frozenset()
    if not desk.lost:
        must, others = _must_be_listed(progress, desk.ledger), _others(progress, desk.ledger)
        gone = yield from _lacking(frozenset(waiting), asked, must=must, others=others)
    rows = []
    for row in progress.rows:
        if row.outcome.waits:
            row = dataclasses.replace(row, outcome=settled(row.outcome, gone))  # noqa: PLW2901
            yield from Ended(row=row)
        rows.append(row)
    now_ms = yield from Now()
    steps = [_closing(*waiting[token_id], now_ms) for token_id in sorted(gone)]
    steps.append(_tidying(progress, desk.ledger, now_ms))
    return dataclasses.replace(progress, rows=tuple(rows)), _all_of(steps)


def _tidying(progress: Progress, ledger: Ledger, now_ms: int) -> Transition:
    """Forget what is over.

    That is the run's rotation, once none of its labels is left, the abandoned intents
    that no live token can come from any more, and what was seen over 30 days ago of how
    many tokens may live. A reserve that signed the run's
    lists, in place of a manager that was gone, was used by us.
    """
    observed = progress.outlook.observed
    tidied = [tidy_abandoned(observed.live, now_ms=observed.now_ms)] if ledger.abandoned else []
    kept = {row.token_id for entry in ledger.tokens.values() for row in entry.reserve}
    signed = observed.signer_id
    if signed is not None and signed in kept:
        tidied.append(note_signed(signed, at_ms=now_ms + USE_MARGIN_MS))
    if ledger.cap:
        tidied.append(tidy_cap(now_ms=now_ms))
    steps = [*rotation_end(progress.session, ledger), *tidied]
    return _all_of(steps) if steps else unchanged


def _must_be_listed(progress: Progress, ledger: Ledger) -> frozenset[str]:
    """Return what of ours the run's latest look listed, and we have not revoked.

    What vanished during a derive, as two lists showed, is not waited for.
    """
    going = {r.token_id for entry in ledger.tokens.values() for r in entry.revoking}
    ours = progress.listed & ledger.known_ids().keys()
    return ours - progress.vanished - going - ledger.revoked_ids().keys()


def _others(progress: Progress, ledger: Ledger) -> frozenset[str]:
    """Return what the latest look listed of somebody else."""
    ours = ledger.known_ids().keys() | ledger.revoked_ids().keys()
    return progress.listed - progress.vanished - ours


def _lacking(
    waiting: frozenset[str],
    asked: frozenset[str],
    *,
    must: frozenset[str],
    others: frozenset[str],
) -> Step[frozenset[str]]:
    """Return which of the ids are proven gone: the table of this module.

    ``must`` are ours, which whoever lists everything lists; ``others`` are somebody
    else's that lived at the latest look.
    """
    gone: frozenset[str] = frozenset()
    lacked: frozenset[str] = frozenset()
    for pause_ms in PAUSES_MS:
        if pause_ms:
            if (yield from ReadHalt()).signalled:
                break
            yield from Sleep(ms=pause_ms)
        listing = yield from ListTokens()
        ids = {token.token_id for token in listing.tokens} if isinstance(listing, Listing) else ()
        if must.issubset(ids) and ids:
            before, lacked = lacked, waiting.difference(ids)
            gone = lacked if others.issubset(ids) else lacked & before
            if asked <= gone:
                break
    return gone


def _closing(label: str, revoking: Revoking, now_ms: int) -> Transition:
    return close_revoking(label, revoking.token_id, outcome=revoking.reason, at_ms=now_ms)


def _all_of(steps: list[Transition]) -> Transition:
    return lambda ledger: reduce(lambda known, step: step(known), steps, ledger)
