"""Writing the secret of a token that lives already: restore, rollback and adopt.

Steps 1, 5 and 6 without a derive.

    kind      what is written             what is recorded
    --------  --------------------------  --------------------------------------------
    restore   the current token, from an  the same token is current at the new version
              older version that signs
    rollback  a retiring predecessor,     the predecessor is current, the successor
              from an older version       retires
    adopt     what a person brought       the token is current; one from the label's
                                          reserve leaves that, and its predecessor
                                          retires
    rewrite   the current token, from     the same token is current at the new version
              the latest version

Each write carries the further names that the manifest wants (``Place.further``), and
its intent remembers them. Names that we wrote before, and that are not wanted any more,
are left out; what others wrote stays.

Recovery finds the operation id at ``cas + 1`` and records the same; or it fences and
forgets. It never revokes the token, which was there before the intent.
"""

from __future__ import annotations

import dataclasses

from reconciler.model import (
    USE_MARGIN_MS,
    Credentials,
    LiveToken,
    Secret,
    SecretVersion,
    VersionId,
)
from reconciler.protocol.again import until_answered
from reconciler.protocol.commit import (
    Committed,
    Unproven,
    believed,
    changed_since,
    resolve_commit,
    unwritten,
)
from reconciler.protocol.effects import (
    Listing,
    NewId,
    Now,
    PutSecret,
    ReadSecret,
    Recorded,
    Refused,
    Step,
    Unclear,
    VerifyToken,
    WriteLedger,
    Written,
    time_of_record,
)
from reconciler.protocol.older import other_holder
from reconciler.protocol.outcome import (
    Ending,
    Outcome,
    Run,
    applied,
    failed,
    not_tried,
    unrecorded,
)
from reconciler.protocol.prove import Works, Wrong, prove_stored, record_unsigned, why_unproven
from reconciler.protocol.undo import close_rewrite, kept_at, leaving
from reconciler.state import (
    OPERATION_ID,
    Current,
    Entry,
    Fields,
    Intent,
    IntentKind,
    Retirement,
    credentials_of,
    kept_beside,
    named_others,
    open_adoption,
    open_intent,
    others_of,
    own_fields,
    record_current,
    record_promoted,
    reserve_of,
    with_further,
)
from reconciler.values import value

_DONE = {
    IntentKind.RESTORE: "restored",
    IntentKind.ROLLBACK: "rolled back",
    IntentKind.ADOPT: "adopted",
    IntentKind.REWRITE: "written again with the fields that the manifest names",
}


@value
class Place:
    """Where a label's secret lies.

    ``source`` is the version to write again, ``seen`` the latest one that was seen.
    ``further`` are the further names that the manifest wants, as in ``TokenSpec``.
    """

    label: str
    path: str
    source: int
    seen: VersionId
    further: tuple[str, ...] = ()


@value
class Rewrite:
    """One secret to write again, over the version that was ``seen``.

    ``fields`` are the consumer's fields without an operation id; the intent adds its
    own. ``entry`` is what the ledger knows of the label, an empty one where it knows
    nothing. ``further`` is as in ``Place``, ``grace_ms`` (an adoption's) as in
    ``Intent``.
    """

    kind: IntentKind
    label: str
    path: str
    seen: VersionId
    entry: Entry
    live: LiveToken
    verified_at_ms: int
    fields: Fields
    secret: Secret
    overlap_ms: int
    further: tuple[str, ...] = ()
    protect: bool | None = None
    grace_ms: int | None = None


def restore(
    run: Run,
    place: Place,
    entry: Entry,
    live: LiveToken,
    kind: IntentKind = IntentKind.RESTORE,
) -> Step[Outcome]:
    """Write the current token's content again, from the version that still holds it.

    It signs first. What does not is recorded as such, so that the token is replaced; a
    RESTORE tries what other versions hold before. ``kind`` is RESTORE or REWRITE.
    """
    content = yield from ReadSecret(path=place.path, version=place.source)
    if isinstance(content, (Refused, Unclear)):
        return failed(content.sentence)
    credentials = credentials_of(content)
    if credentials is None or credentials.token_id != live.token_id:
        return not_tried(
            f"version {place.source} of {place.path} does not hold {live.token_id} any more: "
            "run again"
        )
    proof = yield from prove_stored(place.label, credentials)
    if isinstance(proof, Wrong) and kind is IntentKind.RESTORE:
        other = yield from _another_version(place, credentials)
        if isinstance(other, Outcome):
            return other
        if other is not None:
            content, credentials, proof = other
    if isinstance(proof, Outcome):
        return proof
    if not isinstance(proof, Works):
        noted = yield from record_unsigned(place.label, live.token_id, proof)
        # a run plans afresh after a restore only, so nothing of this one replaces it
        is_last = kind is IntentKind.REWRITE and noted.status is Ending.APPLIED
        return failed(f"{noted.sentence}: run again", live.token_id) if is_last else noted
    now_ms = yield from Now()
    task = Rewrite(
        kind=kind,
        label=place.label,
        path=place.path,
        seen=place.seen,
        entry=entry,
        live=live,
        verified_at_ms=now_ms + USE_MARGIN_MS,
        fields=own_fields(content, entry),
        further=place.further,
        secret=credentials.secret,
        overlap_ms=0,
    )
    done = yield from rewrite_secret(run, task)
    if content.version == place.source or done.status is not Ending.APPLIED:
        return done
    what = f"from version {content.version}, because version {place.source} does not sign"
    return dataclasses.replace(done, sentence=f"{done.sentence}, {what}")


def _another_version(
    place: Place, refused: Credentials
) -> Step[tuple[SecretVersion, Credentials, Works] | Outcome | None]:
    """Return another version that holds the token, and signs; None where none does."""
    tried: tuple[Secret, ...] = (refused.secret,)
    while True:
        content = yield from other_holder(place.path, refused.token_id, tried)
        if isinstance(content, (Refused, Unclear)):
            return failed(content.sentence)
        credentials = credentials_of(content) if content is not None else None
        if content is None or credentials is None:
            return None
        proof = yield from prove_stored(place.label, credentials)
        if isinstance(proof, Outcome):
            return proof
        if isinstance(proof, Works):
            return content, credentials, proof
        tried = (*tried, credentials.secret)


def rollback(
    run: Run, place: Place, entry: Entry, live: LiveToken, *, overlap_ms: int
) -> Step[Outcome]:
    """Make a retiring predecessor current again. Its secret must still sign."""
    content = yield from ReadSecret(path=place.path, version=place.source)
    if isinstance(content, (Refused, Unclear)):
        return failed(content.sentence)
    credentials = credentials_of(content)
    if credentials is None or credentials.token_id != live.token_id:
        return not_tried(
            f"version {place.source} of {place.path} does not hold {live.token_id} any more: "
            "run again"
        )
    proof = yield from VerifyToken(credentials=credentials)
    if not isinstance(proof, Listing):
        return failed(why_unproven("the predecessor's secret", proof), live.token_id)
    now_ms = yield from Now()
    task = Rewrite(
        kind=IntentKind.ROLLBACK,
        label=place.label,
        path=place.path,
        seen=place.seen,
        entry=entry,
        live=live,
        verified_at_ms=now_ms + USE_MARGIN_MS,
        fields=own_fields(content, entry),
        further=place.further,
        secret=credentials.secret,
        overlap_ms=overlap_ms,
    )
    return (yield from rewrite_secret(run, task))


def rewrite_secret(run: Run, task: Rewrite) -> Step[Outcome]:
    """Intent, commit, record."""
    latest = yield from ReadSecret(path=task.path)
    if isinstance(latest, (Refused, Unclear)):
        return failed(latest.sentence)
    if not latest.version_id.is_same(task.seen):
        return not_tried(changed_since(task.path, task.seen, latest.version_id))
    operation_id = yield from NewId()
    since_ms = yield from Now()
    kept = {**dict(task.fields), **dict(others_of(latest, task.entry))}
    intent = Intent(
        kind=task.kind,
        operation_id=operation_id,
        run=run.run,
        since_ms=since_ms,
        before=(),
        cas=task.seen.number,
        cas_created_at_ms=task.seen.created_at_ms,
        path=task.path,
        scopes=task.live.scopes,
        token_id=task.live.token_id,
        grace_ms=task.grace_ms,
        fields=task.further,
        others=named_others(tuple(kept.items()), task.further),
    )
    is_kept = reserve_of(task.entry, task.live.token_id) is not None
    begin = open_adoption if is_kept else open_intent
    opened = yield from WriteLedger(transition=begin(task.label, intent, protect=task.protect))
    if not isinstance(opened, Recorded):
        return unrecorded(opened)
    kept[OPERATION_ID] = operation_id
    fields = with_further(tuple(kept.items()), task.secret, task.further)
    put = PutSecret(path=task.path, fields=fields, secret=task.secret, cas=task.seen.number)
    reply = yield from until_answered(put)
    if isinstance(reply, Written):
        return (yield from _record_rewritten(task, intent, reply.version_id))
    verdict = believed(
        (
            yield from resolve_commit(
                task.path,
                task.seen.number,
                operation_id,
                leaving=leaving(opened.ledger),
                kept=kept_at(opened.ledger, task.path),
            )
        ),
        task.secret,
    )
    if isinstance(verdict, Committed):
        return (yield from _record_rewritten(task, intent, verdict.content.version_id))
    if isinstance(verdict, Unproven):
        return failed(
            f"whether the secret was written is unproven ({verdict.sentence}); "
            "the next run finds out"
        )
    left = yield from close_rewrite(task.label, intent, verdict, outcome="not committed")
    if left is not None:
        return left
    return failed(f"{unwritten(reply, verdict)}: run again")


def _record_rewritten(task: Rewrite, intent: Intent, version: VersionId) -> Step[Outcome]:
    now_ms = yield from time_of_record()
    current = Current(
        token_id=task.live.token_id,
        live_label=task.live.label or "",
        created_at_ms=task.live.created_at_ms,
        version=version.number,
        version_created_at_ms=version.created_at_ms,
        verified_at_ms=task.verified_at_ms,
    )
    reason = "rolled back" if task.kind is IntentKind.ROLLBACK else "rotated"
    retirement = Retirement(at_ms=now_ms, overlap_ms=task.overlap_ms, reason=reason)
    step = record_current(task.label, intent.operation_id, current, retirement)
    kept = reserve_of(task.entry, task.live.token_id)
    if kept is not None:
        current = dataclasses.replace(current, asked_label=kept.asked_label)
        step = record_promoted(task.label, intent, current, retirement)
    reply = yield from WriteLedger(transition=step)
    if not isinstance(reply, Recorded):
        return unrecorded(reply, task.live.token_id)
    return applied(_DONE[task.kind] + kept_beside(intent.others), task.live.token_id)
