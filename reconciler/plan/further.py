"""The rows that a label has beside its own: its protection's, and its predecessors'."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from reconciler.model import TokenSpec
from reconciler.plan.beside import beside_former
from reconciler.plan.change import Change, Side
from reconciler.plan.context import PlanContext
from reconciler.plan.facts import Facts, Finding
from reconciler.plan.predecessors import RETIRING, RetiringFacts
from reconciler.plan.reasons import first
from reconciler.plan.tasks import Evidence, RecordProtection, RevokeRetiring
from reconciler.plan.vocabulary import Action, Reason


def protection_row(context: PlanContext, facts: Facts, spec: TokenSpec | None) -> Iterable[Change]:
    """Make the row about another protection than the ledger remembers."""
    entry, wanted = facts.entry, spec.protect if spec is not None else None
    if (
        wanted is None
        or wanted == entry.protect
        or facts.label not in context.observed.ledger.tokens
    ):
        return
    yield Change(
        label=facts.label,
        action=Action.RECORD,
        reason=Reason.PROTECT_ON if wanted else Reason.PROTECT_OFF,
        before=Side(path=entry.path, protect=entry.protect),
        after=Side(path=entry.path, protect=wanted),
        task=RecordProtection(protect=wanted),
    )


def retiring_rows(context: PlanContext, facts: Facts, *, leaving: bool) -> Iterable[Change]:
    """Make the rows of a label's retiring tokens."""
    entry, current = facts.entry, facts.entry.current
    for retiring in entry.retiring:
        live = context.live.get(retiring.token_id)
        successor = context.successor_at(retiring.path or entry.path, facts.label)
        known = RetiringFacts(
            setting=context.setting,
            entry=entry,
            retiring=retiring,
            live=live,
            content=context.observed.contents.get(entry.path),
            successor=successor,
            successor_live=context.live.get(successor.token_id) if successor is not None else None,
            manager=facts.label == context.desired.manager,
            leaving=leaving,
        )
        finding = _found(context, known)
        task = RevokeRetiring(
            entry=entry,
            retiring=retiring,
            evidence=Evidence(
                live=live,
                at_ms=context.observed.now_ms,
                again_ms=None if finding.reason is Reason.COMPROMISED else known.again_ms,
                copies=context.copies_of(retiring.token_id),
                readable=context.lies_at(retiring.path or entry.path, retiring.token_id),
            ),
            after_current=leaving and current is not None and _stays_otherwise(context, known),
            outcome="compromised" if finding.reason is Reason.COMPROMISED else "superseded",
        )
        former = context.observed.contents.get(retiring.path or "")
        lost = beside_former(retiring, entry, former).lost
        yield Change(
            label=facts.label,
            action=finding.action,
            reason=finding.reason,
            before=Side(
                path=retiring.path or entry.path,
                token_id=retiring.token_id,
                scopes=live.scopes if live is not None else (),
            ),
            note=finding.note,
            lost_fields=lost if finding.action is Action.REVOKE else (),
            task=task if finding.action is Action.REVOKE else None,
        )


def _found(context: PlanContext, known: RetiringFacts) -> Finding:
    """Decide about a retiring token, whose secret may lie where a person copied it."""
    finding, token = first(RETIRING, known), known.retiring
    if finding.action is not Action.REVOKE or finding.reason is Reason.COMPROMISED:
        return finding
    copied = context.copy_note(token.token_id, known.entry.path, token.path)
    if copied is None or known.live is None:
        return finding
    return Finding(Action.HOLD, Reason.STILL_USED, copied)


def _stays_otherwise(context: PlanContext, known: RetiringFacts) -> bool:
    """Whether a retiring token would stay if its label's current token did."""
    stays = dataclasses.replace(known, leaving=False)
    return _found(context, stays).action is not Action.REVOKE
