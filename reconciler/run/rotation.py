"""The memory of a rotation that a person asked for: begun, gone on with, ended.

``reconciler.state.rotation`` has the rules. The memory costs no write of its own: it
goes along with those that a run makes anyway.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from reconciler.model import iso
from reconciler.protocol import NoteLedger, Step, time_of_record
from reconciler.run.effects import Say
from reconciler.run.session import Session
from reconciler.state import (
    Ledger,
    Observed,
    Rotation,
    Transition,
    begin_rotation,
    carry_rotation,
    end_rotation,
    left_of,
    unfinished,
)


def going_on(session: Session, observed: Observed) -> Step[Session]:
    """Return the session of a rotation that goes on, if one is unfinished; say so."""
    policy, ledger = session.policy, observed.ledger
    begun = unfinished(ledger, policy.asked_for, policy.requested, observed.now_ms)
    if begun is None:
        return session
    left, number = left_of(ledger, begun, policy.requested), len(policy.requested)
    told = f"{len(left)} of {number} labels are left, the others have new tokens"
    if not left:
        told = f"none of its {number} labels is left, each has a new token"
    yield from Say(
        sentence=f"goes on with the rotation that began at {iso(begun.since_ms)}: {told} "
        "(--anew rotates all of them)"
    )
    return dataclasses.replace(session, policy=dataclasses.replace(policy, rotation=begun))


def note_rotation(session: Session, observed: Observed) -> Step[None]:
    """Remember the rotation that begins or goes on, with the run's next write."""
    policy = session.policy
    if not policy.requested:
        return
    if policy.rotation is not None:
        yield from NoteLedger(transition=carry_rotation(policy.rotation, session.run))
        return
    targets, compromised = policy.asked_for
    begun = Rotation(
        targets=targets,
        compromised=compromised,
        run=session.run,
        since_ms=(yield from time_of_record()),
        newest_created_at_ms=max((t.created_at_ms for t in observed.live), default=0),
        reserves=_reserves(observed, policy.requested),
    )
    yield from NoteLedger(transition=begin_rotation(begun))


def _reserves(observed: Observed, labels: Iterable[str]) -> tuple[str, ...]:
    """Return the ids in the reserves of these labels, sorted."""
    entries = (observed.ledger.tokens.get(label) for label in labels)
    return tuple(sorted(kept.token_id for e in entries if e is not None for kept in e.reserve))


def rotation_end(session: Session, ledger: Ledger) -> tuple[Transition, ...]:
    """Return the step that forgets the run's rotation, once none of it is left."""
    policy, asked = session.policy, session.policy.asked_for
    begun = next((r for r in ledger.rotations if (r.targets, r.compromised) == asked), None)
    if not policy.requested or begun is None or left_of(ledger, begun, policy.requested):
        return ()
    return (end_rotation(begun),)
