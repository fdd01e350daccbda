"""Rotations that a person asked for, and that are not done.

Nobody may overlook them.
"""

from __future__ import annotations

from reconciler.model import Manifest
from reconciler.plan.labels import meant
from reconciler.state import Observed, Rotation, is_over, lease_held_by, left_of


def unfinished_rotations(
    desired: Manifest, observed: Observed, run: str
) -> tuple[tuple[Rotation, int], ...]:
    """Return the rotations that nobody works on, and how many labels of each are left.

    ``run`` is the asking run's id: its own lease is no work on them.
    """
    ledger, now_ms = observed.ledger, observed.now_ms
    working = lease_held_by(ledger, now_ms, not_run=run)
    labels = frozenset(spec.label for spec in desired.tokens)
    found = []
    for rotation in ledger.rotations:
        at_work = working is not None and working.run == rotation.run
        wanted = frozenset(x for word in rotation.targets for x in meant(word, labels))
        left = left_of(ledger, rotation, wanted)
        if left and not at_work and not is_over(rotation, now_ms):
            found.append((rotation, len(left)))
    return tuple(found)
