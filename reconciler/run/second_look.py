"""The second look at tokens whose secret was deleted in this run.

What was done before it is in ``protocol.emptying``.

    the list of later than    then
    the deletion
    ------------------------  --------------------------------------------------------
    shows no use since        the row is made again with that list as its evidence
    the first look
    shows one                 held: the plan of a later run judges it anew
    lacks the token, or is    not tried: the next run looks again
    not answered
    can't be waited for       held, until a run after that time

One list is enough for all rows of a round. What rests on such a row comes after it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from reconciler.model import iso
from reconciler.plan import LOOK_AGAIN_MOST_MS, Change, Evidence, RevokeCurrent, RevokeRetiring
from reconciler.protocol import (
    Listing,
    ListTokens,
    Now,
    Outcome,
    ReadDesk,
    Refused,
    Row,
    Sleep,
    Step,
    Unclear,
    held,
    not_tried,
)
from reconciler.run.effects import Ended, ReadHalt
from reconciler.run.lanes import kept_back
from reconciler.run.session import LISTS_APART_MS
from reconciler.state import Entry, Ledger, emptied_of

WAITS_MOST = 60
"""A clock that stands still ends the wait after so many pauses."""

ROUNDS = 2
"""A predecessor's secret may go after that of its label's current token."""

Make = Callable[[Sequence[Change]], Step[tuple[Row, ...]]]


def once_more(rows: Sequence[Row], make: Make) -> Step[tuple[Row, ...]]:
    """Return the rows as they end.

    ``make`` makes changes once more, and tells how they end.
    """
    found = tuple(rows)
    for _ in range(ROUNDS):
        waiting = [row for row in found if row.outcome.looks_again]
        if not waiting:
            return found
        again = yield from _judged(waiting, make)
        found = tuple(again.get(row.change, row) for row in found)
    for row in found:
        if row.outcome.looks_again:
            yield from Ended(row=row)
    return found


def _judged(waiting: Sequence[Row], make: Make) -> Step[dict[Change, Row]]:
    """Return the rows that waited for a list, as they end by the next one."""
    ledger = (yield from ReadDesk()).ledger
    yield from _wait(ledger, waiting)
    now_ms = yield from Now()
    soon = [row for row in waiting if _due_ms(ledger, row.change) <= now_ms]
    found = (yield from ListTokens()) if soon else None
    done: dict[Change, Row] = {}
    for row in waiting:
        end: Change | Outcome = kept_back(row.change, done.values()) or row.outcome
        if end is row.outcome and row in soon and found is not None:
            end = _by_list(ledger, row.change, found, at_ms=now_ms)
        if isinstance(end, Change):
            (made,) = yield from make([end])
            end = made.outcome
        else:
            end = dataclasses.replace(end, looks_again=False)
            yield from Ended(row=dataclasses.replace(row, outcome=end))
        done[row.change] = dataclasses.replace(row, outcome=end)
    return done


def _wait(ledger: Ledger, waiting: Sequence[Row]) -> Step[None]:
    """Wait until the uses of before the deletions would be shown, if that is soon."""
    for _ in range(WAITS_MOST):
        now_ms = yield from Now()
        rest_ms = [_due_ms(ledger, row.change) - now_ms for row in waiting]
        halt = yield from ReadHalt()
        if halt.why is not None or not any(0 < ms <= LOOK_AGAIN_MOST_MS for ms in rest_ms):
            return
        yield from Sleep(ms=LISTS_APART_MS)


def _due_ms(ledger: Ledger, change: Change) -> int:
    """Return from when on a list decides about a row."""
    task = _task(change)
    row = emptied_of(ledger.tokens.get(change.label, task.entry), _token_id(task))
    emptied_ms = row.at_ms if row is not None else None
    return (emptied_ms or 0) + (task.evidence.again_ms or 0)


def _by_list(
    ledger: Ledger, change: Change, listing: Listing | Refused | Unclear, *, at_ms: int
) -> Change | Outcome:
    """Return the change with the list as its evidence, or why it is not made."""
    if not isinstance(listing, Listing):
        return not_tried(f"its secret is deleted, but {listing.sentence}: run again")
    task = _task(change)
    token_id, before = _token_id(task), task.evidence.live
    live = listing.find(token_id)
    if live is None or before is None:
        return not_tried(f"its secret is deleted, but the next list lacks {token_id}: run again")
    if live.last_used_at_ms != before.last_used_at_ms and live.last_used_at_ms is not None:
        used = iso(live.last_used_at_ms)
        return held(f"somebody used it while its secret was deleted, at {used}: it stays", token_id)
    entry = ledger.tokens.get(change.label, task.entry)
    evidence = dataclasses.replace(task.evidence, live=live, at_ms=at_ms)
    return dataclasses.replace(change, task=_with(task, entry, evidence))


def _with(
    task: RevokeCurrent | RevokeRetiring, entry: Entry, evidence: Evidence
) -> RevokeCurrent | RevokeRetiring:
    """Return the task with what is known by now."""
    return dataclasses.replace(task, entry=entry, evidence=evidence)


def _task(change: Change) -> RevokeCurrent | RevokeRetiring:
    assert isinstance(change.task, RevokeCurrent | RevokeRetiring)  # noqa: S101  # nothing else
    return change.task


def _token_id(task: RevokeCurrent | RevokeRetiring) -> str:
    if isinstance(task, RevokeRetiring):
        return task.retiring.token_id
    current = task.entry.current
    return current.token_id if current is not None else ""
