"""Whether a plan rests on how promptly the exchange shows uses.

Only then is a list more worth its call.
"""

from __future__ import annotations

from reconciler.model import Manifest
from reconciler.plan.change import Change
from reconciler.plan.guards import Policy
from reconciler.plan.planner import plan
from reconciler.plan.tasks import RecoverIntent
from reconciler.plan.vocabulary import Reason
from reconciler.state import Observed

USES_DECIDE = frozenset(
    {Reason.UNPROVEN, Reason.IN_USE, Reason.STILL_USED, Reason.SUCCESSOR_UNUSED}
)
"""Holds that may end with better knowledge of the uses.

Before a derive is undone, its token's use is looked at, too.
"""


def rests_on_uses(
    desired: Manifest, observed: Observed, policy: Policy, *, run: str | None = None
) -> bool:
    """Return whether a decision depends on how promptly the exchange shows uses."""
    intents = [e.intent for e in observed.ledger.tokens.values() if e.intent is not None]
    if any(i.kind.derives and i.token_id is None and i.listed for i in intents):
        return True  # whether an unknown token is the intent's
    labels = {spec.label for spec in desired.tokens}
    in_question = any(
        entry.retiring or entry.reserve or entry.intent is not None or label not in labels
        for label, entry in observed.ledger.tokens.items()
    )
    at_once = any(s.overlap_ms == 0 and s.label != desired.manager for s in desired.tokens)
    if not in_question and not at_once:
        return False
    found = plan(desired, observed, now_ms=observed.now_ms, policy=policy, run=run)
    return any(
        c.reason in USES_DECIDE
        or isinstance(c.task, RecoverIntent)
        or (c.replaces and c.before is not None and _has_no_overlap(c))
        for c in found.changes
    )


def _has_no_overlap(change: Change) -> bool:
    return change.after is not None and change.after.overlap_ms == 0
