"""Apply: look, decide, take the lease, look again, act, record, give the lease back.

    stage         what happens                        it ends the run where
    ------------  ----------------------------------  ----------------------------------
    apply         look without the lease              nothing is to be done (exit 0, and
                                                      not one write); an approved plan
                                                      differs (3); a guard says no (1);
                                                      a derive lacks an identity (4);
                                                      nothing is allowed (1)
    begin         take the lease                      another run holds it (6)
    look again    the same under the lease            an approved plan differs (3)
    repair        recover, rename, record, restore;   -
                  then look and plan afresh, as
                  often as there are repairs left
    act           derives beside revokes: several     -
                  labels at once, one thing at a
                  time about each of them; then
                  ``passed_on_at_once``
    end with the  the manager's own derive: its       -
    manager       predecessor is revoked by its
                  successor
    stock         the reserve (``restock``)           -
    give back     a list proves what was revoked      -
                  (``closing``); then the lease goes
    report        after the lease was given back      always

Rules this module keeps:

1. One failed change does not stop the others. The run stops only if it loses the lease
   or can no longer write the ledger.
2. What was approved is all that is done: a row that is new since then is reported as
   not tried.
3. Actions and values steer; reasons are only told.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial

from reconciler.errors import (
    LeaseHeldError,
    PersonNeededError,
    ReconcilerError,
    Unforeseen,
    VaultRefusedError,
)
from reconciler.plan import (
    Action,
    Change,
    Reason,
    row_key,
)
from reconciler.protocol import (
    Approved,
    NoteLedger,
    Report,
    Step,
    approve,
    ends_at_once,
    not_tried,
    standing_of,
)
from reconciler.run.approval import StalePlanError, refuse_as_of
from reconciler.run.closing import close_revocations
from reconciler.run.effects import (
    Ask,
    Lane,
    Lanes,
    ReadHalt,
    ReleaseLease,
    Stage,
    Started,
    Then,
)
from reconciler.run.identity import ask_identity, refuse_unallowed, without_reserve
from reconciler.run.lanes import derives, in_lanes, passed_on_at_once, with_manager
from reconciler.run.lease import LEASE_LOST, take_lease
from reconciler.run.newest import note_manifest, refuse_guarded
from reconciler.run.progress import Progress, in_time, report_of
from reconciler.run.restock import stock, stock_waits, with_identity
from reconciler.run.rotation import note_rotation
from reconciler.run.rows import do_all, left_out
from reconciler.run.second_look import once_more
from reconciler.run.session import Outlook, Session, look, refuse_ending
from reconciler.state import Observed, date_versions, set_uses

ROUNDS = 4

REPAIRS = frozenset({Action.RECOVER, Action.RENAME, Action.RECORD, Action.RESTORE})

NEW_SINCE = "it is new since the plan was approved: plan again"


# --- without the lease ---


def apply_manifest(
    session: Session,
    *,
    approved: Approved | None = None,
    ask: bool = False,
    seen: Observed | None = None,
) -> Stage[Report]:
    """Make what the manifest says so; with ``ask`` a person is shown the plan first.

    ``seen`` is a snapshot of right now. Raises ReconcilerError only while nothing was
    written.
    """
    outlook = yield from _look(session, approved, seen=seen)
    progress = Progress(
        session=session,
        approved=approved,
        outlook=in_time(session, approved, outlook),
        started_at_ms=outlook.observed.now_ms,
    )
    progress = yield from stock_waits(progress)
    acting = progress.outlook.plan.acting
    at_work = any(c.reason is Reason.IN_PROGRESS for c in outlook.plan.changes)
    if not acting and not at_work and session.policy.rotation is None:
        if session.policy.revoke_now:  # a misspelt label is told, not passed over
            refuse_guarded(session, outlook.observed, approved)
        return Then(stage=report_of, arguments=(progress,))
    yield from _refuse(session, outlook, approved)
    if ask and acting:
        if not (yield from Ask(about=outlook.plan)):
            raise ReconcilerError("not agreed to: nothing was done")
        progress = dataclasses.replace(progress, approved=approved or approve(outlook.plan))
    return Then(stage=_begin, arguments=(progress,))


def _look(
    session: Session,
    approved: Approved | None,
    *,
    before: Observed | None = None,
    seen: Observed | None = None,
) -> Step[Outlook]:
    """Look, without the lease or, after the look ``before``, under it."""
    outlook = yield from look(session, approved, before=before, seen=seen)
    refuse_ending(outlook.observed)
    if before is not None:
        _refuse_lost(session, outlook)
    if approved is not None:
        if approved.as_of_ms is not None:
            refuse_as_of(approved.as_of_ms, outlook.observed.now_ms)
        if outlook.plan.digest() != approved.digest:
            raise StalePlanError(approved, outlook.plan)
    unread = [c.label for c in outlook.plan.changes if c.reason is Reason.UNREAD]
    if unread:
        raise VaultRefusedError(
            f"the role of an apply needs read on the secrets of {', '.join(unread)}: "
            "give it the policy in docs/install.md"
        )
    return outlook


def _refuse_lost(session: Session, outlook: Outlook) -> None:
    """Raise LeaseHeldError where another run holds the lease by now.

    What is in that run's hands is not ours to judge.
    """
    holder = outlook.observed.ledger.holder
    if holder is None or holder.run != session.run:
        raise LeaseHeldError(LEASE_LOST)


def _refuse(session: Session, outlook: Outlook, approved: Approved | None) -> Step[None]:
    """Ask guards and identity: whatever would stop the run half way stops it here.

    Without an identity the rows that need none are made, unless a plan was saved.
    """
    refuse_guarded(session, outlook.observed, approved)
    acting = [c for c in outlook.plan.acting if not c.stocks]
    digest = outlook.plan.digest()
    found = yield from ask_identity(session, acting, outlook.observed, digest=digest)
    if isinstance(found, ReconcilerError):
        saved = approved is not None and approved.as_of_ms is not None
        rest = any(not c.derives for c in acting)
        if saved or not rest or not isinstance(found, PersonNeededError):
            raise without_reserve(session, acting, found)
    else:
        refuse_unallowed(found, acting)


# --- under the lease ---


def _begin(progress: Progress) -> Stage[Report]:
    observed = progress.outlook.observed
    changes = len(progress.outlook.plan.acting)
    begin = progress.session, observed.ledger, observed.ledger_version
    yield from take_lease(*begin, changes=changes)
    held = dataclasses.replace(progress, holds_lease=True)
    return Then(stage=_held, arguments=(_look_again, held))


def _held(
    stage: Callable[..., Stage[Progress]], progress: Progress, *more: object
) -> Stage[Report]:
    """Perform a stage and those that follow it, then give the lease back.

    An error after the first row ends in a report, one before it is raised.
    """
    try:
        with Unforeseen():
            result = yield from stage(progress, *more)
    except ReconcilerError as error:
        if not progress.rows:
            yield from ReleaseLease()
            raise
        result = dataclasses.replace(progress, stopped=str(error))
    if isinstance(result, Then):
        return Then(stage=_held, arguments=(result.stage, *result.arguments))
    return Then(stage=_give_back, arguments=(result,))


def _give_back(progress: Progress) -> Stage[Report]:
    """Close what a list proves to be revoked, and give the lease back."""
    progress, closing = yield from close_revocations(progress)
    yield from ReleaseLease(transition=closing)
    return Then(stage=report_of, arguments=(progress,))


def _look_again(progress: Progress) -> Stage[Progress]:
    before = progress.outlook.observed
    outlook = yield from _look(progress.session, progress.approved, before=before)
    yield from NoteLedger(transition=set_uses(outlook.observed.uses))
    yield from NoteLedger(transition=date_versions(outlook.observed.living()))
    yield from _refuse(progress.session, outlook, progress.approved)
    yield from note_manifest(progress.session, outlook.observed)
    yield from note_rotation(progress.session, outlook.observed)
    return Then(stage=_repair, arguments=(progress.looked(outlook),))


def _repair(progress: Progress) -> Stage[Progress]:
    """Recover, rename, record, restore, one after the other."""
    repairs = [
        c
        for c in progress.allowed
        if c.action in REPAIRS
        and row_key(c) not in progress.tried
        and (c.before is None or c.before.token_id not in progress.asked)
    ]
    halt = yield from ReadHalt()
    if not repairs or halt.why is not None or progress.rounds == ROUNDS:
        return Then(stage=_act, arguments=(progress,))
    yield from Started(changes=tuple(repairs))
    rows = yield from do_all(progress, repairs)
    repaired = dataclasses.replace(
        progress.ended(rows),
        tried=progress.tried | {row_key(c) for c in repairs},
        rounds=progress.rounds + 1,
    )
    halt = yield from ReadHalt()
    return Then(stage=_act if halt.why is not None else _plan_afresh, arguments=(repaired,))


def _plan_afresh(progress: Progress) -> Stage[Progress]:
    """Look and plan after repairs: what else there is to do may differ now."""
    session = progress.session
    policy = dataclasses.replace(session.policy, asked=progress.asked)
    outlook = yield from look(
        dataclasses.replace(session, policy=policy),
        progress.approved,
        before=progress.outlook.observed,
    )
    _refuse_lost(session, outlook)
    refuse_guarded(session, outlook.observed, progress.approved)
    return Then(stage=_repair, arguments=(progress.looked(outlook),))


def _act(progress: Progress) -> Stage[Progress]:
    """Make all other changes: derives beside revokes, the manager's derive last."""
    changes = [c for c in progress.allowed if c.action not in REPAIRS and not c.stocks]
    progress = yield from _refuse_new(progress, changes)
    if not changes:
        return Then(stage=stock, arguments=(progress,))
    progress, changes = yield from with_identity(progress, changes)
    yield from Started(changes=tuple(changes))
    manifest = progress.session.manifest
    leaving = frozenset(c.label for c in changes if ends_at_once(c))
    standing = standing_of(manifest, progress.outlook.observed, leaving)
    last, make = (
        with_manager(changes, manifest.manager),
        partial(do_all, progress, standing=standing),
    )
    beside = [c for c in changes if c not in last]
    found = yield from Lanes(
        lanes=tuple(
            Lane(derives=derives(lane), make=partial(make, lane)) for lane in in_lanes(beside)
        )
    )
    rows = yield from once_more([row for several in found for row in several], make)
    progress = progress.ended(rows)
    if progress.approved is None and progress.rounds < ROUNDS and passed_on_at_once(rows):
        return Then(stage=_plan_afresh, arguments=(dataclasses.replace(progress, rounds=ROUNDS),))
    return Then(stage=_end_with_the_manager, arguments=(progress, last, standing))


def _end_with_the_manager(
    progress: Progress, changes: tuple[Change, ...], standing: frozenset[str]
) -> Stage[Progress]:
    make = partial(do_all, progress, standing=standing)
    progress = progress.ended((yield from once_more((yield from make(changes)), make)))
    return Then(stage=stock, arguments=(progress,))


def _refuse_new(progress: Progress, agreed: Sequence[Change]) -> Step[Progress]:
    """Report the rows that nobody agreed to as not tried."""
    acting = (c for c in progress.outlook.plan.acting if c.action not in REPAIRS and not c.stocks)
    new = {c: not_tried(NEW_SINCE) for c in acting if c not in agreed}
    return (yield from left_out(progress, new))
