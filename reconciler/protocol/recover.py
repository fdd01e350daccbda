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
derives nothing: (d) only closes it.
"""

from __future__ import annotations

import dataclasses
from functools import partial

from reconciler.model import (
    MINUTE_MS,
    USE_MARGIN_MS,
    LiveToken,
    SecretVersion,
    instant_ms,
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
    UseSigner,
    WriteLedger,
    time_of_record,
)
from reconciler.protocol.outcome import (
    Ending,
    Outcome,
    applied,
    failed,
    not_tried,
    unrecorded,
    with_revocations,
)
from reconciler.protocol.prove import (
    Proof,
    Works,
    prove_new,
    prove_stored,
)
from reconciler.protocol.revoke import finish_revoking, finish_superseded
from reconciler.protocol.spare import OWN_PROOF_MS, used_until
from reconciler.protocol.undo import (
    close_rewrite,
    drop_token,
    fenced_version,
    leaving,
    placeholder_left,
    record_undone,
    retire_perhaps,
    retire_token,
)
from reconciler.state import (
    DERIVE_DEADLINE_MS,
    INTERRUPTED,
    TOKEN_ID,
    Current,
    Entry,
    Intent,
    IntentKind,
    Ledger,
    Retirement,
    abandon_intent,
    credentials_of,
    interrupted,
    may_be_of,
    record_found,
)
from reconciler.values import value

LOOKS_MS = (0, 1000, 2000, 4000, 8000, 15_000, 15_000)
"""Before each look for an interrupted token: longer than a derive may take to land."""

YOUNG_MS = MINUTE_MS
"""A doubt about uses that is worth waiting for."""


@value
class Recovery:
    """The label to recover.

    ``overlap_ms`` is its predecessor's, should the commit turn out to be there.
    ``uses_proven``: the exchange shows uses promptly, so one that is not shown was not.
    A use may be shown late by ``doubt_ms``; None while that is not proven.
    """

    label: str
    overlap_ms: int
    is_manager: bool = False
    has_signer: bool = True
    uses_proven: bool = False
    doubt_ms: int | None = None


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
        seen_at_ms=intent.cas_created_at_ms,
    )
    if isinstance(verdict, Committed):
        found = yield from _found(task, intent, verdict.content, ledger)
        if isinstance(found, _Found):
            return (yield from _record_found(task, intent, found, ledger))
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
                yield from retire_perhaps(
                    label, intent, intent.token_id, overlap_ms=task.overlap_ms
                )
            )
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


@value
class _Found:
    """What a committed intent wrote: its version, and the token if the list has it.

    ``unsigned``: what is stored did not sign, be the token in the list or not.
    """

    content: SecretVersion
    token_id: str
    live: LiveToken | None = None
    unsigned: bool = False


def _found(
    task: Recovery, intent: Intent, content: SecretVersion, ledger: Ledger
) -> Step[_Found | TakenAway | Outcome]:
    """Return what was committed; whoever can write the path can forge an operation id.

    So it is believed only if it is the token that the intent names, or can only be the
    intent's, and it signs once. What is forged tells nothing about the intent's own.
    """
    credentials = credentials_of(content)
    token_id = content.field(TOKEN_ID)
    if token_id is None or intent.token_id not in {None, token_id}:
        return TakenAway()
    found = _Found(content=content, token_id=token_id)
    if credentials is None:
        lost = dataclasses.replace(found, unsigned=True)
        return lost if intent.token_id is not None else TakenAway()
    if intent.kind.derives:
        proof = yield from prove_new(credentials, has_signer=task.has_signer)
    else:
        proof = yield from prove_stored(task.label, ledger.tokens[task.label], credentials)
    if isinstance(proof, Outcome):
        return dataclasses.replace(proof, status=Ending.FAILED)
    if intent.token_id is None and not _is_only_one(task.label, intent, ledger, proof):
        return TakenAway()
    if isinstance(proof, Works):
        return dataclasses.replace(found, live=proof.live)
    return dataclasses.replace(found, unsigned=True)


def _is_only_one(label: str, intent: Intent, ledger: Ledger, proof: Proof) -> bool:
    """Whether what signed can only be the token of an intent that names none."""
    if not isinstance(proof, Works):
        return False
    fitting = [token for token in proof.listed if may_be_of(label, intent, ledger, token)]
    return fitting == [proof.live]


def _record_found(task: Recovery, intent: Intent, found: _Found, ledger: Ledger) -> Step[Outcome]:
    """Do step 6 for what was committed; what does not sign is recorded as such."""
    label, token_id, content, live = task.label, found.token_id, found.content, found.live
    entry = ledger.tokens[label]
    now_ms = yield from time_of_record()
    current = Current(
        token_id=token_id,
        live_label=_live_label(label, token_id, entry, live),
        created_at_ms=live.created_at_ms if live is not None else _created_ms(content, intent),
        version=content.version,
        version_created_at_ms=content.created_at_ms,
        verified_at_ms=now_ms + USE_MARGIN_MS,
        unsigned=found.unsigned,
    )
    reason = "rolled back" if intent.kind is IntentKind.ROLLBACK else "rotated"
    retirement = Retirement(
        at_ms=now_ms,
        overlap_ms=task.overlap_ms,
        reason="compromised" if intent.compromised else reason,
        revoke_now=intent.compromised,
        revoke_all=intent.compromised,
    )
    reply = yield from WriteLedger(
        transition=record_found(label, intent.operation_id, current, retirement)
    )
    if not isinstance(reply, Recorded):
        return unrecorded(reply, token_id)
    credentials = credentials_of(content)
    if task.is_manager and credentials is not None and live is not None:
        yield from UseSigner(credentials=credentials)
    ended = yield from finish_superseded(label, reply.ledger.tokens[label], retirement.reason)
    done = applied(
        f"finished: the interrupted {intent.kind.value} was written and is recorded now", token_id
    )
    return with_revocations(done, ended)


def _live_label(label: str, token_id: str, entry: Entry, live: LiveToken | None) -> str:
    if live is not None and live.label is not None:
        return live.label
    if entry.current is not None and entry.current.token_id == token_id:
        return entry.current.live_label
    return next((r.live_label for r in entry.retiring if r.token_id == token_id), label)


def _created_ms(content: SecretVersion, intent: Intent) -> int:
    try:
        return instant_ms(content.field("created_at") or "")
    except ValueError:
        return intent.since_ms
