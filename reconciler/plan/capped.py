"""Which successors there is room for: see ``reconciler.state.cap``.

    the row stocks the reserve, and                       then
    ----------------------------------------------------  -----------------------------
    no derive was seen to end another token in the last   it stays
    30 days
    the tokens that live by then are fewer than after     it stays
    that derive
    there would be as many                                hold reserve_capped

    any other row derives, and                            then
    ----------------------------------------------------  -----------------------------
    there would be more than after that derive            it is marked (``may_end``)

The tokens that live by then are those that the list shows, without what this run
revokes, and those that it derives. As many rows stay as there is room for, in the order
of the plan. A reserve that was to go behind its replacement stays as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.plan.change import Change
from reconciler.plan.context import PlanContext
from reconciler.plan.tasks import NewToken, Promote, RevokeReserve
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state import lowest, seen_text


def within_room(changes: Iterable[Change], context: PlanContext) -> list[Change]:
    """Return the rows, in their order, with those held that there is no room for."""
    rows = list(changes)
    observed = context.observed
    cap = lowest(observed.ledger.cap, context.setting.now_ms)
    if cap is None:
        return rows
    others = [c for c in rows if c.action is not Action.STOCK and context.is_to_be_done(c)]
    beside = lives = len(observed.live) + observed.foreign_unnamed
    lives += sum(c.derives for c in others) - len(_going(others, context))
    changed: dict[int, Change] = {}
    for number, row in enumerate(rows):
        if not row.derives or not context.is_to_be_done(row):
            continue
        if row.action is not Action.STOCK:
            beside += 1
            changed[number] = replace(row, may_end=beside > cap.lived)
            continue
        if lives + 1 < cap.lived:
            lives += 1
        else:
            note = f"{row.note}; {seen_text(cap)}"
            changed[number] = replace(
                row, action=Action.HOLD, reason=Reason.RESERVE_CAPPED, note=note, task=None
            )
    waiting = {row.label for row in changed.values() if not row.acts}
    return [_staying(changed.get(n, row), waiting) for n, row in enumerate(rows)]


def _staying(row: Change, waiting: set[str]) -> Change:
    """Return the row of a reserve that is not replaced in this run as a hold."""
    behind = isinstance(row.task, RevokeReserve) and row.task.after_stock
    return replace(row, action=Action.HOLD, task=None) if behind and row.label in waiting else row


def _going(rows: Iterable[Change], context: PlanContext) -> frozenset[str]:
    """Return the live tokens that these rows revoke, or may revoke at once."""
    known = context.observed.ledger.tokens
    ids = {r.token_id for entry in known.values() for r in entry.revoking}
    for row in rows:
        task = row.task
        if row.action is Action.REVOKE and not row.stocks and row.before is not None:
            ids.add(row.before.token_id or "")
        if isinstance(task, (NewToken, Promote)) and task.predecessor is not None:
            if task.compromised:
                ids |= {r.token_id for r in task.entry.retiring}
            if task.compromised or task.spec.overlap_ms == 0:
                ids.add(task.predecessor.token_id)
    return context.listed.intersection(ids)
