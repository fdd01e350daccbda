"""Rollback: the newest retiring predecessor that still lives becomes current again.

stage      what happens                                       it ends where
---------  -------------------------------------------------  ------------------------
roll back  look, find the predecessor, ask the person         there is no way back
begin      take the lease                                     another run holds it (6)
commit     look again, find the same, write it as current     it changed meanwhile
"""

from __future__ import annotations

import dataclasses

from reconciler.errors import ReconcilerError
from reconciler.model import LiveToken, TokenSpec, iso
from reconciler.protocol import Outcome, Place, Step, rollback
from reconciler.run.effects import Ask, Stage, Then
from reconciler.run.lease import holding_lease, refuse_undone
from reconciler.run.observe import holder_version
from reconciler.run.session import Session, look_only, refuse_ending
from reconciler.state import Observed, Retiring, due_at_ms
from reconciler.values import value


@value
class RollbackCandidate:
    """A rollback that would be done."""

    label: str
    retiring: Retiring
    live: LiveToken
    place: Place


def find_candidate(session: Session, observed: Observed, label: str) -> Step[RollbackCandidate]:
    """Return the predecessor that a rollback would make current.

    ReconcilerError where there is none to go back to.
    """
    session.spec(label)
    entry = observed.ledger.tokens.get(label)
    if entry is None or entry.current is None:
        raise ReconcilerError(f"{label} has no current token: there is nothing to roll back")
    if entry.intent is not None:
        raise ReconcilerError(f"{label} was interrupted: run `reconciler apply` first, it recovers")
    if entry.current.left_ms is not None:
        raise ReconcilerError(
            f"{label} is recorded as having left the manifest: run `reconciler apply` first, "
            "it stays then"
        )
    if entry.current.displaced:
        raise ReconcilerError(
            f"another label's secret was written over that of {label}: there is no way back at "
            f"{observed.place}/{entry.path}"
        )
    living, latest = observed.live_by_id(), observed.meta(entry.path).version_id
    for retiring in sorted(entry.retiring, key=lambda r: r.superseded_at_ms, reverse=True):
        live = living.get(retiring.token_id)
        if live is None or retiring.path is not None:
            continue
        source = yield from holder_version(entry.path, latest.number, retiring.token_id)
        if source is not None:
            further = session.spec(label).fields
            place = Place(label=label, path=entry.path, source=source, seen=latest, further=further)
            return RollbackCandidate(label=label, retiring=retiring, live=live, place=place)
    raise ReconcilerError(
        f"{label} has no predecessor that lives and whose secret Vault still has: "
        "there is no way back"
    )


def roll_back(session: Session, label: str, *, ask: bool) -> Stage[Outcome]:
    """Make a predecessor current again; with ``ask`` a person has to agree first.

    Raises PartialError after a write, ReconcilerError before one.
    """
    observed = yield from look_only(session)
    refuse_ending(observed)
    found = yield from find_candidate(session, observed, label)
    since = iso(found.retiring.superseded_at_ms)
    again_due = _undone_by_apply(session.spec(label), found, observed.now_ms)
    question = f"{label}: {found.live.token_id} (superseded {since}) becomes current again"
    if ask and not (yield from Ask(about=question + again_due)):
        raise ReconcilerError("not agreed to: nothing was done")
    begin = session, observed.ledger, observed.ledger_version, _look_again
    return Then(stage=holding_lease, arguments=(*begin, session, found, again_due))


def _look_again(session: Session, found: RollbackCandidate, again_due: str) -> Stage[Outcome]:
    observed = yield from look_only(session)
    again = yield from find_candidate(session, observed, found.label)
    if (again.retiring, again.place) != (found.retiring, found.place):
        raise ReconcilerError(f"{found.label} changed meanwhile: look again")
    return Then(stage=_commit, arguments=(session, again, observed, again_due))


def _commit(
    session: Session, found: RollbackCandidate, observed: Observed, again_due: str
) -> Stage[Outcome]:
    outcome = yield from rollback(
        session.facts(observed.ledger.profile_id),
        found.place,
        observed.ledger.tokens[found.label],
        found.live,
        overlap_ms=session.spec(found.label).overlap_ms,
    )
    yield from refuse_undone(outcome)
    return dataclasses.replace(outcome, sentence=outcome.sentence + again_due)


def _undone_by_apply(spec: TokenSpec, found: RollbackCandidate, now_ms: int) -> str:
    """Return what the next apply would do about it, if the manifest stays as it is."""
    live = found.live
    at_ms = due_at_ms(found.retiring, live.created_at_ms, spec)
    if live.scopes != spec.scopes:
        return (
            "; its scopes are not the manifest's, so the next apply rotates it again: "
            "change the manifest first"
        )
    if at_ms is not None and now_ms >= at_ms:
        return (
            "; by its age it is due, so the next apply rotates it again: raise rotate_after first"
        )
    return ""
