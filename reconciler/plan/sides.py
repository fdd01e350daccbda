"""Both sides of a label's own row, and its task: all that applying it needs."""

from __future__ import annotations

import dataclasses

from reconciler.plan.change import Side
from reconciler.plan.context import PlanContext
from reconciler.plan.facts import Facts, Finding, Listed, Unwanted, Wanted
from reconciler.plan.leaving import looks_again_ms
from reconciler.plan.setting import DEFAULT_OVERLAP_MS
from reconciler.plan.tasks import (
    Evidence,
    NewToken,
    Promote,
    RecordInPlace,
    RecordReturned,
    RecordVersion,
    RecoverIntent,
    RemovePlaceholder,
    RestoreSecret,
    RetireCurrent,
    RevokeCurrent,
    RewriteSecret,
    Task,
)
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state import Entry, Intent, interrupted, told_path


def sides_of(
    context: PlanContext, facts: Facts, finding: Finding
) -> tuple[Side | None, Side | None, Task | None]:
    """Return both sides of a label's own row, and its task."""
    if finding.action is Action.KEEP:
        return None, None, None
    entry, path, latest = facts.entry, facts.path, facts.meta.version_id
    before = _current_side(context, entry)
    match finding.action, facts:
        case Action.RECOVER, Facts(entry=Entry(intent=Intent() as intent)):
            return _intent_side(context, facts.label, intent), None, _recovery(context, facts.label)
        case Action.RECOVER, _:
            return Side(path=path), None, RemovePlaceholder(path=path)
        case ((Action.DERIVE | Action.ROTATE), Wanted()):
            return before, _wanted_side(context, facts), _new_token(context, facts)
        case Action.PROMOTE, Wanted():
            promoted = _promotion(context, facts)
            wanted = _wanted_side(context, facts)
            return before, dataclasses.replace(wanted, token_id=promoted.kept.token_id), promoted
        case Action.RECORD, Wanted():
            return before, *_recorded(context, facts, before, finding)
        case Action.RESTORE, Listed(content=found):
            source = found.holder_version if found is not None else None
            restored = RestoreSecret(
                path=path,
                source=source or latest.number,
                seen=latest,
                entry=entry,
                live=facts.live,
                further=facts.spec.fields,
            )
            return before, _written_side(facts, at_ms=latest.created_at_ms), restored
        case Action.REWRITE, Listed():
            again = RewriteSecret(
                path=path, seen=latest, entry=entry, live=facts.live, further=facts.spec.fields
            )
            return before, _written_side(facts), again
        case ((Action.RETIRE | Action.REVOKE), Unwanted()):
            return before, *_end(context, facts, before, finding)
        case _:
            return before, None, None


def _recorded(
    context: PlanContext, facts: Wanted, before: Side | None, finding: Finding
) -> tuple[Side | None, Task]:
    """Return what is after the ledger was put right, and what does so."""
    latest = facts.meta.version_id
    if finding.reason is Reason.RETURNED:
        return before, RecordReturned()
    if finding.reason is Reason.RESERVE_USED:
        placed = _in_place(context, facts)
        return Side(path=facts.path, token_id=placed.kept.token_id), placed
    moved = RecordVersion(path=facts.path, entry=facts.entry, version=latest)
    return Side(path=facts.path, version=latest.number), moved


def _end(
    context: PlanContext, facts: Unwanted, before: Side | None, finding: Finding
) -> tuple[Side | None, Task]:
    """Return what is after the end of a label's token, or the beginning of that end."""
    if finding.action is Action.RETIRE:
        return before, RetireCurrent()
    evidence = Evidence(
        live=facts.live,
        at_ms=context.observed.now_ms,
        again_ms=looks_again_ms(facts),
        copies=context.copies_of(facts.current.token_id),
        readable=context.lies_at(facts.entry.path, facts.current.token_id),
    )
    return None, RevokeCurrent(entry=facts.entry, evidence=evidence)


def _written_side(facts: Listed, *, at_ms: int | None = None) -> Side:
    """Return the secret as it is to be written again, over the seen version."""
    return Side(
        path=facts.path,
        version=facts.meta.latest,
        version_created_at_ms=at_ms,
        fields=facts.spec.fields,
    )


def _current_side(context: PlanContext, entry: Entry) -> Side | None:
    current = entry.current
    if current is None:
        return None
    live = context.live.get(current.token_id)
    return Side(
        path=entry.path,
        token_id=current.token_id,
        scopes=live.scopes if live is not None else (),
        version=current.version,
        fields=entry.fields,
    )


def _intent_side(context: PlanContext, label: str, intent: Intent) -> Side:
    observed = context.observed
    found = interrupted(
        label,
        intent,
        observed.ledger,
        observed.live,
        now_ms=observed.now_ms,
        doubt_ms=observed.doubt_ms,
    )
    path = told_path(intent.path)
    return Side(path=path, token_id=found, scopes=intent.scopes, version=intent.cas)


def _wanted_side(context: PlanContext, facts: Wanted) -> Side:
    """Return the token as it is to be.

    Protection is part of it only while the ledger does not know the label: later it
    has a row of its own.
    """
    spec, known = facts.spec, facts.label in context.observed.ledger.tokens
    return Side(
        path=spec.path,
        scopes=spec.scopes,
        version=facts.target.latest,
        version_created_at_ms=facts.target.created_at_ms,
        protect=None if known else spec.protect,
        overlap_ms=spec.overlap_ms,
        fields=spec.fields,
    )


def _new_token(context: PlanContext, facts: Wanted) -> NewToken:
    policy, current = context.setting.policy, facts.entry.current
    return NewToken(
        spec=facts.spec,
        seen=facts.target.version_id,
        entry=facts.entry,
        compromised=policy.compromised and facts.label in policy.requested,
        listed=context.listed,
        believed_gone=current is not None and current.token_id not in context.listed,
        is_manager=facts.label == context.desired.manager,
        uses_proven=context.setting.doubt_within(facts.spec.overlap_ms) is not None,
        passes_on=facts.passes_on,
    )


def _promotion(context: PlanContext, facts: Wanted) -> Promote:
    new = _new_token(context, facts)
    return Promote(
        spec=new.spec,
        entry=new.entry,
        seen=new.seen,
        kept=facts.ready[0],
        compromised=new.compromised,
        believed_gone=new.believed_gone,
        is_manager=new.is_manager,
        uses_proven=new.uses_proven,
        passes_on=new.passes_on,
    )


def _in_place(context: PlanContext, facts: Wanted) -> RecordInPlace:
    found = facts.content.token_id if facts.content is not None else None
    return RecordInPlace(
        path=facts.path,
        kept=next(kept for kept in facts.entry.reserve if kept.token_id == found),
        entry=facts.entry,
        seen=facts.meta.version_id,
        overlap_ms=facts.spec.overlap_ms,
        is_manager=facts.label == context.desired.manager,
    )


def _recovery(context: PlanContext, label: str) -> RecoverIntent:
    spec = context.specs.get(label)
    return RecoverIntent(
        ledger=context.observed.ledger,
        overlap_ms=spec.overlap_ms if spec is not None else DEFAULT_OVERLAP_MS,
        is_manager=label == context.desired.manager,
        uses_proven=context.setting.doubt_within(0) is not None,
        doubt_ms=context.observed.doubt_ms,
    )
