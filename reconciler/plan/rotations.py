"""Rotations that a person asked for, and that are not done.

Nobody may overlook them.
"""

from __future__ import annotations

from reconciler.model import Manifest
from reconciler.plan.labels import meant
from reconciler.plan.needs import Need, NeedKind
from reconciler.state import Observed, Rotation, is_over, lease_held_by, left_of

STILL_LIVE = (
    "said to be compromised, and not rotated yet: "
    "the same `reconciler rotate --compromised` goes on where it stopped"
)


def rotation_need(desired: Manifest, observed: Observed) -> tuple[Need, ...]:
    """Return which labels' tokens live on although a person called them compromised."""
    rotations = unfinished_rotations(desired, observed)
    left = sorted({x for rotation, labels in rotations if rotation.compromised for x in labels})
    if not left:
        return ()
    return (Need(kind=NeedKind.DECISION, labels=tuple(left), sentence=STILL_LIVE),)


def unfinished_rotations(
    desired: Manifest, observed: Observed, run: str | None = None
) -> tuple[tuple[Rotation, tuple[str, ...]], ...]:
    """Return the rotations that nobody works on, and the labels of each that are left.

    ``run`` is the asking run's id, where one asks: its own lease is no work on them.
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
            found.append((rotation, tuple(sorted(left))))
    return tuple(found)
