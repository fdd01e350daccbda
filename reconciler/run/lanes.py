"""What of a run may go on side by side, and in what order the rest.

Rules this module keeps:

1. One thing at a time about a label.
2. A label's revokes come before its derive.
3. What goes because the label's current token goes comes after that one, and stays
   where that one does.
"""

from __future__ import annotations

from collections.abc import Sequence

from reconciler.plan import Change, RevokeCurrent, RevokeRetiring
from reconciler.protocol import Ending, Row


def in_lanes(changes: Sequence[Change]) -> tuple[tuple[Change, ...], ...]:
    """Return what may go on side by side: one thing at a time about a label.

    A label's revokes come before its derive. A fence of the derive writes a secret's
    content again; were it that of a token which is being revoked beside it, consumers
    would be given a revoked token. What goes because the label's current token goes
    comes after that one.
    """
    lanes: dict[str, list[Change]] = {}
    for change in sorted(changes, key=lambda c: (c.derives, follows_current(c))):
        lanes.setdefault(change.label, []).append(change)
    return tuple(tuple(lane) for lane in lanes.values())


def follows_current(change: Change) -> bool:
    """Whether a change rests on the end of its label's current token."""
    return isinstance(change.task, RevokeRetiring) and change.task.after_current


def current_stays(row: Row) -> bool:
    """Whether a current token that was to go is still there."""
    return isinstance(row.change.task, RevokeCurrent) and row.outcome.status is not Ending.APPLIED
