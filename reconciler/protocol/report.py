"""What a run was allowed to do, and what it did. Values only."""

from __future__ import annotations

from reconciler.errors import Exit
from reconciler.plan import Change, NotTouched, Plan, row_key
from reconciler.protocol.outcome import Ending, Outcome
from reconciler.values import value


@value
class Approved:
    """A plan that a person agreed to.

    Its digest, the time that its ages were judged by, and its acting rows.
    """

    digest: str
    as_of_ms: int | None
    rows: frozenset[str]


@value
class Row:
    """A change and its end."""

    change: Change
    outcome: Outcome


@value
class Report:
    """What a run did. ``exit_code`` is the process's."""

    run: str
    started_at_ms: int
    ended_at_ms: int
    digest: str
    rows: tuple[Row, ...]
    holds: tuple[Change, ...]
    not_touched: tuple[NotTouched, ...]
    exit_code: Exit
    sentence: str

    def count(self, status: Ending) -> int:
        """How many changes ended so."""
        return sum(1 for row in self.rows if row.outcome.status is status)

    def counts(self) -> dict[Ending, int]:
        """How many changes ended how, in the order of the contract.

        What waits by the plan counts as held as well.
        """
        counts = {status: self.count(status) for status in Ending}
        counts[Ending.HELD] += len(self.holds)
        return counts


def approve(agreed: Plan, *, as_of_ms: int | None = None) -> Approved:
    """The approval of a plan as it was shown."""
    rows = frozenset(row_key(c) for c in agreed.acting)
    return Approved(digest=agreed.digest(), as_of_ms=as_of_ms, rows=rows)
