"""What becomes of a row that would derive: it may have to wait, or be in vain.

It waits where ``pauses`` says so. It is in vain where the exchange granted other scopes
than those: what is remembered of that, and for how long, is in
``reconciler.state.granted``. The rules are those of ``reasons``.
"""

from __future__ import annotations

from reconciler.plan.facts import Facts, Finding, Wanted
from reconciler.plan.pauses import paused
from reconciler.plan.reasons import finding_of
from reconciler.plan.stocked import with_reserve
from reconciler.plan.vocabulary import Action, Reason


def deriving(facts: Facts) -> Finding:
    """Return what is to be done about a label, and why; what has to wait is held.

    What a reserve is ready for needs no derive.
    """
    finding = with_reserve(facts, paused(facts, finding_of(facts)))
    if finding.action not in {Action.DERIVE, Action.ROTATE} or not isinstance(facts, Wanted):
        return finding
    row = facts.setting.granted.get(frozenset(facts.spec.scopes))
    if row is None or facts.setting.policy.retry_scopes:
        return finding
    note = f"asked {' '.join(row.asked)}, granted {' '.join(row.granted) or 'none'}"
    return Finding(Action.HOLD, Reason.SCOPES_GRANTED, note)
