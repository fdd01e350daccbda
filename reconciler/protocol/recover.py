"""An open intent whose run is over, and other traces of a crash.

    (a) version cas + 1 holds    it was committed: record it
        the operation id
        it was there and is      a named token may have been committed and read: it
        gone                     retires
    (b) otherwise                fence, so that a paused writer can't commit from now on
    (c) look once more as in (a)
    (d) one write of the ledger  the intent's token (or the interrupted one) is
                                 revoking, the intent closed; without a token: into
                                 ``abandoned``
    (e) only then                delete the fence's placeholder, DELETE the token

Nobody acts on the interrupted token before (a) and (c). A restore, rollback or adopt
derives nothing: (d) only closes it.
"""

from __future__ import annotations

import dataclasses

from reconciler.model import (
    SECOND_MS,
    USE_MARGIN_MS,
    LiveToken,
    SecretVersion,
    VersionId,
    instant_ms,
)
from reconciler.protocol.commit import (
    Committed,
    NotCommitted,
    TakenAway,
    Unproven,
    delete_placeholder,
    resolve_commit,
)
from reconciler.protocol.effects import (
    ConfirmedNow,
    Listing,
    ListTokens,
    Now,
    ReadSecret,
    Recorded,
    Refused,
    Sleep,
    Step,
    Unclear,
    UseSigner,
    WriteLedger,
    value,
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
from reconciler.protocol.revoke import finish_revoking, finish_superseded
from reconciler.protocol.undo import (
    close_rewrite,
    drop_token,
    fenced_version,
    leaving,
    placeholder_left,
    record_undone,
    retire_perhaps,
)
from reconciler.state import (
    DERIVE_DEADLINE_MS,
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
    is_placeholder,
    record_current,
    set_version,
)

LOOKS = 3
LOOK_PAUSE_MS = SECOND_MS


@value
class Recovery:
    """The label to recover.

    ``overlap_ms`` is its predecessor's, should the commit turn out to be there.
    """

    label: str
    overlap_ms: int
    is_manager: bool = False
    has_signer: bool = True


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


def remove_placeholder(path: str) -> Step[Outcome]:
    """Delete, by its number, an empty document that is a path's latest version."""
    latest = yield from ReadSecret(path=path)
    if isinstance(latest, (Refused, Unclear)):
        return failed(latest.sentence)
    if not is_placeholder(latest):
        return not_tried(f"{path} changed since the plan: run again")
    left = yield from delete_placeholder(path, latest.version)
    return applied("deleted an empty placeholder") if left is None else failed(left.sentence)


def _recover_intent(task: Recovery, intent: Intent, ledger: Ledger) -> Step[Outcome]:
    label = task.label
    verdict = yield from resolve_commit(
        intent.path, intent.cas, intent.operation_id, leaving=leaving(ledger, label)
    )
    if isinstance(verdict, Committed):
        return (yield from _record_found(task, intent, verdict.content, ledger))
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
        # a token that was not named was never committed, and what a rewrite wrote lives
        # on whatever was read
        verdict = NotCommitted(version=intent.cas)
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
    ended = yield from drop_token(label, intent, found, verdict, reason="interrupted")
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
        version = fenced_version(ledger.tokens[label], intent.path, verdict)
        return abandon_intent(label, intent.operation_id, at_ms=now_ms, version=version)(ledger)

    reply = yield from record_undone(label, intent, verdict, transition)
    if not isinstance(reply, Recorded):
        return unrecorded(reply)
    return placeholder_left(reply.ledger, label) or applied("undone: no token of it is known")


def _find(task: Recovery, intent: Intent, ledger: Ledger) -> Step[str | Refused | Unclear | None]:
    """The id that is the intent's: named, or the only one that it can be.

    A young derive may still show up in the list.
    """
    if intent.token_id is not None or not task.has_signer:
        return intent.token_id
    for look in range(LOOKS):
        listing = yield from ListTokens()
        if not isinstance(listing, Listing):
            return listing
        found = interrupted(task.label, intent, ledger, listing.tokens)
        now_ms = yield from ConfirmedNow()
        if not isinstance(now_ms, int):
            return now_ms
        if found is not None or look == LOOKS - 1 or now_ms > intent.since_ms + DERIVE_DEADLINE_MS:
            return found
        yield from Sleep(ms=LOOK_PAUSE_MS)
    return None


def _record_found(
    task: Recovery, intent: Intent, content: SecretVersion, ledger: Ledger
) -> Step[Outcome]:
    label, token_id = task.label, content.field(TOKEN_ID)
    if token_id is None or intent.token_id not in {None, token_id}:
        return failed(
            f"{intent.path} was edited by hand: it holds {token_id}, "
            f"the ledger expects {intent.token_id}"
        )
    entry = ledger.tokens[label]
    live: LiveToken | None = None
    if task.has_signer:
        listing = yield from ListTokens()
        if not isinstance(listing, Listing):
            return failed(listing.sentence)
        live = listing.find(token_id)
    now_ms = yield from Now()
    current = Current(
        token_id=token_id,
        live_label=_live_label(label, token_id, entry, live),
        created_at_ms=live.created_at_ms if live is not None else _created_ms(content, intent),
        version=content.version,
        version_created_at_ms=content.created_at_ms,
        verified_at_ms=now_ms + USE_MARGIN_MS,
    )
    retirement = Retirement(
        at_ms=now_ms,
        overlap_ms=task.overlap_ms,
        reason="compromised"
        if intent.compromised
        else "rolled back"
        if intent.kind is IntentKind.ROLLBACK
        else "rotated",
        revoke_now=intent.compromised,
        revoke_all=intent.compromised,
    )
    reply = yield from WriteLedger(
        transition=record_current(label, intent.operation_id, current, retirement)
    )
    if not isinstance(reply, Recorded):
        return unrecorded(reply, token_id)
    credentials = credentials_of(content)
    if task.is_manager and credentials is not None:
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


def fix_version(label: str, path: str, current: Current, version: VersionId) -> Step[Outcome]:
    """Record the version that holds the current token; nothing else changes.

    ``version`` is the one that was looked at: another one may have another secret
    beside the same id.
    """
    latest = yield from ReadSecret(path=path)
    if isinstance(latest, (Refused, Unclear)):
        return failed(latest.sentence)
    if latest.field(TOKEN_ID) != current.token_id or not latest.version_id.is_same(version):
        return not_tried(f"{path} changed since the plan: run again")
    reply = yield from WriteLedger(transition=set_version(label, latest.version_id))
    return applied("ledger put right") if isinstance(reply, Recorded) else unrecorded(reply)
