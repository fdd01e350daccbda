"""A reserve goes, or is recorded where a person put it.

A token of the reserve goes as any other does (``revoke``), and what lies at a path of
its label is never revoked:

    step                              then
    --------------------------------  ------------------------------------------------
    does the list show it otherwise   held
    called than the ledger?
    does a path hold it, to which it  held
    may have been written?
    does the list lack it?            it is asked itself, as in ``revoke``
    ledger: revoking                  its document is deleted, then DELETE
"""

from __future__ import annotations

from reconciler.model import USE_MARGIN_MS
from reconciler.plan import RecordInPlace, RevokeReserve
from reconciler.protocol.commit import changed_since
from reconciler.protocol.effects import (
    NewId,
    Now,
    ReadSecret,
    Recorded,
    Refused,
    Step,
    Unclear,
    UseSigner,
    WriteLedger,
    time_of_record,
)
from reconciler.protocol.outcome import Outcome, Run, applied, failed, held, not_tried, unrecorded
from reconciler.protocol.promote import current_of_reserve
from reconciler.protocol.prove import Works, prove_stored
from reconciler.protocol.revoke import finish_revoking, is_called, too_old, why_not_gone
from reconciler.state import (
    TOKEN_ID,
    Entry,
    Intent,
    IntentKind,
    Retirement,
    credentials_of,
    give_up_reserve,
    note_wrong_copy,
    record_in_place,
)


def revoke_reserve(label: str, task: RevokeReserve) -> Step[Outcome]:
    """Revoke a token of the reserve; what lies at a path of its label stays."""
    kept, live = task.kept, task.evidence.live
    late = yield from too_old(task.evidence)
    if late is not None:
        return late
    if live is not None and not is_called(live, kept.live_label):
        return held(
            f"the exchange calls {kept.token_id} {live.label!r}, "
            f"the ledger {kept.live_label!r}: not revoked"
        )
    for path in sorted({task.path, *kept.written}):
        content = yield from ReadSecret(path=path)
        if isinstance(content, (Refused, Unclear)):
            return failed(content.sentence, kept.token_id)
        if content.field(TOKEN_ID) == kept.token_id:
            if task.outcome == "compromised":  # an emergency does not end well with it alive
                return failed(f"not revoked: {path} holds it, delete it there", kept.token_id)
            return held(f"{path} holds it: the next run records that", kept.token_id)
    if live is None:
        entry = Entry(path=kept.path, reserve=(kept,))
        unproven = yield from why_not_gone(label, entry, kept.token_id)
        if unproven is not None:
            return unproven
    reply = yield from WriteLedger(
        transition=give_up_reserve(label, kept.token_id, reason=task.outcome)
    )
    if not isinstance(reply, Recorded):
        return unrecorded(reply, kept.token_id)
    entry = reply.ledger.tokens[label]
    row = next(r for r in entry.revoking if r.token_id == kept.token_id)
    return (yield from finish_revoking(label, entry.path, row))


def _note_wrong(label: str, task: RecordInPlace) -> Step[Outcome]:
    """Remember that a copy is a wrong one: the next plan writes over it."""
    token_id, version = task.kept.token_id, task.seen.number
    reply = yield from WriteLedger(transition=note_wrong_copy(label, token_id, version=version))
    if not isinstance(reply, Recorded):
        return unrecorded(reply, token_id)
    return applied(f"what {task.path} holds of it does not sign, so it is written over", token_id)


def record_placed(run: Run, label: str, task: RecordInPlace) -> Step[Outcome]:
    """Record a reserve that a person wrote to its label's path, once it signed."""
    content = yield from ReadSecret(path=task.path)
    if isinstance(content, (Refused, Unclear)):
        return failed(content.sentence)
    if not content.version_id.is_same(task.seen):
        return not_tried(changed_since(task.path, task.seen, content.version_id))
    credentials = credentials_of(content)
    if credentials is None or credentials.token_id != task.kept.token_id:
        return held(f"{task.path} does not hold its secret", task.kept.token_id)
    proof = yield from prove_stored(label, credentials)
    if isinstance(proof, Outcome):
        return proof
    if not isinstance(proof, Works):
        return (yield from _note_wrong(label, task))
    operation_id, now_ms = (yield from NewId()), (yield from time_of_record())
    intent = Intent(
        kind=IntentKind.PROMOTE,
        operation_id=operation_id,
        run=run.run,
        since_ms=now_ms,
        before=(),
        cas=task.seen.number,
        path=task.path,
        scopes=task.kept.scopes,
        token_id=task.kept.token_id,
    )
    verified_at_ms = (yield from Now()) + USE_MARGIN_MS
    current = current_of_reserve(
        task.kept, content.version_id, verified_at_ms=verified_at_ms, fresh=False
    )
    retirement = Retirement(at_ms=now_ms, overlap_ms=task.overlap_ms, reason="rotated")
    reply = yield from WriteLedger(transition=record_in_place(label, intent, current, retirement))
    if not isinstance(reply, Recorded):
        return unrecorded(reply, task.kept.token_id)
    if task.is_manager:
        yield from UseSigner(credentials=credentials)
    return applied("it is current from now on", task.kept.token_id)
