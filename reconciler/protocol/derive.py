"""Steps 1 to 6: a new token for a label, from the intent to the record.

The commit point is one check-and-set write.

    after     the reply                    then
    --------  ---------------------------  -------------------------------------------
    - list    none to be had               stop; nothing was done
    1 intent  not recorded                 stop; nothing was done
    2 derive  (``send`` has the table)     close the intent, or leave it open
    3 name    not recorded, lease lost     DELETE the token if it is proven new; stop
              known already                it was an old reply: as unclear, and
                                           nothing is deleted
    4 verify  not what was asked for       remember it, derive no more in this run;
                                           then as without an answer
              no answer                    ledger: revoking, intent closed; then
                                           DELETE
              another token vanished       go on, as the new one may be the only one
                                           that works; ``ended`` has the rest
    5 commit  written                      6
              busy                         the same write again, for a while
              anything else                resolve (commit.py): 6; or drop as in 4; or
                                           retire it, where its version was taken away
                                           and may have been read; or leave the intent
                                           open
    6 record  not recorded, lease lost     stop; the next run records it

Steps 1 and 2 are ``send``'s.
"""

from __future__ import annotations

import dataclasses

from reconciler.model import Credentials, Derived, LiveToken, VersionId
from reconciler.plan import NewToken, Promote
from reconciler.protocol.again import until_answered
from reconciler.protocol.commit import (
    NotCommitted,
    TakenAway,
    Unproven,
    believed,
    resolve_commit,
    unwritten,
)
from reconciler.protocol.effects import (
    Listing,
    LocalNow,
    NotRecorded,
    PutSecret,
    Recorded,
    Refused,
    Sleep,
    Step,
    StopDeriving,
    UseSigner,
    VerifyToken,
    WriteLedger,
    Written,
    time_of_record,
)
from reconciler.protocol.ended import Gone, end_noting, find_ended, naming, noting
from reconciler.protocol.granted import NotAsAsked, not_as_asked, stop_at_once, take_note
from reconciler.protocol.outcome import (
    Ending,
    Outcome,
    Run,
    applied,
    failed,
    unrecorded,
    with_revocations,
)
from reconciler.protocol.revoke import finish_superseded, own_use
from reconciler.protocol.send import Sent, close_underived, leave_unclear, send_derive
from reconciler.protocol.undo import (
    drop_token,
    kept_at,
    leaving,
    retire_taken_away,
    revoke_unrecorded,
)
from reconciler.state import (
    CLOCK_WRONG_MS,
    Current,
    Intent,
    Ledger,
    Reserve,
    Retirement,
    name_intent,
    never_used,
    record_current,
    record_stocked,
    secret_fields,
    with_further,
)
from reconciler.values import value

VERIFY_TRIES = 6
VERIFY_PAUSE_MS = 500


def derive_token(run: Run, task: NewToken) -> Step[Outcome]:
    """Derive a token for a label, from a last look at the secret to the record.

    A compromised predecessor is revoked at once.
    """
    begun_ms = yield from LocalNow()
    sent = yield from send_derive(run, task)
    if isinstance(sent, Outcome):
        return sent
    yield from stop_at_once(sent.task.spec, sent.derived)
    if _lived_before(sent, begun_ms):
        token_id = sent.derived.token_id
        return (yield from leave_unclear(f"the exchange answered with an old reply ({token_id})"))
    return (yield from _keep(run, sent))


def _keep(run: Run, sent: Sent) -> Step[Outcome]:
    """Steps 3 to 6 for a token that this run has in its hands."""
    task, intent, derived = sent.task, sent.intent, sent.derived
    label, token_id = task.spec.label, derived.token_id
    named = yield from WriteLedger(transition=name_intent(label, intent.operation_id, token_id))
    if isinstance(named, NotRecorded) and named.contradicted:
        return (
            yield from leave_unclear(f"the exchange answered with an old reply ({named.sentence})")
        )
    if not isinstance(named, Recorded):
        outcome = unrecorded(named, token_id)
        return (yield from revoke_unrecorded(outcome, intent, derived, task.standing))
    if run.profile_id is not None and derived.profile_id != run.profile_id:
        stray = (
            f"{token_id} was derived for profile {derived.profile_id} "
            f"instead of {run.profile_id}: revoke it there"
        )
        yield from StopDeriving(sentence="the exchange derives for another profile")
        return (yield from close_underived(label, intent.operation_id, failed(stray, token_id)))
    checked = yield from _verify(task, derived)
    if isinstance(checked, NotAsAsked):
        yield from take_note(task.spec, checked)
    elif isinstance(checked, Refused):
        yield from StopDeriving(sentence=f"{label}: {checked.sentence}")
    if isinstance(checked, Refused):
        never = NotCommitted(version=intent.cas)
        return (yield from _drop(task, intent, derived, checked.sentence, never))
    pair = Credentials(token_id=token_id, secret=derived.secret)
    gone = yield from find_ended(task, sent.before, checked, pair, named.ledger)
    verified_at_ms = yield from own_use(token_id)
    version = yield from _commit(run, sent, named.ledger)
    if isinstance(version, Outcome):
        return (yield from end_noting(version, task, gone))
    stored = _Stored(
        derived=derived, checked=checked, version=version, verified_at_ms=verified_at_ms, gone=gone
    )
    record = _record_stocked if task.stocks else _record_derived
    return (yield from record(task, intent, stored))


def _commit(run: Run, sent: Sent, ledger: Ledger) -> Step[VersionId | Outcome]:
    """Do step 5: the version that holds the new token, or an outcome."""
    task, intent, derived = sent.task, sent.intent, sent.derived
    label, token_id = task.spec.label, derived.token_id
    own = secret_fields(
        label,
        derived,
        api_url=run.api_url,
        operation_id=intent.operation_id,
        others=sent.others,
    )
    fields = with_further(own, derived.secret, intent.fields)
    reply = yield from until_answered(
        PutSecret(path=intent.path, fields=fields, secret=derived.secret, cas=intent.cas)
    )
    if isinstance(reply, Written):
        return reply.version_id
    at_ms = intent.cas_created_at_ms
    settled = yield from resolve_commit(
        intent.path,
        intent.cas,
        intent.operation_id,
        leaving=leaving(ledger),
        kept=kept_at(ledger, intent.path),
        seen_at_ms=at_ms,
    )
    verdict = believed(settled, derived.secret)
    if isinstance(verdict, NotCommitted):
        return (yield from _drop(task, intent, derived, unwritten(reply, verdict), verdict))
    if isinstance(verdict, TakenAway):
        retired = yield from retire_taken_away(
            label, intent, token_id, overlap_ms=task.spec.overlap_ms
        )
        return dataclasses.replace(retired, status=Ending.FAILED)
    if isinstance(verdict, Unproven):
        return failed(
            f"whether the secret was written is unproven ({verdict.sentence}); "
            "the next run finds out",
            token_id,
        )
    return verdict.content.version_id


@value
class _Stored:
    """A token that is in Vault, the list that it signed, and the version with it.

    ``gone`` is what vanished while it was derived.
    """

    derived: Derived
    checked: Listing
    version: VersionId
    verified_at_ms: int
    gone: Gone | None


def _verify(task: NewToken, derived: Derived) -> Step[Listing | Refused]:
    """Sign a list call with the new secret: it must be in the list as asked for.

    New tokens may take a moment to work. Where one does not, the next ones would hardly
    do, so the run derives no more: else each run would derive and revoke a whole fleet.
    """
    sentence = ""
    for attempt in range(VERIFY_TRIES):
        if attempt:
            yield from Sleep(ms=VERIFY_PAUSE_MS * attempt)
        credentials = Credentials(token_id=derived.token_id, secret=derived.secret)
        reply = yield from VerifyToken(credentials=credentials)
        if not isinstance(reply, Listing):
            sentence = f"the new token could not be verified: {reply.sentence}"
            continue
        live = reply.find(derived.token_id)
        if live is None:
            sentence = "the new token is not in the exchange's list"
            continue
        return not_as_asked(task.spec, derived, live) or reply
    return Refused(sentence=sentence)


def _lived_before(sent: Sent, begun_ms: int) -> bool:
    """Return whether a token lived before its derive: then its reply is an old one.

    The ledger can't always tell. It knows no twin, and after a person's rollback, or a
    restore of Vault, it has forgotten our own: such an id would be named, dropped, and
    revoked while a consumer holds it.

    A bootstrap has no list of the time before. There the token's age decides, by two
    clocks that must agree: a ``Date`` may be wrong for good, and so may this machine's
    clock, which told ``begun_ms``. Were both wrong alike, the exchange would accept no
    signature.
    """
    if sent.task.can_list:
        return sent.derived.token_id in sent.task.listed
    begun_at_latest_ms = min(sent.intent.since_ms, begun_ms)
    return sent.derived.created_at_ms < begun_at_latest_ms - CLOCK_WRONG_MS


def _drop(
    task: NewToken, intent: Intent, derived: Derived, sentence: str, verdict: NotCommitted
) -> Step[Outcome]:
    """Give the new token up: ledger first, then DELETE."""
    token_id = derived.token_id
    undone = yield from drop_token(
        task.spec.label, intent, token_id, verdict, reason="not committed"
    )
    if isinstance(undone, Outcome):
        given_up = failed(f"{sentence}; the new token: {undone.sentence}", token_id)
        return dataclasses.replace(given_up, asked=(*undone.asked, *undone.unclear))
    outcome = unrecorded(undone, token_id)
    if isinstance(undone, NotRecorded) and undone.contradicted:
        return outcome
    return (yield from revoke_unrecorded(outcome, intent, derived, task.standing))


def _record_derived(task: NewToken, intent: Intent, kept: _Stored) -> Step[Outcome]:
    """Do step 6, and end a predecessor that needs no overlap.

    That is one that is compromised, or, where the overlap is 0, one that no consumer
    ever used.
    """
    label, derived = task.spec.label, kept.derived
    live = kept.checked.find(derived.token_id)
    current = Current(
        token_id=derived.token_id,
        live_label=label if live is None else live.label or label,
        created_at_ms=derived.created_at_ms if live is None else live.created_at_ms,
        version=kept.version.number,
        version_created_at_ms=kept.version.created_at_ms,
        verified_at_ms=kept.verified_at_ms,
        fresh=True,
    )
    now_ms = yield from time_of_record()
    old = kept.checked.find(task.predecessor.token_id) if task.predecessor is not None else None
    retirement = Retirement(
        at_ms=now_ms,
        overlap_ms=task.spec.overlap_ms,
        reason="compromised" if task.compromised else "rotated",
        revoke_now=task.compromised or needs_no_overlap(task, old),
        revoke_all=task.compromised,
        already_gone=task.believed_gone and old is None,
    )
    record = record_current(label, intent.operation_id, current, retirement)
    reply = yield from WriteLedger(transition=noting(record, kept.gone))
    if not isinstance(reply, Recorded):
        return unrecorded(reply, current.token_id)
    if task.is_manager:
        yield from UseSigner(
            credentials=Credentials(token_id=derived.token_id, secret=derived.secret)
        )
    done = naming(applied(task.done, current.token_id), task, kept.gone, reply.ledger)
    entry = reply.ledger.tokens[label]
    ended = yield from finish_superseded(label, entry, retirement.reason)
    return with_revocations(done, ended)


def _record_stocked(task: NewToken, intent: Intent, kept: _Stored) -> Step[Outcome]:
    """Do step 6 of a token that goes into the reserve."""
    label, derived = task.spec.label, kept.derived
    live = kept.checked.find(derived.token_id)
    row = Reserve(
        token_id=derived.token_id,
        live_label=label if live is None else live.label or label,
        operation_id=intent.operation_id,
        created_at_ms=derived.created_at_ms if live is None else live.created_at_ms,
        scopes=intent.scopes,
        verified_at_ms=kept.verified_at_ms,
        version_created_at_ms=kept.version.created_at_ms,
        fresh=True,
    )
    record = record_stocked(label, intent.operation_id, row)
    reply = yield from WriteLedger(transition=noting(record, kept.gone))
    if not isinstance(reply, Recorded):
        return unrecorded(reply, row.token_id)
    return naming(applied(task.done, row.token_id), task, kept.gone, reply.ledger)


def needs_no_overlap(task: NewToken | Promote, old: LiveToken | None) -> bool:
    """Return whether the predecessor goes at once: it has no overlap, and no consumer.

    Where another label is to have its path, it goes once that has it: the path would
    be empty in between.
    """
    return task.spec.overlap_ms == 0 and not task.passes_on and _nobody_holds(task, old)


def _nobody_holds(task: NewToken | Promote, old: LiveToken | None) -> bool:
    """Return whether it is proven that no consumer ever used the predecessor.

    Always true for the manager: only this program uses it, and reads its secret anew.
    """
    if task.predecessor is None or old is None:
        return False
    return task.is_manager or (task.uses_proven and never_used(task.predecessor, old))
