"""A saved plan that is not, or not any more, what would be done now."""

from __future__ import annotations

from reconciler.errors import PlanStaleError
from reconciler.model import DAY_MS, SECOND_MS, iso
from reconciler.plan import Plan
from reconciler.protocol import Approved

AS_OF_MAX_AGE_MS = 7 * DAY_MS
AS_OF_GRAIN_MS = 2 * SECOND_MS


class StalePlanError(PlanStaleError):
    """The approved plan is not what would be done now; both are here to be compared."""

    def __init__(self, approved: Approved, now: Plan) -> None:
        super().__init__(
            "the approved plan is stale: what would be done now differs; "
            "plan again and have it approved"
        )
        self.approved = approved
        self.now = now


def refuse_as_of(as_of_ms: int, now_ms: int) -> None:
    """Raise PlanStaleError unless the saved plan is of the last seven days."""
    if as_of_ms > now_ms + AS_OF_GRAIN_MS:
        raise PlanStaleError(f"the saved plan is from the future ({iso(as_of_ms)}): plan again")
    if now_ms - as_of_ms > AS_OF_MAX_AGE_MS:
        raise PlanStaleError(
            f"the saved plan is older than seven days ({iso(as_of_ms)}): plan again"
        )
