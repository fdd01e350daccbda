"""The rows of a run: changes made one after the other, each told with its end."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from reconciler.errors import ReconcilerError, Unforeseen
from reconciler.plan import Change
from reconciler.protocol import Outcome, Row, Step, facts_of, failed, not_tried, step_of
from reconciler.run.effects import Ended, HaltRun, ReadHalt
from reconciler.run.lanes import kept_back
from reconciler.run.progress import Progress


def do_all(
    progress: Progress, changes: Sequence[Change], standing: frozenset[str] = frozenset()
) -> Step[tuple[Row, ...]]:
    """Make changes one after the other; once the run is halted, none is tried."""
    rows: list[Row] = []
    for change in changes:
        halt = yield from ReadHalt()
        if halt.why is not None:
            outcome = not_tried(halt.why)
        elif (stays := kept_back(change, rows)) is not None:
            outcome = stays
        else:
            outcome = yield from _do(progress, change, standing)
            if outcome.stop:
                yield from HaltRun(sentence=outcome.sentence)
        rows.append((yield from ended_row(change, outcome)))
    return tuple(rows)


def _do(progress: Progress, change: Change, standing: frozenset[str]) -> Step[Outcome]:
    session = progress.session
    facts = facts_of(session.run, session.manifest, progress.outlook.observed)
    try:
        with Unforeseen():
            outcome: Outcome = yield from step_of(change, facts, standing)
            return outcome
    except ReconcilerError as error:
        return dataclasses.replace(failed(str(error)), stop=True)


def ended_row(change: Change, outcome: Outcome) -> Step[Row]:
    """Make the row, and tell it; what waits for a list is told at the end."""
    row = Row(change=change, outcome=outcome)
    if not outcome.waits and not outcome.looks_again:
        yield from Ended(row=row)
    return row


def left_out(progress: Progress, ends: Mapping[Change, Outcome]) -> Step[Progress]:
    """Report changes that are not made, each with its end."""
    for change, outcome in ends.items():
        progress = progress.ended([(yield from ended_row(change, outcome))])
    return progress
