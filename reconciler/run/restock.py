"""What needs the identity, and what of it can be done without one; the reserve last.

    the row                       without a usable identity
    ----------------------------  ----------------------------------------------------
    derives for a label           not tried, and a person is needed (exit 4); with a
                                  saved plan nothing is done at all
    rests on such a row           held
    stocks the reserve, or waits  held by the plan: the next run with an identity does
    for that                      it (exit 0); exit 4 where a source was named that
                                  failed: a file, a command, what the variable holds
    anything else                 done

The reserve is stocked once everything else is done, a label's after its own token. One
successor is derived after the other: where the exchange ends another token for it, the
next one is not sent any more (``reconciler.protocol.ended``).
"""

from __future__ import annotations

import dataclasses
from functools import partial

from reconciler.errors import IdentitySourceError, PersonNeededError, ReconcilerError
from reconciler.plan import Action, Change, Plan
from reconciler.protocol import Ending, ReadDesk, Step, failed, held, not_tried
from reconciler.run.effects import Lane, Lanes, ReadHalt, Stage, Started
from reconciler.run.identity import ask_identity, unallowed_rows, without_reserve
from reconciler.run.lanes import in_lanes, without_ground
from reconciler.run.progress import Progress
from reconciler.run.rows import do_all, left_out
from reconciler.state import Observed

NOT_YET = "the label's own token comes first, which has not come about"


def without_stock(plan: Plan, missing: PersonNeededError) -> Plan:
    """Return the plan of a run without an identity: what is about the reserve waits.

    The run goes on, so this is the only place that tells of an identity token that was
    given and is of no use.
    """
    what, _, _ = str(missing).partition(": ")  # what to do about it would be on every row
    return dataclasses.replace(
        plan, changes=tuple(_waits(c, what) if c.stocks else c for c in plan.changes)
    )


def _waits(change: Change, what: str) -> Change:
    """Return the row as one that is held, and says what for."""
    note = f"{change.note}; {what}" if change.action is Action.STOCK else change.note
    return dataclasses.replace(change, action=Action.HOLD, task=None, note=note)


def stock_waits(progress: Progress) -> Step[Progress]:
    """Return the progress of a run that would only stock: it waits for an identity."""
    session, outlook = progress.session, progress.outlook
    acting = outlook.plan.acting
    if not acting or not all(c.stocks for c in acting):
        return progress
    found = yield from ask_identity(session, acting, outlook.observed, digest=outlook.plan.digest())
    return _waiting(progress, found) if isinstance(found, PersonNeededError) else progress


def _waiting(progress: Progress, found: PersonNeededError) -> Progress:
    """Return the progress of a run that stocks nothing.

    Whoever named a source of the identity meant to stock: where that fails, a person
    is needed.
    """
    outlook = progress.outlook
    waiting = dataclasses.replace(outlook, plan=without_stock(outlook.plan, found))
    person = str(found) if isinstance(found, IdentitySourceError) else None
    return dataclasses.replace(progress, outlook=waiting, person=progress.person or person)


def with_identity(progress: Progress, changes: list[Change]) -> Step[tuple[Progress, list[Change]]]:
    """Leave out the derives that the identity can't make, and report them.

    Repairs may have led to derives that nobody has asked the identity about.
    """
    approved, outlook = progress.approved, progress.outlook
    digest = approved.digest if approved is not None else outlook.plan.digest()
    found = yield from ask_identity(progress.session, changes, outlook.observed, digest=digest)
    if isinstance(found, ReconcilerError):
        if isinstance(found, PersonNeededError):
            told = without_reserve(progress.session, changes, found)
            progress = dataclasses.replace(progress, person=str(told))
        undone = {c: not_tried(str(found)) for c in changes if c.derives}
    else:
        undone = {c: failed(why) for c, why in unallowed_rows(found, changes).items()}
    undone |= without_ground(changes, undone)
    progress = yield from left_out(progress, undone)
    return progress, [c for c in changes if c not in undone]


def stock(progress: Progress) -> Stage[Progress]:
    """Stock what the reserve is short of, and let go what was replaced."""
    rows = [c for c in progress.allowed if c.stocks]
    halt = yield from ReadHalt()
    if not rows or halt.why is not None:
        return (yield from left_out(progress, {c: not_tried(halt.why or "") for c in rows}))
    outlook, approved = progress.outlook, progress.approved
    digest = approved.digest if approved is not None else outlook.plan.digest()
    found = yield from ask_identity(progress.session, rows, outlook.observed, digest=digest)
    if isinstance(found, PersonNeededError):
        return _waiting(progress, found)
    if isinstance(found, ReconcilerError):
        return (yield from left_out(progress, {c: not_tried(str(found)) for c in rows}))
    undone = {c: failed(why) for c, why in unallowed_rows(found, rows).items()}
    behind = _unfinished_labels(progress)
    undone |= {c: held(NOT_YET) for c in rows if c.label in behind and c not in undone}
    undone |= without_ground(rows, undone)
    progress = yield from left_out(progress, undone)
    rows = [c for c in rows if c not in undone]
    yield from Started(changes=tuple(rows))
    standing = yield from _standing(progress)
    one_by_one = tuple(row for lane in in_lanes(rows) for row in lane)
    done = yield from Lanes(
        lanes=(Lane(derives=True, make=partial(do_all, progress, one_by_one, standing)),)
    )
    return progress.ended([row for several in done for row in several])


def _unfinished_labels(progress: Progress) -> frozenset[str]:
    """Return the labels whose own new token has not come about in this run."""
    return frozenset(
        row.change.label
        for row in progress.rows
        if row.change.replaces and row.outcome.status is not Ending.APPLIED
    )


def _standing(progress: Progress) -> Step[frozenset[str]]:
    """Return the current tokens that live by now, as far as this run has seen."""
    ledger = (yield from ReadDesk()).ledger
    observed: Observed = progress.outlook.observed
    before = observed.ledger.known_ids()
    entries = (ledger.tokens.get(spec.label) for spec in progress.session.manifest.tokens)
    ids = {e.current.token_id for e in entries if e is not None and e.current is not None}
    return frozenset(i for i in ids if i in progress.listed or i not in before)
