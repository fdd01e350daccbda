"""What becomes of an intent whose write was not applied.

    intent                      in this order
    --------------------------  ------------------------------------------------------
    derive, its token is known  ledger: the token is revoking; placeholder; DELETE
    derive, and somebody may    ledger: the token retires; placeholder
    use its token
    derive, no token is known   ledger: into ``abandoned``; placeholder
    derive, its version was     ledger: the token retires, in case it was read
    taken away
    restore, rollback, adopt    placeholder; ledger: the intent is closed

Rules this module keeps:

1. The placeholder of a derive's fence is deleted only once the verdict is recorded. A
   run that crashes between the two would leave a deleted version ``cas + 1``, which the
   next run could not tell from a commit that was read and taken away by a person.
2. An intent names the path until the placeholder is deleted. Without it no record might
   name the path: the label may have left the manifest, or have another path there.
3. A DELETE without a recorded ``revoking`` needs proof that the token is new: an old
   reply, repeated by the exchange or a proxy before it, brings a token in use.
"""

from __future__ import annotations

import dataclasses

from reconciler.model import USE_MARGIN_MS, Derived, VersionId
from reconciler.protocol.commit import NotCommitted, TakenAway, delete_placeholder
from reconciler.protocol.effects import (
    Done,
    LeaseLost,
    NewId,
    NotRecorded,
    Now,
    ReadLedger,
    Recorded,
    Refused,
    Revoke,
    Step,
    Unclear,
    WriteLedger,
    time_of_record,
)
from reconciler.protocol.outcome import Ending, Outcome, applied, failed, unrecorded
from reconciler.protocol.revoke import finish_revoking
from reconciler.state import (
    CLOCK_MARGIN_MS,
    Discarded,
    Intent,
    IntentKind,
    Ledger,
    Retiring,
    Transition,
    close_intent,
    drop_intent,
    emptied_of,
    open_intent,
    retire_intent,
)


def leaving(ledger: Ledger) -> frozenset[str]:
    """Return the ids that no fence may write again, whichever label they are of."""
    return frozenset(r.token_id for entry in ledger.tokens.values() for r in entry.revoking)


def kept_at(ledger: Ledger, path: str) -> str | None:
    """Return the current token of a path, where a fence may write its secret again.

    One that leaked, or whose stored secret is known to be wrong, is not put back; nor
    is one whose secret this program deletes.
    """
    for entry in ledger.tokens.values():
        current, intent = entry.current, entry.intent
        if current is None or not entry.is_at(path) or current.unsigned:
            continue
        compromised = intent is not None and intent.compromised
        if not compromised and emptied_of(entry, current.token_id) is None:
            return current.token_id
    return None


def fenced_version(ledger: Ledger, path: str, verdict: NotCommitted) -> VersionId | None:
    """Return the version that a fence gave a path's current content, if it did.

    Only the content of the recorded version is known to sign: a later one may hold
    another secret beside the same id, so that is for the next plan to see.
    """
    for entry in ledger.tokens.values():
        current = entry.current
        if current is None or not entry.is_at(path) or verdict.rewritten != current.token_id:
            continue
        if current.version == verdict.source:
            return VersionId(verdict.version, verdict.created_at_ms)
    return None


def record_undone(
    label: str, intent: Intent, verdict: NotCommitted, transition: Transition
) -> Step[Recorded | LeaseLost | NotRecorded]:
    """Record what becomes of a derive, then delete its fence's placeholder.

    The first write of the ledger opens a restore in the derive's place, one that names
    no token: to recover it is to find the placeholder at ``cas + 1``, to delete it, and
    to close the intent, which is also what happens here. A failure in between shows as
    an open intent in the ledger that is returned.
    """
    if verdict.empty is None:
        return (yield from WriteLedger(transition=transition))
    rest = dataclasses.replace(
        intent,
        kind=IntentKind.RESTORE,
        operation_id=(yield from NewId()),
        before=(),
        cas=verdict.empty - 1,
        cas_created_at_ms=None,
        compromised=False,
        token_id=None,
    )
    reply = yield from WriteLedger(
        transition=lambda ledger: open_intent(label, rest, protect=None)(transition(ledger))
    )
    if not isinstance(reply, Recorded):
        return reply
    if (yield from delete_placeholder(intent.path, verdict.empty)) is not None:
        return reply
    now_ms = yield from Now()
    return (
        yield from WriteLedger(
            transition=close_intent(
                label, rest.operation_id, outcome="placeholder deleted", at_ms=now_ms
            )
        )
    )


def placeholder_left(ledger: Ledger, label: str) -> Outcome | None:
    """Return a failure where ``record_undone`` could not delete the placeholder."""
    entry = ledger.tokens.get(label)
    if entry is None or entry.intent is None:
        return None
    return failed(f"{entry.intent.path} is left with an empty placeholder; the next run deletes it")


def drop_token(
    label: str, intent: Intent, token_id: str, verdict: NotCommitted, *, reason: str
) -> Step[Outcome | LeaseLost | NotRecorded]:
    """Revoke the token of a derive that was not committed: ledger first, then DELETE.

    The ledger's reply where the first write was not recorded.
    """
    now_ms = yield from Now()
    discarded = Discarded(token_id=token_id, reason=reason, at_ms=now_ms)

    def transition(ledger: Ledger) -> Ledger:
        version = fenced_version(ledger, intent.path, verdict)
        return drop_intent(label, intent.operation_id, discarded, version=version)(ledger)

    reply = yield from record_undone(label, intent, verdict, transition)
    if not isinstance(reply, Recorded):
        return reply
    entry = reply.ledger.tokens[label]
    revoking = next(r for r in entry.revoking if r.token_id == token_id)
    ended = yield from finish_revoking(label, entry.path, revoking)
    if ended.status is not Ending.APPLIED:
        return ended
    left = placeholder_left(reply.ledger, label)
    return ended if left is None else dataclasses.replace(left, asked=ended.asked)


def retire_token(  # noqa: PLR0913  # the last two by name
    label: str,
    intent: Intent,
    token_id: str,
    verdict: NotCommitted,
    *,
    overlap_ms: int,
    ours_until_ms: int,
) -> Step[Outcome | LeaseLost | NotRecorded]:
    """Retire the token of an uncommitted derive, because somebody may hold it.

    The ledger's reply where the first write was not recorded.
    """
    now_ms = yield from Now()
    held_by = Retiring(
        token_id=token_id,
        live_label=label,
        superseded_at_ms=now_ms,
        not_before_ms=now_ms + overlap_ms,
        reason="perhaps in use",
        verified_at_ms=ours_until_ms,
    )

    def transition(ledger: Ledger) -> Ledger:
        version = fenced_version(ledger, intent.path, verdict)
        return retire_intent(label, intent.operation_id, held_by, version=version)(ledger)

    reply = yield from record_undone(label, intent, verdict, transition)
    if not isinstance(reply, Recorded):
        return reply
    return placeholder_left(reply.ledger, label) or applied(
        f"the interrupted token {token_id} may be in use: it retires", token_id
    )


def retire_taken_away(
    label: str, intent: Intent, token_id: str, *, overlap_ms: int
) -> Step[Outcome]:
    """Retire a token whose commit was perhaps read, and then taken away."""
    row = yield from _perhaps_held(label, token_id, overlap_ms, "secret taken away")
    sentence = f"the version of {intent.path} that {token_id} may have been in was taken away"
    return (yield from _retire(label, intent, row, f"{sentence}: it retires, in case it was read"))


def retire_unsigned(
    label: str, intent: Intent, token_id: str, *, overlap_ms: int, listed: bool
) -> Step[Outcome]:
    """Retire a token that was stocked, and whose document does not sign.

    The document stays until its token goes. Where the exchange has ended the token,
    only that secret can be asked whether it is gone. Where the token lives
    (``listed``), it is the secret that is wrong: somebody may have the right one.
    """
    row = yield from _perhaps_held(label, token_id, overlap_ms, "did not sign")
    row = dataclasses.replace(row, unsigned=listed)
    why = f"the document of {token_id} does not hold its secret"
    if not listed:
        why = f"the exchange does not list {token_id}, and refuses what its document holds"
    sentence = f"the interrupted stock was written, but {why}: it retires, and that goes with it"
    return (yield from _retire(label, intent, row, sentence))


def _perhaps_held(label: str, token_id: str, overlap_ms: int, reason: str) -> Step[Retiring]:
    """Return the row of a token that somebody may hold: it goes by evidence."""
    now_ms = yield from time_of_record()
    return Retiring(
        token_id=token_id,
        live_label=label,
        superseded_at_ms=now_ms,
        not_before_ms=now_ms + overlap_ms,
        reason=reason,
        verified_at_ms=now_ms + USE_MARGIN_MS,
    )


def _retire(label: str, intent: Intent, row: Retiring, sentence: str) -> Step[Outcome]:
    reply = yield from WriteLedger(transition=retire_intent(label, intent.operation_id, row))
    if not isinstance(reply, Recorded):
        return unrecorded(reply, row.token_id)
    return applied(sentence, row.token_id)


def close_rewrite(
    label: str, intent: Intent, verdict: NotCommitted | TakenAway, *, outcome: str
) -> Step[Outcome | None]:
    """Close the intent of a restore, rollback or adopt that was not committed.

    None once it is closed. The placeholder goes first: the token lived before the
    intent and goes on living, so a version taken away means the same as one that was
    never written.
    """
    if isinstance(verdict, NotCommitted) and verdict.empty is not None:
        left = yield from delete_placeholder(intent.path, verdict.empty)
        if left is not None:
            return failed(left.sentence)
    now_ms = yield from Now()

    def transition(ledger: Ledger) -> Ledger:
        version = None
        if isinstance(verdict, NotCommitted):
            version = fenced_version(ledger, intent.path, verdict)
        return close_intent(
            label, intent.operation_id, outcome=outcome, at_ms=now_ms, version=version
        )(ledger)

    reply = yield from WriteLedger(transition=transition)
    return None if isinstance(reply, Recorded) else unrecorded(reply)


def revoke_unrecorded(
    outcome: Outcome, intent: Intent, derived: Derived, standing: frozenset[str]
) -> Step[Outcome]:
    """Revoke the run's own new token without a record, where it is proven to be new.

    Its commit was never sent or is disproved, and the ledger can't be written, mostly
    because the run was paused and has lost its lease. Since then another run may have
    derived, and the reply in hand may be a repetition of that run's: then the token is,
    or is about to be, in use. So the ledger is read once more. ``standing`` are
    recorded tokens that live.
    """
    token_id = derived.token_id
    found = yield from ReadLedger()
    ledger = None if isinstance(found, (Refused, Unclear)) else found[0]
    old = derived.created_at_ms < intent.since_ms - CLOCK_MARGIN_MS
    if ledger is None or old or token_id in standing or _may_be_anothers(ledger, intent, token_id):
        undone = f"whether {token_id} is new can't be proven, so it is left"
    else:
        gone = yield from Revoke(token_id=token_id)
        done = isinstance(gone, Done)
        undone = "the new token was revoked" if done else f"the new token {token_id} may live on"
    return dataclasses.replace(outcome, sentence=f"{outcome.sentence}; {undone}")


def _may_be_anothers(ledger: Ledger, intent: Intent, token_id: str) -> bool:
    """Return whether the id is known, or an open derive of another may have made it.

    Every POST has an intent that is recorded before it, and an id is named there before
    it is used. So where no other intent is open and unnamed, an unknown id is this
    intent's own.
    """
    others = [
        entry.intent
        for entry in ledger.tokens.values()
        if entry.intent is not None and entry.intent.operation_id != intent.operation_id
    ]
    return (
        token_id in intent.before
        or token_id in ledger.known_ids()
        or token_id in ledger.released_ids()
        or any(o.token_id == token_id or (o.kind.derives and o.token_id is None) for o in others)
    )
