"""Rotate: an apply of the labels that a person asks for, whatever their age.

It goes on with an unfinished one; ``reconciler.state.rotation`` says when.
"""

from __future__ import annotations

from reconciler.protocol import Report
from reconciler.run.apply import apply_manifest
from reconciler.run.effects import Stage
from reconciler.run.rotation import going_on
from reconciler.run.session import Session, label_of_current, look_only, requesting


def rotate_labels(
    session: Session, *, token_id: str | None = None, ask: bool = False, anew: bool = False
) -> Stage[Report]:
    """Rotate the labels that the policy requests, or that of a token's id.

    Goes on with an unfinished rotation of the same labels, unless ``anew``. Otherwise
    as ``apply_manifest``. UsageError where the id begins no current token's.
    """
    observed = yield from look_only(session)
    if token_id is not None:
        session = requesting(session, label_of_current(observed, token_id))
    if not anew:
        session = yield from going_on(session, observed)
    return (yield from apply_manifest(session, ask=ask, seen=observed))
