"""What of a run may go on side by side, and in what order the rest.

Rules this module keeps:

1. One thing at a time about a label, and about a path.
2. A label's revokes come before its derive.
3. What rests on another change comes after that one, and is not made where that one
   has not come about.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Sequence

from reconciler.plan import (
    Change,
    NewToken,
    Promote,
    RevokeCurrent,
    RevokeReserve,
    RevokeRetiring,
)
from reconciler.protocol import Ending, Outcome, Row, held
from reconciler.state import RESERVE_FOLDER

CURRENT_STAYS = "the label's current token is not gone yet, so this one stays for now"

NOT_REPLACED = "it is replaced first, which has not come about"

_REVOKES = (RevokeCurrent, RevokeRetiring)


def in_lanes(changes: Sequence[Change]) -> tuple[tuple[Change, ...], ...]:
    """Return what may go on side by side: one thing at a time about a label or a path.

    A label's revokes come before its derive: a fence of the derive writes a secret's
    content again, and were it that of a token which is being revoked beside it,
    consumers would be given a revoked token. Labels that pass their paths on to each
    other share a lane. What rests on another change comes after it (``rests_on``).
    """
    lane_of: dict[tuple[str, str], int] = {}
    lanes: dict[int, list[Change]] = {}
    for number, change in enumerate(sorted(changes, key=_turn)):
        joined = sorted({lane_of[key] for key in _touched(change) if key in lane_of})
        lanes[number] = [c for one in joined for c in lanes.pop(one)] + [change]
        for one in lanes[number]:
            lane_of.update(dict.fromkeys(_touched(one), number))
    return tuple(tuple(sorted(lane, key=_turn)) for lane in lanes.values())


def _turn(change: Change) -> int:
    if _follows_current(change):
        return 3
    if isinstance(change.task, _REVOKES) and change.task.after_taker is not None:
        return 2
    if _follows_stock(change):
        return 2
    return int(change.replaces or change.derives)


def _follows_current(change: Change) -> bool:
    return isinstance(change.task, RevokeRetiring) and change.task.after_current


def _follows_stock(change: Change) -> bool:
    return isinstance(change.task, RevokeReserve) and change.task.after_stock


def _touched(change: Change) -> tuple[tuple[str, str], ...]:
    """Return the label and the paths of a change."""
    sides = (side.path for side in (change.before, change.after) if side is not None)
    paths = (path for path in sides if path != RESERVE_FOLDER)  # each has a document there
    return ("label", change.label), *(("path", path) for path in paths)


def derives(lane: Sequence[Change]) -> bool:
    """Whether a lane derives, wherever in it: what comes behind may be a revocation."""
    return any(change.derives for change in lane)


def with_manager(changes: Sequence[Change], manager: str) -> tuple[Change, ...]:
    """Return the manager's own new token, which ends a run, and what comes behind."""
    last = [c for c in changes if c.replaces and c.label == manager]
    behind = [c for c in changes if isinstance(c.task, _REVOKES) and c.task.after_taker == manager]
    gone = {c.label for c in behind if isinstance(c.task, RevokeCurrent)}
    followers = [c for c in changes if c.label in gone and _follows_current(c) and c not in behind]
    return (*last, *sorted((*behind, *followers), key=_turn))


def kept_back(change: Change, rows: Iterable[Row]) -> Outcome | None:
    """Return the end of a change that is not made: what it rests on has not come about.

    It waits for another list where that does.
    """
    found = ((row, rests_on(change, row)) for row in rows)
    row, why = next(((row, why) for row, why in found if why is not None), (None, None))
    if row is None or why is None:
        return None
    return dataclasses.replace(held(why), looks_again=row.outcome.looks_again)


def rests_on(change: Change, row: Row) -> str | None:
    """Return why a change is not made: what it rests on has not come about.

    A predecessor may go because its label's current token goes; a token may go once
    another label has taken over the path of its secret.
    """
    if row.outcome.status is Ending.APPLIED:
        return None
    task, before = change.task, row.change
    own_current = isinstance(before.task, RevokeCurrent) and before.label == change.label
    if own_current and _follows_current(change):
        return CURRENT_STAYS
    if isinstance(task, _REVOKES) and before.replaces and before.label == task.after_taker:
        return _not_taken_over(before.label)
    if change.stocks and change.label == before.label and before.stocks:
        return NOT_REPLACED if isinstance(task, RevokeReserve) else row.outcome.sentence
    return None


def without_ground(changes: Sequence[Change], undone: Collection[Change]) -> dict[Change, Outcome]:
    """Return the ends of changes that rest on one which is not made in this run at all.

    ``undone`` are those of ``changes`` that are not made. What rests on a change that
    rests on another one is among those that are returned.
    """
    found: dict[Change, Outcome] = {}
    made = [change for change in changes if change not in undone]
    while True:
        gone = {c.label for c in made if isinstance(c.task, RevokeCurrent)}
        replaced = {c.label for c in made if c.replaces}
        stocked = {c.label for c in made if c.derives and c.stocks}
        more: dict[Change, Outcome] = {}
        for change in made:
            task = change.task
            taker = task.after_taker if isinstance(task, _REVOKES) else None
            if taker is not None and taker not in replaced:
                more[change] = held(_not_taken_over(taker))
            elif _follows_current(change) and change.label not in gone:
                more[change] = held(CURRENT_STAYS)
            elif _follows_stock(change) and change.label not in stocked:
                more[change] = held(NOT_REPLACED)
        if not more:
            return found
        found |= more
        made = [change for change in made if change not in more]


def _not_taken_over(taker: str) -> str:
    return f"{taker} takes its path over first, which has not come about"


def passed_on_at_once(rows: Sequence[Row]) -> bool:
    """Return whether tokens without an overlap are to go now, which a new plan has.

    They waited until another label had taken the path of their secret over. Where just
    approved rows are made, they go in the next run.
    """
    tasks = [row.change.task for row in rows]
    passed_on = any(
        isinstance(task, (NewToken, Promote)) and task.passes_on and task.spec.overlap_ms == 0
        for task in tasks
    )
    return passed_on and all(row.outcome.status is Ending.APPLIED for row in rows)
