"""What of a run may go on side by side, and in what order the rest.

Rules this module keeps:

1. One thing at a time about a label, and about a path.
2. A label's revokes come before its derive.
3. What rests on another change comes after that one, and is not made where that one
   has not come about.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Collection, Iterable, Iterator, Sequence

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


class _Event(enum.Enum):
    """What comes about for a label by one change, and what another one waits for."""

    REPLACED = enum.auto()
    CURRENT_GOES = enum.auto()
    STOCKED = enum.auto()


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
    """Return why a change is not made: what it rests on has not come about."""
    if row.outcome.status is Ending.APPLIED:
        return None
    missing = _brings(row.change)
    if change.derives and change.stocks and (_Event.STOCKED, change.label) in missing:
        return row.outcome.sentence  # the label's next successor would end the same way
    return next((why for need, why in _needs(change) if need in missing), None)


def without_ground(changes: Sequence[Change], undone: Collection[Change]) -> dict[Change, Outcome]:
    """Return the ends of changes that rest on one which is not made in this run at all.

    ``undone`` are those of ``changes`` that are not made. What rests on a change that
    rests on another one is among those that are returned.
    """
    found: dict[Change, Outcome] = {}
    made = [change for change in changes if change not in undone]
    while True:
        brought = {event for change in made for event in _brings(change)}
        more: dict[Change, Outcome] = {}
        for change in made:
            for need, why in _needs(change):
                if need not in brought:
                    more.setdefault(change, held(why))
        if not more:
            return found
        found |= more
        made = [change for change in made if change not in more]


def _brings(change: Change) -> frozenset[tuple[_Event, str]]:
    """Return what comes about by a change, each with its label."""
    brings = {
        _Event.REPLACED: change.replaces,
        _Event.CURRENT_GOES: isinstance(change.task, RevokeCurrent),
        _Event.STOCKED: change.derives and change.stocks,
    }
    return frozenset((event, change.label) for event, done in brings.items() if done)


def _needs(change: Change) -> Iterator[tuple[tuple[_Event, str], str]]:
    """Yield what a change rests on, and why it is not made without that.

    A token may go once another label has taken over the path of its secret; a
    predecessor because its label's current token goes; a reserve once it is replaced.
    """
    task = change.task
    if isinstance(task, _REVOKES) and task.after_taker is not None:
        yield (_Event.REPLACED, task.after_taker), _not_taken_over(task.after_taker)
    if _follows_current(change):
        yield (_Event.CURRENT_GOES, change.label), CURRENT_STAYS
    if _follows_stock(change):
        yield (_Event.STOCKED, change.label), NOT_REPLACED


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
