"""An open intent whose run is over, and other traces of a crash.

    (a) version cas + 1 holds    it was committed: let it sign once, and record it; if
        the operation id         it does not sign, it is recorded as such, and the next
                                 plan replaces it
        it is another token's    forged, or edited by hand: as where it is gone
        it was there and is      a named token may have been committed and read: it
        gone                     retires
    (b) otherwise                fence, so that a paused writer can't commit from now on
    (c) look once more as in (a)
    (d) one write of the ledger  the intent's token (or the interrupted one) is
                                 revoking, the intent closed; without a token: into
                                 ``abandoned``
        it was used later than   somebody holds it, as after a backup of Vault from the
        our own proof, or uses   middle of a derive: it retires instead
        prove nothing
    (e) only then                delete the fence's placeholder, DELETE the token

How the token of (d) is found, if the intent does not name it:

    the list has                 then
    ---------------------------  -----------------------------------------------------
    one that fits (``lost``),    it is the interrupted one
    older than the doubt
    one that fits, younger, and  look again in a moment
    the doubt is short
    none, before the deadline    look again until then: the derive may still land
    of the derive
    none, after the deadline     no token is known
    anything, but uses are not   nothing is inferred: no token is known
    proven, or nothing was
    listed before the POST, or
    somebody else has written
    where the secret belongs

Nobody acts on the interrupted token before (a) and (c). A restore, rollback or adopt
derives nothing: (d) only closes it. So does that of a promotion, whose reserve stays;
where its version was taken away, the reserve is fresh no more. What was stocked and
does not sign retires.
"""

from __future__ import annotations

import dataclasses
from functools import partial

from reconciler.model import (
    MINUTE_MS,
)
from reconciler.protocol.commit import (
    Committed,
    NotCommitted,
    TakenAway,
    Unproven,
    resolve_commit,
)
from reconciler.protocol.effects import (
    ConfirmedNow,
    Listing,
    ListTokens,
    Now,
    Recorded,
    Refused,
    Sleep,
    Step,
    Unclear,
)
from reconciler.protocol.found import Found, Recovery, found_commit, record_commit
from reconciler.protocol.outcome import (
    Ending,
    Outcome,
    applied,
    failed,
    not_tried,
    unrecorded,
)
from reconciler.protocol.revoke import finish_revoking
from reconciler.protocol.spare import OWN_PROOF_MS, used_until
from reconciler.protocol.undo import (
    close_rewrite,
    drop_token,
    fenced_version,
    kept_at,
    leaving,
    placeholder_left,
    record_undone,
    retire_taken_away,
    retire_token,
)
from reconciler.protocol.unpromoted import undo_promotion
from reconciler.state import (
    DERIVE_DEADLINE_MS,
    INTERRUPTED,
    Entry,
    Intent,
    IntentKind,
    Ledger,
    abandon_intent,
    interrupted,
)

LOOKS_MS = (0, 1000, 2000, 4000, 8000, 15_000, 15_000)
"""Before each look for an interrupted token: longer than a derive may take to land."""

YOUNG_MS = MINUTE_MS
"""A doubt about uses that is worth waiting for."""


def recover_intent(task: Recovery, ledger: Ledger) -> Step[Outcome]:
    """Finish or undo what an earlier run began for a label."""
    intent = ledger.tokens[task.label].intent
    if intent is None:
        return not_tried("nothing is begun any more: run again")
    return (yield from _recover_intent(task, intent, ledger))


def finish_all_revoking(label: str, entry: Entry) -> Step[Outcome]:
    """Every id that an earlier run recorded as revoking, in order.

    The outcome is the first that is not applied, if any.
    """
    outcome = applied("nothing was left revoking")
    for revoking in sorted(entry.revoking, key=lambda r: r.token_id):
        if revoking.asked_at_ms is not None:
            continue  # the next apply's list decides
        ended = yield from finish_revoking(label, entry.path, revoking)
        if ended.stop:
            return ended
        if outcome.status is Ending.APPLIED:
            outcome = ended
    return outcome


def _recover_intent(task: Recovery, intent: Intent, ledger: Ledger) -> Step[Outcome]:
    label = task.label
    verdict = yield from resolve_commit(
        intent.path,
        intent.cas,
        intent.operation_id,
        leaving=leaving(ledger),
        kept=kept_at(ledger, intent.path),
        seen_at_ms=intent.cas_created_at_ms,
    )
    if isinstance(verdict, Committed):
        found = yield from found_commit(task, intent, verdict.content, ledger)
        if isinstance(found, Found):
            return (yield from record_commit(task, intent, found, ledger))
        if isinstance(found, Outcome):
            return found
        verdict = found
    if isinstance(verdict, Unproven):
        return failed(
            f"the interrupted {intent.kind.value} can't be judged yet: {verdict.sentence}"
        )
    if isinstance(verdict, TakenAway):
        if intent.kind.derives and intent.token_id is not None:
            return (
                yield from retire_taken_away(
                    label, intent, intent.token_id, overlap_ms=task.overlap_ms
                )
            )
        if intent.kind is IntentKind.PROMOTE:
            left = yield from undo_promotion(label, intent, verdict)
            return left or applied("undone: what was written was taken away")
        # What a rewrite wrote lives on whatever was read. A token that was not named
        # was never committed, so somebody else wrote there: perhaps a token that fits.
        verdict = NotCommitted(version=intent.cas)
        if intent.kind.derives:
            return (yield from _abandon(label, intent, verdict))
    return (yield from _undo_uncommitted(task, intent, ledger, verdict))


def _undo_uncommitted(
    task: Recovery, intent: Intent, ledger: Ledger, verdict: NotCommitted
) -> Step[Outcome]:
    """Do (d) and (e), once it is certain that nothing was committed."""
    label = task.label
    if intent.kind is IntentKind.PROMOTE:
        left = yield from undo_promotion(label, intent, verdict)
        return left or applied("undone: nothing was written, and the reserve stays")
    if not intent.kind.derives:
        outcome = f"{intent.kind.value} not committed"
        left = yield from close_rewrite(label, intent, verdict, outcome=outcome)
        return left or applied("undone: nothing was written")
    found = yield from _find(task, intent, ledger)
    if isinstance(found, (Refused, Unclear)):
        return failed(found.sentence)
    if found is None:
        return (yield from _abandon(label, intent, verdict))
    use = yield from _own_uses_only(task, found)
    if isinstance(use, Outcome):
        return use
    if isinstance(use, int):
        retired = yield from retire_token(
            label, intent, found, verdict, overlap_ms=task.overlap_ms, ours_until_ms=use
        )
        return retired if isinstance(retired, Outcome) else unrecorded(retired, found)
    ended = yield from drop_token(label, intent, found, verdict, reason=INTERRUPTED)
    if not isinstance(ended, Outcome):
        return unrecorded(ended, found)
    if ended.status is not Ending.APPLIED:
        return ended
    said = f"undone: the interrupted token {found}, whose secret was lost, is revoked"
    return dataclasses.replace(ended, sentence=said)


def _abandon(label: str, intent: Intent, verdict: NotCommitted) -> Step[Outcome]:
    """Close the intent of a derive of which no token is known."""
    now_ms = yield from Now()

    def transition(ledger: Ledger) -> Ledger:
        version = fenced_version(ledger, intent.path, verdict)
        return abandon_intent(label, intent.operation_id, at_ms=now_ms, version=version)(ledger)

    reply = yield from record_undone(label, intent, verdict, transition)
    if not isinstance(reply, Recorded):
        return unrecorded(reply)
    return placeholder_left(reply.ledger, label) or applied("undone: no token of it is known")


def _find(task: Recovery, intent: Intent, ledger: Ledger) -> Step[str | Refused | Unclear | None]:
    """Return the id that is the intent's: named, or the only one that it can be.

    See the table of the module: a young derive may still show up in the list.
    """
    if intent.token_id is not None or not task.has_signer:
        return intent.token_id
    doubt_ms = task.doubt_ms
    if doubt_ms is None or not intent.listed:
        return None
    waited_ms, began_ms = 0, None
    for pause_ms in LOOKS_MS:
        if pause_ms:
            yield from Sleep(ms=pause_ms)
            waited_ms += pause_ms
        listing = yield from ListTokens()
        if not isinstance(listing, Listing):
            return listing
        now_ms = yield from ConfirmedNow()
        if not isinstance(now_ms, int):
            return now_ms
        began_ms = now_ms if began_ms is None else began_ms
        now_ms = max(now_ms, began_ms + waited_ms)
        known = partial(interrupted, task.label, intent, ledger, listing.tokens, now_ms=now_ms)
        found = known(doubt_ms=doubt_ms)
        young = doubt_ms <= YOUNG_MS and known(doubt_ms=0) is not None
        if found is not None or (now_ms > intent.since_ms + DERIVE_DEADLINE_MS and not young):
            return found
    return None


def _own_uses_only(task: Recovery, token_id: str) -> Step[Outcome | int | None]:
    """Return None where nobody but us used an interrupted token; it may go then.

    A backup of Vault may be of the middle of a derive that was finished since. So where
    a later use is shown, or uses prove nothing, or the list lacks it, somebody may hold
    it: the instant until which uses may be ours is returned. The manager's only
    consumer is this program.
    """
    if task.is_manager:
        return None
    listing = yield from ListTokens()
    if not isinstance(listing, Listing):
        return failed(listing.sentence)
    live = listing.find(token_id)
    if live is None:
        return 0
    return used_until(live) if task.uses_proven else live.created_at_ms + OWN_PROOF_MS
