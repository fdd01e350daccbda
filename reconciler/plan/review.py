"""What a reviewer has to know of a plan beyond its rows.

That is what caused each row, and what the manifest changes without one:

    the row is also in the base branch's plan    cause
    -------------------------------------------  -------------------------------------
    no, or there is no base manifest             this pull request
    yes, its category is rotation                rotation due
    yes, anything else                           drift, whether this is merged or not
    the base manifest can't be read              not known

Rules this module keeps:

1. Pure: two manifests, a snapshot and the policy in; a value out. Both plans are made
   of the same snapshot at the same time.
2. A row is the same in both plans when its digested content is the same: notes and
   times don't count.
3. What a manifest changes without a row of its own (a shorter overlap, another manager,
   a path that belongs to another label) is a finding, and a finding is shown at the
   top.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable

from reconciler.model import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, Manifest
from reconciler.plan.alarms import SHORT_OVERLAP_MS, Alarm
from reconciler.plan.change import Change, Plan, Selection, row_key
from reconciler.plan.context import owned_paths
from reconciler.plan.guards import Policy
from reconciler.plan.planner import plan
from reconciler.plan.vocabulary import CATEGORIES, Action, Category
from reconciler.state import Observed
from reconciler.values import value


class Cause(enum.Enum):
    """Why a row is in the plan of a pull request."""

    PULL_REQUEST = "this pull request"
    DRIFT = "drift"
    ROTATION_DUE = "rotation due"


class NoBase(enum.Enum):
    """Why there is no base manifest to compare with."""

    NOT_GIVEN = "not given"
    ABSENT = "absent"
    UNREADABLE = "unreadable"


@value
class Review:
    """What a reviewer sees beside the plan.

    ``causes`` has a cause for each acting or held row; empty where it is not known.
    ``elsewhere`` are acting rows that the selection leaves to other jobs. ``undone``
    are labels with rows of the base branch's plan that this plan has not.
    """

    base_unreadable: bool
    causes: dict[Change, Cause]
    findings: tuple[Alarm, ...]
    elsewhere: tuple[Change, ...]
    undone: tuple[Change, ...]

    def cause(self, change: Change) -> Cause | None:
        """The cause of a row, or None where it is not known."""
        return self.causes.get(change)


def review_of(
    chosen: Plan, *, head: Manifest, base: Manifest | NoBase, observed: Observed, policy: Policy
) -> Review:
    """Return what to say of ``chosen``, the plan of ``head``, besides its rows."""
    known = base if isinstance(base, Manifest) else None
    everything = dataclasses.replace(policy, selection=Selection())
    whole = plan(head, observed, now_ms=chosen.as_of_ms, policy=everything)
    before = _base_rows(known, observed, policy, chosen.as_of_ms)
    here = frozenset(chosen.changes)
    keys = {c: row_key(c) for c in whole.changes if c.action is not Action.KEEP}
    causes = {c: _cause(c, key, before) for c, key in keys.items()}
    anywhere = frozenset(keys.values())
    return Review(
        base_unreadable=base is NoBase.UNREADABLE,
        causes={} if base in {NoBase.NOT_GIVEN, NoBase.UNREADABLE} else causes,
        findings=_findings(head, known, observed),
        elsewhere=tuple(c for c in whole.acting if c not in here),
        undone=tuple(c for key, c in before.items() if c.acts and key not in anywhere),
    )


def _base_rows(
    base: Manifest | None, observed: Observed, policy: Policy, as_of_ms: int
) -> dict[str, Change]:
    if base is None:
        return {}
    known = frozenset(spec.label for spec in base.tokens)
    asked = dataclasses.replace(
        policy,
        selection=Selection(),
        replace=policy.replace & known,
        requested=policy.requested & known,
    )
    rows = plan(base, observed, now_ms=as_of_ms, policy=asked).changes
    return {row_key(c): c for c in rows if c.action is not Action.KEEP}


def _cause(change: Change, key: str, before: dict[str, Change]) -> Cause:
    if key not in before:
        return Cause.PULL_REQUEST
    return Cause.ROTATION_DUE if CATEGORIES[change.reason] is Category.ROTATION else Cause.DRIFT


# --- what no row tells ---


def _others_paths(head: Manifest, _: Manifest | None, observed: Observed) -> Alarm | None:
    """A line points at the path of another label's secret; a swap has two of them."""
    owners = dict(owned_paths(observed.ledger.tokens))
    about = [
        (spec.label, f"{spec.path} belongs to {owners[spec.path]}")
        for spec in head.tokens
        if owners.get(spec.path, spec.label) not in {spec.label, spec.was}
    ]
    return (
        Alarm(sentence="points at the path of another label's secret", about=tuple(sorted(about)))
        if about
        else None
    )


def _unknown_names(head: Manifest, _: Manifest | None, observed: Observed) -> Alarm | None:
    """A former label is none that the ledger knows: misspelt, or renamed already."""
    known = observed.ledger.tokens
    about = [(s.label, f"was {s.was}") for s in head.tokens if s.was and s.was not in known]
    told = "has a former label that the ledger does not know: remove `was` once that is done"
    return Alarm(sentence=told, about=tuple(sorted(about))) if about else None


def _short_from_the_start(
    head: Manifest, base: Manifest | None, observed: Observed
) -> Alarm | None:
    """A new label's consumers will get next to no time to change over."""
    known = {spec.label for spec in base.tokens} if base is not None else set()
    known |= observed.ledger.tokens.keys()
    about = [
        (spec.label, _length(spec.overlap_ms))
        for spec in head.tokens
        if spec.overlap_ms < SHORT_OVERLAP_MS and spec.label not in known
    ]
    return (
        Alarm(sentence="has a short overlap from the start", about=tuple(about)) if about else None
    )


def _shorter_overlap(head: Manifest, base: Manifest | None, _: Observed) -> Alarm | None:
    """Consumers get less time to change over than before."""
    had = {spec.label: spec.overlap_ms for spec in base.tokens} if base is not None else {}
    about = [
        (spec.label, f"{_length(had[spec.label])} -> {_length(spec.overlap_ms)}")
        for spec in head.tokens
        if spec.label in had and spec.overlap_ms < had[spec.label]
    ]
    return (
        Alarm(
            sentence="shortens the overlap: consumers get less time to change over",
            about=tuple(sorted(about)),
        )
        if about
        else None
    )


def _rarer_rotation(head: Manifest, base: Manifest | None, _: Observed) -> Alarm | None:
    """A label will be rotated less often, or never."""
    had = {spec.label: spec.rotate_after_ms for spec in base.tokens} if base is not None else {}
    about = [
        (spec.label, f"{_length(before)} -> {_length(spec.rotate_after_ms)}")
        for spec in head.tokens
        if (before := had.get(spec.label)) is not None
        and (spec.rotate_after_ms is None or spec.rotate_after_ms > before)
    ]
    return Alarm(sentence="is rotated less often", about=tuple(sorted(about))) if about else None


def _length(length_ms: int | None) -> str:
    """Return a duration as a manifest has it, in its largest whole unit."""
    if length_ms is None:
        return "none"
    for unit_ms, letter in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "m")):
        if length_ms >= unit_ms and length_ms % unit_ms == 0:
            return f"{length_ms // unit_ms}{letter}"
    return f"{length_ms // SECOND_MS}s"


def _another_profile(head: Manifest, base: Manifest | None, _: Observed) -> Alarm | None:
    """The manifest is for another profile, or for any."""
    if base is None or base.profile_id in {None, head.profile_id}:
        return None
    about = (
        (
            head.manager,
            f"{base.profile_id} -> {head.profile_id if head.profile_id is not None else 'none'}",
        ),
    )
    return Alarm(sentence="changes the profile that the manifest is for", about=about)


def _another_manager(head: Manifest, base: Manifest | None, _: Observed) -> Alarm | None:
    if base is None or base.manager == head.manager:
        return None
    return Alarm(
        sentence="changes the manager, whose token signs list and revoke",
        about=((head.manager, f"was {base.manager}"),),
    )


FINDINGS: tuple[Callable[[Manifest, Manifest | None, Observed], Alarm | None], ...] = (
    _others_paths,
    _unknown_names,
    _shorter_overlap,
    _short_from_the_start,
    _rarer_rotation,
    _another_manager,
    _another_profile,
)


def _findings(head: Manifest, base: Manifest | None, observed: Observed) -> tuple[Alarm, ...]:
    return tuple(found for look in FINDINGS if (found := look(head, base, observed)) is not None)
