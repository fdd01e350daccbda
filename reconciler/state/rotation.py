"""A rotation that a person asked for goes on where it stopped.

``rotate --all`` over a whole fleet takes minutes. It may be killed, refused, run out of
its identity token, or be told to come back later. The ledger remembers what was asked
for, and since when. Which labels are done is not remembered, but seen:

    the label's current token                      then the label is
    ---------------------------------------------  ----------------------------------
    is newer than all that lived when the          done
    rotation began
    was in the label's reserve then                done
    is neither, or there is none                   left

    the ledger remembers of what a command         then the command
    asks for
    ---------------------------------------------  ----------------------------------
    nothing                                        rotates all labels, and is
                                                   remembered with its first write
    that it began within six hours; labels are     rotates those that are left
    left
    the same, and none is left: its run died       rotates nothing, and forgets it
    before it gave the lease back
    the same, and none is left: other commands     rotates all labels: begins anew
    have done the rest since
    that it began earlier                          rotates all labels: begins anew

A run that has rotated all its labels forgets the rotation, so the next one rotates all
of them again. Other labels or globs, or ``--compromised`` where it was not given
before, are another rotation.

Rules that this module keeps:

1. A token that was adopted, restored, rolled back to, or found by a recovery counts by
   when it was made. None of these makes it a new one.
2. The times of tokens are compared with each other only: all are by the exchange's own
   clock, and no ``Date`` has a part in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from reconciler.model import HOUR_MS
from reconciler.state.entries import transition
from reconciler.state.ledger import Current, Ledger, Rotation

GOES_ON_MS = 6 * HOUR_MS
"""For so long the same command goes on with a rotation.

Later it may be about something else that happened.
"""

ROTATIONS_KEPT = 20


def unfinished(
    ledger: Ledger, asked: tuple[tuple[str, ...], bool], labels: frozenset[str], now_ms: int
) -> Rotation | None:
    """Return the rotation that a command goes on with, or None.

    ``asked`` are its targets, and whether they are compromised; ``labels`` is what the
    targets mean.
    """
    begun = next((r for r in ledger.rotations if asked_of(r) == asked), None)
    if begun is None or is_over(begun, now_ms):
        return None
    died = ledger.holder is not None and ledger.holder.run == begun.run
    return begun if died or left_of(ledger, begun, labels) else None


def asked_of(rotation: Rotation) -> tuple[tuple[str, ...], bool]:
    """Return what tells a rotation from others."""
    return rotation.targets, rotation.compromised


def is_over(rotation: Rotation, now_ms: int) -> bool:
    """Return whether nobody goes on with it any more."""
    return now_ms - rotation.since_ms >= GOES_ON_MS


def left_of(ledger: Ledger, rotation: Rotation, labels: Iterable[str]) -> frozenset[str]:
    """Return which of the labels have no token that the rotation may have made."""
    left = set()
    for label in labels:
        entry = ledger.tokens.get(label)
        current = entry.current if entry is not None else None
        if current is None or not _is_of(rotation, current):
            left.add(label)
    return frozenset(left)


def _is_of(rotation: Rotation, current: Current) -> bool:
    """Return whether a rotation, or what came after it, made a token current."""
    newer = current.created_at_ms > rotation.newest_created_at_ms
    return newer or current.token_id in rotation.reserves


@transition
def begin_rotation(ledger: Ledger, begun: Rotation) -> Ledger:
    """Remember a rotation; those that nobody goes on with any more are forgotten."""
    others = (r for r in ledger.rotations if asked_of(r) != asked_of(begun))
    kept = [r for r in others if not is_over(r, begun.since_ms)]
    return replace(ledger, rotations=(*kept, begun)[-ROTATIONS_KEPT:])


@transition
def carry_rotation(ledger: Ledger, begun: Rotation, run: str) -> Ledger:
    """Remember which run goes on with a rotation, if that is not over."""
    carried = (
        replace(r, run=run) if asked_of(r) == asked_of(begun) else r for r in ledger.rotations
    )
    return replace(ledger, rotations=tuple(carried))


@transition
def end_rotation(ledger: Ledger, begun: Rotation) -> Ledger:
    """Forget a rotation: it is over."""
    rows = tuple(r for r in ledger.rotations if asked_of(r) != asked_of(begun))
    return replace(ledger, rotations=rows)
