"""A path that a label is to have, and that holds something else so far.

A path belongs to the label whose token was last recorded there. A label whose wanted
path is another one's takes it over with the version that was read there:

    the other label                                             then
    ----------------------------------------------------------  ------------------------
    has a write open                                            wait: it is finished
                                                                first
    has its current token there, and is held (hold_until)       wait: it moves later
    has its current token there, and it signs the lists         wait: it moves first, or
                                                                nobody could sign
    has its current token there, and stays: the manifest says   a person decides
    so, it is protected, or a file of the manifest is missing
    has its current token there, and its own row is not within  wait: another run does
    the selection                                               both
    has its current token there, and moves or left              its secret is written
                                                                over; it is *displaced*
    has only tokens there that are on their way out             their secret is written
                                                                over

Whoever reads the path finds a working secret all the while: the other label's, then
this one's. So two labels swap their paths by two such rotations, and more of them pass
theirs on in a circle, in any order. What is to be revoked at a path that goes over is
revoked behind that (``behind``): else the path were empty in between.

A displaced token works on, and lies nowhere. Its label rotates to where the manifest
wants it, or, if it left, retires. What consumers of a path use by now is judged by the
token that they find there (``PlanContext.successor_at``).

The rules are those of ``reasons``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from reconciler.model import VersionState
from reconciler.plan.change import Change
from reconciler.plan.context import PlanContext
from reconciler.plan.facts import Finding, Listed, Owner, Wanted
from reconciler.plan.pauses import is_held
from reconciler.plan.tasks import RevokeCurrent, RevokeRetiring
from reconciler.plan.vocabulary import Action, Reason
from reconciler.values import value


def occupied(facts: Wanted) -> Finding | None:
    """The wanted path holds something other than the label's recorded secret."""
    spec, entry, content, owner = facts.spec, facts.entry, facts.target_content, facts.owner
    if entry.is_at(spec.path):
        return None
    where = f"{facts.setting.place}/{spec.path}"
    kept = _kept(facts, owner) if owner is not None else None
    if owner is not None and kept is not None:
        return Finding(Action.HOLD, kept, f"{where} is that of {owner.label}")
    if facts.target.state is not VersionState.LIVING:
        return None
    if facts.label in facts.setting.policy.replace:
        return None
    if content is not None and content.placeholder:
        return None
    if content is not None and content.token_id in {r.token_id for r in entry.retiring}:
        return None  # a predecessor of this label, as at the path of every rotation
    return None if facts.holder is not None else Finding(Action.HOLD, Reason.OCCUPIED, where)


def _kept(facts: Wanted, owner: Owner) -> Reason | None:
    """Return why another label's path can't be taken over now."""
    if owner.entry.intent is not None:
        return Reason.WAITS_FOR
    if not owner.entry.is_at(facts.spec.path):
        return None
    current = owner.entry.current
    if owner.signs or (current is not None and current.token_id == facts.setting.signer_id):
        return Reason.WAITS_FOR
    if owner.spec is None:
        stays = owner.entry.protect or bool(facts.setting.files_missing)
    else:
        stays = owner.spec.path == facts.spec.path
    if stays:
        return Reason.PATH_TAKEN
    if owner.spec is not None and is_held(owner.spec, facts.setting):
        return Reason.WAITS_FOR
    reason = Reason.NOT_DESIRED if owner.spec is None else Reason.PATH_CHANGED
    row = Change(label=owner.label, action=Action.ROTATE, reason=reason)
    return None if facts.setting.policy.selection.admits(row) else Reason.WAITS_FOR


def displaced(facts: Listed) -> Finding | None:
    """Another label's secret was written over its own."""
    if not facts.current.displaced:
        return None
    return Finding(Action.ROTATE, Reason.SECRET_LOST, "another label took its path over")


def written_over(facts: Wanted) -> str:
    """Tell what a new secret is written over, where that is not the label's own."""
    content, entry, owner = facts.target_content, facts.entry, facts.owner
    if facts.holder is not None:
        taken = owner is not None and owner.entry.is_at(facts.spec.path)
        return f"takes the path over from {facts.holder}" if taken else f"{facts.holder} had it"
    if content is None or content.placeholder or not content.readable:
        return ""
    own = {old.token_id for old in entry.retiring}
    own |= {entry.current.token_id} if entry.current is not None else set()
    if facts.target.state is not VersionState.LIVING or content.token_id in own:
        return ""
    return f"{facts.target.version_id} holds something else, which is written over"


@value
class Takers:
    """The labels whose secrets are to be written at paths for the first time, by path.

    Another label may have such a path so far, or a predecessor of its own lies there.
    ``now``: those that are written in this very run.
    """

    by_path: Mapping[str, str]
    now: frozenset[str]


def takers_of(context: PlanContext, own: Mapping[str, Change]) -> Takers:
    """Return which labels are to have paths that hold something else so far.

    ``own`` are the labels' own rows, as they stand in the end.
    """
    by_path, now = {}, set()
    known = context.observed.ledger.tokens
    for spec in context.desired.tokens:
        entry, row = known.get(spec.label), own.get(spec.label)
        if row is None or (entry is not None and entry.is_at(spec.path)):
            continue
        by_path[spec.path] = spec.label
        if row.replaces and context.is_to_be_done(row):
            now.add(spec.label)
    return Takers(by_path=by_path, now=frozenset(now))


def behind(row: Change, takers: Takers, context: PlanContext) -> Change:
    """Put what is revoked at a path behind the label that is to have the path.

    It waits for a later run where that label's turn is not in this one; what is to go
    at once by --revoke-now does not.
    """
    task, before = row.task, row.before
    taker = takers.by_path.get(before.path) if before is not None else None
    if (
        taker is None
        or before is None
        or not isinstance(task, (RevokeCurrent, RevokeRetiring))
        or not context.lies_at(before.path, before.token_id)
    ):
        return row
    if taker in takers.now:
        return dataclasses.replace(row, task=dataclasses.replace(task, after_taker=taker))
    if row.label in context.setting.policy.revoke_now:
        return row
    return Change(
        label=row.label,
        action=Action.HOLD,
        reason=Reason.WAITS_FOR,
        before=before,
        note=f"{context.setting.place}/{before.path} goes over to {taker} first",
    )
