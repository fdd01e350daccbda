"""An interrupted token that somebody turns out to use.

It was believed to be in nobody's hands, so the ledger has it as revoking. That belief
may be wrong after a restore of Vault, or where a person's token looks just like it. So
the exchange's list is looked at once more, directly before the DELETE:

    the list shows              then
    --------------------------  ------------------------------------------------------
    no use, or only our proof   DELETE
    a later use                 ledger: it retires, and goes by evidence
    nothing, as it was not      nothing in this run
    answered

A process that stands still between that list and its DELETE sees no later use.
"""

from __future__ import annotations

from reconciler.model import SECOND_MS, LiveToken
from reconciler.plan import DEFAULT_OVERLAP_MS
from reconciler.protocol.effects import (
    Listing,
    ListTokens,
    Recorded,
    Step,
    WriteLedger,
    time_of_record,
)
from reconciler.protocol.outcome import Outcome, failed, held, unrecorded
from reconciler.state import Revoking, spare_revoking

OWN_PROOF_MS = 5 * SECOND_MS
"""A use so shortly after the derive may be its own proof; a later one is somebody's."""


def used_until(live: LiveToken) -> int | None:
    """Return until when uses may be our own proof; None if no later one is shown."""
    ours_until_ms = live.created_at_ms + OWN_PROOF_MS
    return ours_until_ms if (live.last_used_at_ms or 0) > ours_until_ms else None


def spare_used(label: str, revoking: Revoking) -> Step[Outcome | None]:
    """Retire an interrupted token that somebody uses; None where it may go."""
    token_id = revoking.token_id
    listing = yield from ListTokens()
    if not isinstance(listing, Listing):
        return failed(f"not revoked yet: {listing.sentence}", token_id)
    live = listing.find(token_id)
    ours_until_ms = used_until(live) if live is not None else None
    if ours_until_ms is None:
        return None
    now_ms = yield from time_of_record()
    reply = yield from WriteLedger(
        transition=spare_revoking(
            label,
            token_id,
            at_ms=now_ms,
            overlap_ms=DEFAULT_OVERLAP_MS,
            ours_until_ms=ours_until_ms,
        )
    )
    if not isinstance(reply, Recorded):
        return unrecorded(reply, token_id)
    return held(f"the interrupted token {token_id} is in use: it retires", token_id)
