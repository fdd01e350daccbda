"""Rotate: an apply of the labels that a person asks for, whatever their age.

It goes on with an unfinished one; ``reconciler.state.rotation`` says when.
"""

from __future__ import annotations

from reconciler.protocol import Report
from reconciler.run.apply import apply_manifest
from reconciler.run.effects import Stage
from reconciler.run.rotation import going_on
from reconciler.run.session import Session, look_only, requesting


def rotate_labels(
    session: Session, *, token_id: str | None = None, ask: bool = False, anew: bool = False
) -> Stage[Report]:
    """Rotate the labels that the policy requests; or, of an id, see ``requesting``.

    Goes on with an unfinished rotation of the same labels, unless ``anew``. Otherwise
    as ``apply_manifest``. UsageError where an id does not name one token.
    """
    observed = yield from look_only(session)
    if token_id is not None:
        session = requesting(session, observed, token_id)
    if not anew:
        session = yield from going_on(session, observed)
    return (yield from apply_manifest(session, ask=ask, seen=observed))
