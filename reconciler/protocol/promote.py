"""A rotation from the reserve: a token that lives already becomes a label's current.

No identity is needed, and no turn of the manager's: the reserve signs its own list. It
works with a predecessor that is dead, the manager's too.

    after      the reply                   then
    ---------  --------------------------  -------------------------------------------
    - look     the path is not as planned  stop; nothing was done
    1 intent   not recorded                stop; nothing was done. With the intent is
                                           recorded that uses of it may be ours
    2 read     deleted                     prove the lease, bring version 1 back, read
                                           it again
               not what we wrote, or gone  close the intent; the ledger remembers that
                                           the secret is lost
    3 verify   it is in its own list       go on
               it is not                   the list is partial: close the intent; failed
               401, and the signer's list  the secret is a wrong one, or the token is
               can be had                  gone: in one write the intent is closed and
                                           the reserve revoking, if it is fresh and no
                                           other one goes for that; else failed
               no answer                   close the intent; failed
    4 commit   written                     5
               anything else               resolve (commit.py): 5; or close the intent,
                                           and the reserve is fresh no more where the
                                           version was taken away; or leave it open
    5 record   recorded                    current is the reserve, its predecessor
                                           retires, the place of its document is noted
    6 tidy up  (any)                       delete the document, version 1 by number,
                                           and only while the path holds the token

    after a crash in  recovery
    ----------------  ----------------------------------------------------------------
    1, 2, 3           fences the path of the intent, closes it; the row stays
    4                 finds the operation id at version cas + 1 and does 5
    5, 6              deletes the document (``remove_leftover``)

Undoing a promotion revokes nothing. The metadata of the document stays: without it the
numbers of its versions would begin again.
"""

from __future__ import annotations

import dataclasses

from reconciler.model import (
    USE_MARGIN_MS,
    Credentials,
    LiveToken,
    SecretVersion,
    VersionId,
    VersionState,
)
from reconciler.plan import Promote
from reconciler.protocol.again import until_answered
from reconciler.protocol.commit import (
    Committed,
    Unproven,
    believed,
    changed_since,
    resolve_commit,
    unwritten,
)
from reconciler.protocol.derive import needs_no_overlap
from reconciler.protocol.effects import (
    DeleteVersion,
    Done,
    LeaseLost,
    Listing,
    ListTokens,
    NewId,
    NoteLedger,
    NotRecorded,
    Now,
    PutSecret,
    ReadSecret,
    Recorded,
    Refused,
    Step,
    Unclear,
    Undelete,
    UseSigner,
    VerifyToken,
    WriteLedger,
    Written,
    time_of_record,
)
from reconciler.protocol.outcome import (
    Outcome,
    Run,
    applied,
    failed,
    not_tried,
    unrecorded,
    with_revocations,
)
from reconciler.protocol.own_use import OWN_USE_MS, SIGN_BEFORE_MS
from reconciler.protocol.revoke import confirm_gone, finish_revoking, finish_superseded
from reconciler.protocol.send import beside_new
from reconciler.protocol.undo import kept_at, leaving
from reconciler.protocol.unpromoted import close_unsent, undo_promotion
from reconciler.state import (
    OPERATION_ID,
    TOKEN_ID,
    Current,
    Entry,
    Fields,
    Intent,
    IntentKind,
    Ledger,
    Reserve,
    Retirement,
    credentials_of,
    drop_reserve,
    forget_left,
    kept_beside,
    named_others,
    open_promotion,
    own_fields,
    record_promoted,
    unchanged,
    with_further,
)
from reconciler.values import value

DONE = "rotated"
"""That it came from the reserve stands in the row's own note."""

FIRST = 1
"""The only version that a reserve's document has."""


@value
class _Proven:
    """A reserve that signed: its pair and fields, the list, and when it signed."""

    credentials: Credentials
    fields: Fields
    listed: Listing
    live: LiveToken
    at_ms: int


def promote(run: Run, task: Promote) -> Step[Outcome]:
    """Make a reserve a label's current token, from a last look to the record."""
    latest = yield from ReadSecret(path=task.spec.path)
    if isinstance(latest, (Refused, Unclear)):
        return not_tried(latest.sentence)
    if not latest.version_id.is_same(task.seen):
        return not_tried(changed_since(task.spec.path, task.seen, latest.version_id))
    others = yield from beside_new(task.spec, task.entry, latest)
    if isinstance(others, Outcome):
        return others
    if task.believed_gone and task.predecessor is not None:
        asked = yield from confirm_gone(task.spec.label, task.entry, task.predecessor.token_id)
        if isinstance(asked, Outcome):
            return asked
        task = dataclasses.replace(task, believed_gone=asked)
    began = yield from _begin(run, task, others)
    if isinstance(began, Outcome):
        return began
    intent, ledger, until_ms = began
    proven = yield from _prove(task, intent, until_ms)
    if isinstance(proven, Outcome):
        return proven
    version = yield from _commit(task, intent, proven, (*others, *proven.fields), ledger)
    if isinstance(version, Outcome):
        return version
    return (yield from _record(task, intent, proven, version))


def _begin(run: Run, task: Promote, others: Fields) -> Step[tuple[Intent, Ledger, int] | Outcome]:
    """Do step 1: the intent, the ledger with it, and until when uses may be ours."""
    operation_id = yield from NewId()
    now_ms = yield from Now()
    until_ms = now_ms + OWN_USE_MS
    intent = Intent(
        kind=IntentKind.PROMOTE,
        operation_id=operation_id,
        run=run.run,
        since_ms=now_ms,
        before=(),
        cas=task.seen.number,
        cas_created_at_ms=task.seen.created_at_ms,
        path=task.spec.path,
        scopes=task.spec.scopes,
        compromised=task.compromised,
        token_id=task.kept.token_id,
        fields=task.spec.fields,
        others=named_others(others, task.spec.fields),
    )
    opened = yield from WriteLedger(
        transition=open_promotion(
            task.spec.label, intent, protect=task.spec.protect, until_ms=until_ms
        )
    )
    if not isinstance(opened, Recorded):
        return unrecorded(opened)
    return intent, opened.ledger, until_ms


def _prove(task: Promote, intent: Intent, until_ms: int) -> Step[_Proven | Outcome]:
    """Do steps 2 and 3: what the document holds must sign, and be what is wanted."""
    label, kept = task.spec.label, task.kept
    content = yield from read_reserve(kept)
    if isinstance(content, Outcome):
        return content
    if isinstance(content, (Refused, Unclear)):
        return (yield from close_unsent(label, intent, failed(content.sentence, kept.token_id)))
    credentials = credentials_of(content) if content is not None else None
    if content is None or credentials is None or credentials.token_id != kept.token_id:
        lost = failed("its document does not hold its secret any more: run again", kept.token_id)
        return (yield from close_unsent(label, intent, lost, lost=True))
    reply = yield from VerifyToken(credentials=credentials, until_ms=until_ms - SIGN_BEFORE_MS)
    if isinstance(reply, Refused) and reply.is_of_signature:
        return (yield from _refused(task, intent, reply))
    if not isinstance(reply, Listing):
        why = f"whether the reserve signs is not known: {reply.sentence}"
        return (yield from close_unsent(label, intent, failed(why, kept.token_id)))
    live = reply.find(kept.token_id)
    if live is None:
        why = "the list that the reserve signed lacks it: the list is partial, run again later"
        return (yield from close_unsent(label, intent, failed(why, kept.token_id)))
    if live.scopes != task.spec.scopes:
        why = f"the exchange lists {kept.token_id} with other scopes: run again"
        return (yield from close_unsent(label, intent, not_tried(why)))
    at_ms = yield from Now()
    return _Proven(
        credentials=credentials,
        fields=own_fields(content, Entry(path=kept.path)),
        listed=reply,
        live=live,
        at_ms=at_ms + USE_MARGIN_MS,
    )


def read_reserve(kept: Reserve) -> Step[SecretVersion | Refused | Unclear | Outcome | None]:
    """Return what we wrote for a reserve, brought back if it was deleted.

    None where it is gone for good, or another one. An outcome where the lease is lost:
    a run that stood still would bring back what another one has promoted, or revoked,
    and deleted since. Nothing fences that, so the lease is proven right before.
    """
    content = yield from ReadSecret(path=kept.path, version=FIRST)
    if isinstance(content, SecretVersion) and content.state is VersionState.DELETED:
        renewed = yield from WriteLedger(transition=unchanged)
        if not isinstance(renewed, Recorded):
            return unrecorded(renewed, kept.token_id)
        back = yield from until_answered(Undelete(path=kept.path, version=FIRST))
        if isinstance(back, (Refused, Unclear)):
            return back
        content = yield from ReadSecret(path=kept.path, version=FIRST)
    if isinstance(content, (Refused, Unclear)):
        return content
    same = content.version_id.is_same(kept.version_id)
    return content if content.state is VersionState.LIVING and same else None


def _refused(task: Promote, intent: Intent, refusal: Refused) -> Step[Outcome]:
    """A reserve that does not sign goes, where that is certain; once in a run."""
    label, kept = task.spec.label, task.kept
    why = f"the reserve does not sign: {refusal.sentence}"
    listing = yield from ListTokens()
    content = yield from ReadSecret(path=task.spec.path)
    if isinstance(content, (Refused, Unclear)):
        return (yield from close_unsent(label, intent, failed(content.sentence, kept.token_id)))
    unread = kept.fresh and content.field(TOKEN_ID) != kept.token_id
    at_ms = yield from Now()
    dropped = drop_reserve(label, intent, at_ms=at_ms)
    reply: Recorded | LeaseLost | NotRecorded = NotRecorded(sentence="", contradicted=True)
    if isinstance(listing, Listing) and unread:
        reply = yield from WriteLedger(transition=dropped)
    if isinstance(reply, NotRecorded) and reply.contradicted:
        unsure = failed(f"{why}; a clock or an edge may be the cause", kept.token_id)
        return (yield from close_unsent(label, intent, unsure))
    if not isinstance(reply, Recorded):
        return unrecorded(reply, kept.token_id)
    entry = reply.ledger.tokens[label]
    row = next(r for r in entry.revoking if r.token_id == kept.token_id)
    ended = yield from finish_revoking(label, entry.path, row)
    gone = failed(f"{why}; {ended.sentence}: run again", kept.token_id)
    return dataclasses.replace(gone, asked=ended.asked, unclear=ended.unclear, stop=ended.stop)


def _commit(
    task: Promote, intent: Intent, proven: _Proven, fields: Fields, ledger: Ledger
) -> Step[VersionId | Outcome]:
    """Do step 4: the version that holds the reserve's secret, or an outcome."""
    token_id, secret = proven.credentials.token_id, proven.credentials.secret
    named = {**dict(fields), OPERATION_ID: intent.operation_id}
    fields = with_further(tuple(named.items()), secret, intent.fields)
    put = PutSecret(path=intent.path, fields=fields, secret=secret, cas=intent.cas)
    reply = yield from until_answered(put)
    if isinstance(reply, Written):
        return reply.version_id
    settled = yield from resolve_commit(
        intent.path,
        intent.cas,
        intent.operation_id,
        leaving=leaving(ledger),
        kept=kept_at(ledger, intent.path),
        seen_at_ms=intent.cas_created_at_ms,
    )
    verdict = believed(settled, secret)
    if isinstance(verdict, Committed):
        return verdict.content.version_id
    if isinstance(verdict, Unproven):
        return failed(
            f"whether the secret was written is unproven ({verdict.sentence}); "
            "the next run finds out",
            token_id,
        )
    closed = yield from undo_promotion(task.spec.label, intent, verdict)
    return closed or failed(f"{unwritten(reply, verdict)}: run again", token_id)


def _record(task: Promote, intent: Intent, proven: _Proven, version: VersionId) -> Step[Outcome]:
    """Do steps 5 and 6, and end a predecessor that needs no overlap."""
    label, kept = task.spec.label, task.kept
    now_ms = yield from time_of_record()
    old_id = task.predecessor.token_id if task.predecessor is not None else None
    old = proven.listed.find(old_id) if old_id is not None else None
    current = current_of_reserve(kept, version, verified_at_ms=proven.at_ms, fresh=kept.fresh)
    retirement = Retirement(
        at_ms=now_ms,
        overlap_ms=task.spec.overlap_ms,
        reason="compromised" if task.compromised else "rotated",
        revoke_now=task.compromised or needs_no_overlap(task, old),
        revoke_all=task.compromised,
        already_gone=task.believed_gone and old is None,
    )
    reply = yield from WriteLedger(transition=record_promoted(label, intent, current, retirement))
    if not isinstance(reply, Recorded):
        return unrecorded(reply, kept.token_id)
    if task.is_manager:
        yield from UseSigner(credentials=proven.credentials)
    done = applied(DONE + kept_beside(intent.others), kept.token_id)
    ended = yield from finish_superseded(label, reply.ledger.tokens[label], retirement.reason)
    left = yield from _delete_document(reply.ledger.tokens[label], kept.path, kept.token_id)
    if left is None:
        yield from NoteLedger(transition=forget_left(kept.path))
    return with_revocations(done, ended if left is None else (*ended, left))


def current_of_reserve(
    kept: Reserve, version: VersionId, *, verified_at_ms: int, fresh: bool
) -> Current:
    """Return the current token that a reserve becomes, at a version of the path."""
    return Current(
        token_id=kept.token_id,
        live_label=kept.live_label,
        created_at_ms=kept.created_at_ms,
        version=version.number,
        version_created_at_ms=version.created_at_ms,
        verified_at_ms=verified_at_ms,
        fresh=fresh,
        asked_label=kept.asked_label,
    )


def remove_leftover(entry: Entry, path: str, token_id: str) -> Step[Outcome]:
    """Delete a promoted reserve's document, while the label's path holds its token.

    Where it does not, the document stays: it is the only copy, and the next plan judges
    the label's secret first.
    """
    left = yield from _delete_document(entry, path, token_id)
    if left is not None:
        return left
    reply = yield from WriteLedger(transition=forget_left(path))
    if not isinstance(reply, Recorded):
        return unrecorded(reply, token_id)
    return applied("its document is deleted", token_id)


def _delete_document(entry: Entry, path: str, token_id: str) -> Step[Outcome | None]:
    """Do step 6; None once the document is deleted."""
    if entry.current is not None and entry.current.token_id == token_id:
        content = yield from ReadSecret(path=entry.path)
        if isinstance(content, (Refused, Unclear)):
            return failed(content.sentence, token_id)
        if content.field(TOKEN_ID) != token_id:
            return not_tried(f"{entry.path} does not hold {token_id}: its document stays for now")
    gone = yield from until_answered(DeleteVersion(path=path, version=FIRST))
    if not isinstance(gone, Done):
        return failed(f"the reserve's document is left: {gone.sentence}", token_id)
    return None
