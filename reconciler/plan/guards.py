"""Guards: pure checks of a whole plan, each with one flag that lifts it.

There is no flag that lifts them all.

Rules this module keeps:

1. Absolute numbers, not percentages: fleets are small, and a percentage switches itself
   off just there.
2. A guard looks at the whole fleet, whatever ``--target`` says.
3. A guard stops the apply before its first write; a plan shows it.
"""

from __future__ import annotations

from collections.abc import Callable

from reconciler.model import Manifest
from reconciler.plan.planner import Plan, Policy
from reconciler.plan.reasons import Action, Reason

Guard = Callable[[Manifest, Plan, Policy], str | None]


def too_many_revocations(_: Manifest, fleet: Plan, policy: Policy) -> str | None:
    """Tokens that would be revoked because their lines are gone."""
    leaving = [
        c.label
        for c in fleet.changes
        if c.action is Action.REVOKE and c.reason is Reason.NOT_DESIRED
    ]
    if len(leaving) <= policy.max_revocations:
        return None
    return (
        f"{len(leaving)} tokens would be revoked because they left the manifest, more than --max-revocations "
        f"{policy.max_revocations}: raise it if that is meant"
    )


def nothing_desired(desired: Manifest, _: Plan, policy: Policy) -> str | None:
    """An empty list is a mistake more often than a wish."""
    if desired.tokens or policy.allow_empty:
        return None
    return "the manifest's list of tokens is empty: --allow-empty if that is meant"


def manager_missing(desired: Manifest, _: Plan, policy: Policy) -> str | None:
    """Without the manager nothing can be listed or revoked any more."""
    if policy.allow_missing_manager or any(
        spec.label == desired.manager for spec in desired.tokens
    ):
        return None
    return f"the manager {desired.manager} is not among the tokens: --allow-missing-manager if that is meant"


GUARDS: tuple[Guard, ...] = (too_many_revocations, nothing_desired, manager_missing)


def violations(desired: Manifest, fleet: Plan, policy: Policy) -> tuple[str, ...]:
    """What the guards say of the plan of the whole fleet (made without a selection), in order."""
    return tuple(said for guard in GUARDS if (said := guard(desired, fleet, policy)) is not None)
