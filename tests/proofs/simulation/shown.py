"""What an exchange shows of uses: the laws that the documentation allows.

law             a use at time u is shown
--------------  -------------------------------------------------------------------
exact           at once, as u
late MS         as u, from u + MS on
coarse MS       at once, as u rounded down to a multiple of MS
debounced MS    as u, if the shown one is older than MS; else not at all
never           not at all
"""

from __future__ import annotations

import dataclasses

from reconciler.model import DAY_MS, HOUR_MS, MINUTE_MS

EXACT, LATE, COARSE, DEBOUNCED, NEVER = "exact", "late", "coarse", "debounced", "never"


@dataclasses.dataclass(frozen=True, slots=True)
class Law:
    """One of them, with its length in milliseconds."""

    kind: str = EXACT
    ms: int = 0

    @property
    def hidden_ms(self) -> int:
        """No list can show a use that is younger."""
        return self.ms if self.kind == LATE else 0

    def written(self, shown_ms: int | None, used_ms: int) -> int | None:
        """What a use makes of the use that is shown so far."""
        if self.kind == NEVER:
            return None
        if self.kind == COARSE:
            return used_ms - used_ms % self.ms
        if self.kind == DEBOUNCED and shown_ms is not None and used_ms - shown_ms < self.ms:
            return shown_ms
        return used_ms


AT_ONCE = Law()

LAWS = (
    Law(LATE, MINUTE_MS),
    Law(LATE, 2 * HOUR_MS),
    Law(COARSE, 1000),
    Law(COARSE, MINUTE_MS),
    Law(COARSE, DAY_MS),
    Law(DEBOUNCED, 5 * MINUTE_MS),
    Law(DEBOUNCED, HOUR_MS),
    Law(NEVER),
)
"""Those that random walks draw from, beside the exact one."""
