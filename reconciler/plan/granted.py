"""What becomes of a row that would derive scopes which the exchange granted otherwise.

The rules are those of ``reasons``; what is remembered, and for how long, is in
``reconciler.state.granted``.
"""

from __future__ import annotations

from reconciler.plan.facts import Facts, Finding, Wanted
from reconciler.plan.reasons import finding_of
from reconciler.plan.stocked import with_reserve
from reconciler.plan.vocabulary import Action, Reason


def deriving(facts: Facts) -> Finding:
    """Return what is to be done about a label, and why; a derive in vain is held.

    What a reserve is ready for needs no derive.
    """
    finding = with_reserve(facts, finding_of(facts))
    if finding.action not in {Action.DERIVE, Action.ROTATE} or not isinstance(facts, Wanted):
        return finding
    row = facts.setting.granted.get(frozenset(facts.spec.scopes))
    if row is None or facts.setting.policy.retry_scopes:
        return finding
    note = f"asked {' '.join(row.asked)}, granted {' '.join(row.granted) or 'none'}"
    return Finding(Action.HOLD, Reason.SCOPES_GRANTED, note)
