"""Holding the lease around the stages of a run.

the lease is                      then
--------------------------------  -----------------------------------------------------
free, or its holder's time is up  take it
another run's                     wait for it as long as ``wait_s``, else exit 6
taken, and a stage ends           give it back, whether the stage succeeded or not
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from reconciler.errors import (
    LeaseHeldError,
    PartialError,
    ReconcilerError,
    Unforeseen,
    VaultError,
)
from reconciler.model import SECOND_MS, SecretMeta, VersionState
from reconciler.protocol import (
    Ending,
    NotRecorded,
    Outcome,
    ReadDesk,
    Recorded,
    Step,
    WriteLedger,
    unrecorded,
)
from reconciler.run.effects import Pause, ReadClock, ReleaseLease, Say, Stage, TakeLease, Then
from reconciler.run.reads import read_ledger
from reconciler.run.session import Session
from reconciler.state import Ledger, Transition, lease_held_by, ledger_end

T = TypeVar("T")

TAKE_TRIES = 3
LEASE_LOST = "another run took the lease over"

STANDBY_LAG_MS = 250
"""A run's first read may be of a standby that has not heard of the last run's writes.

Measured: it hears of them within a tenth of a second.
"""


def take_lease(
    session: Session,
    ledger: Ledger,
    version: int,
    *,
    changes: int = 1,
    read: Callable[[], Step[tuple[Ledger | None, int]]] = read_ledger,
) -> Step[None]:
    """Take the lease of a ledger that was read at ``version``, for so many changes.

    ``read`` reads it again. LeaseHeldError where another run has it for longer than
    ``wait_s``.
    """
    clock = yield from ReadClock()
    deadline_ms = clock.steady_ms + max(session.wait_s * SECOND_MS, STANDBY_LAG_MS)
    tries = 0
    told: set[str] = set()
    while True:
        reply = yield from TakeLease(
            run=session.run, who=session.who, ledger=ledger, version=version, changes=changes
        )
        if isinstance(reply, Recorded):
            yield from _refuse_ending(session, reply, version + 1)
            return
        if isinstance(reply, NotRecorded):
            raise VaultError(f"the lease could not be taken: {reply.sentence}")
        found, version = yield from read()
        if found is None:
            raise VaultError("the ledger vanished while the lease was being taken: run again")
        ledger = found
        clock = yield from ReadClock()
        holder = lease_held_by(ledger, clock.now_ms, not_run=session.run)
        if holder is None and tries < TAKE_TRIES:
            tries += 1
            continue
        if holder is not None and holder.run not in told:
            told.add(holder.run)
            if session.wait_s:
                yield from Say(
                    sentence=f"waiting for run {holder.run} ({holder.who}), which holds the lease"
                )
        left_ms = deadline_ms - clock.steady_ms
        if left_ms <= 0:
            raise LeaseHeldError(
                f"{reply.sentence}: wait for it with --wait SECONDS, or run again later "
                "(a lease lasts a minute)"
            )
        if (yield from Pause(ms=min(SECOND_MS, left_ms))):
            raise LeaseHeldError("stopped while waiting for the lease: nothing was done")


def _refuse_ending(session: Session, reply: Recorded, version: int) -> Step[None]:
    """Give the lease back and raise ReconcilerError if its own write ends by itself."""
    meta = SecretMeta(latest=version, state=VersionState.LIVING, ends_at_ms=reply.ends_at_ms)
    ends = ledger_end(session.manifest.place, meta)
    if ends is not None:
        yield from ReleaseLease()
        raise ReconcilerError(ends)


def holding_lease(
    session: Session, ledger: Ledger, version: int, stage: Callable[..., Stage[T]], *arguments: Any
) -> Stage[T]:
    """Take the lease of the ledger read at ``version``; perform a stage under it."""
    yield from take_lease(session, ledger, version)
    return Then(stage=under_lease, arguments=(stage, *arguments))


def under_lease(stage: Callable[..., Stage[T]], *arguments: Any) -> Stage[T]:
    """Perform a stage and those that follow it; give the lease back at their end."""
    try:
        with Unforeseen():
            result = yield from stage(*arguments)
    except ReconcilerError:
        yield from ReleaseLease()
        raise
    if isinstance(result, Then):
        return Then(stage=under_lease, arguments=(result.stage, *result.arguments))
    yield from ReleaseLease()
    return result


def record(transition: Transition) -> Step[None]:
    """Write to the ledger. LeaseHeldError or PartialError where that fails."""
    reply = yield from WriteLedger(transition=transition)
    if not isinstance(reply, Recorded):
        yield from refuse_undone(unrecorded(reply))


def refuse_undone(outcome: Outcome) -> Step[None]:
    """Raise the error that fits the end of a change that was not applied.

    LeaseHeldError (the lease was lost), PartialError (something was written), else
    ReconcilerError.
    """
    if outcome.status is Ending.APPLIED:
        return
    if (yield from ReadDesk()).lost:
        raise LeaseHeldError(outcome.sentence)
    if outcome.status is Ending.FAILED:
        raise PartialError(outcome.sentence)
    raise ReconcilerError(outcome.sentence)
