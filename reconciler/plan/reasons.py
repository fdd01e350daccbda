"""Why a row of the plan is what it is: one small function for each reason.

A label is in one of five situations, each with its own facts and its own reasons:

    facts     in the manifest  current token in the ledger          reasons
    --------  ---------------  -----------------------------------  --------
    Facts     no               none                                 LEFTOVER
    Unwanted  no               one                                  UNWANTED
    Wanted    yes              none                                 MISSING
    Recorded  yes              one that the exchange does not list  UNLISTED
    Listed    yes              one that the exchange lists          LISTED

The reasons of a predecessor are in ``predecessors``, those of a label that left the
manifest in ``leaving``, those about the path of another label in ``places``, those
about a secret that needs no other token in ``stored``.

Rules this module keeps:

1. Gather first: a function sees its facts and nothing else; time is one of them.
2. The first function that answers decides, and the last one always answers. The tuples
   are the table of contents.
3. Reasons explain, actions steer: whoever applies a plan branches on the action only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from reconciler.model import VersionState, iso
from reconciler.plan.due import due, fields_differ
from reconciler.plan.facts import Facts, Finding, Listed, Recorded, Unwanted, Wanted
from reconciler.plan.leaving import LEAVING, returned
from reconciler.plan.names import renamed
from reconciler.plan.places import displaced, occupied
from reconciler.plan.stored import STORED
from reconciler.plan.vocabulary import Action, Reason

# --- what an earlier run left, or another one is at ---


def in_progress(facts: Facts) -> Finding | None:
    """An intent is open, and the run that opened it may still live."""
    other = facts.setting.other_run
    if facts.entry.intent is None or other is None:
        return None
    return Finding(Action.HOLD, Reason.IN_PROGRESS, f"run {other.run} on {other.who}")


def intent_open(facts: Facts) -> Finding | None:
    """An intent is open, and its run is over."""
    intent = facts.entry.intent
    if intent is None:
        return None
    note = f"{intent.kind.value} of {iso(intent.since_ms)}"
    return Finding(Action.RECOVER, Reason.INTENT_OPEN, note)


def revoking_left(facts: Facts) -> Finding | None:
    """Recorded revocations come before anything else that is done to the label.

    One whose DELETE the exchange has answered, or that this run has sent, waits for a
    list, and holds nothing up.
    """
    in_this_run = facts.setting.policy.asked
    asked = all(
        r.asked_at_ms is not None or r.token_id in in_this_run for r in facts.entry.revoking
    )
    return None if asked else Finding(Action.RECOVER, Reason.REVOKING_LEFT)


def placeholder_left(facts: Facts) -> Finding | None:
    """An empty document is left at the path.

    Only a fence writes one, and deletes it by number. One at a path that another
    label's open write names is that write's: it tells what became of it.
    """
    if facts.claimed:
        return None
    if facts.content is not None and facts.content.placeholder:
        return Finding(Action.RECOVER, Reason.PLACEHOLDER_LEFT)
    return None


UNFINISHED = (in_progress, intent_open, revoking_left, placeholder_left)


# --- a label that is not in the manifest, and has no current token ---


def nothing_left(_: Facts) -> Finding | None:
    """Only predecessors are left, which have rows of their own, or a protection."""
    return _KEEP


# --- a label that is in the manifest ---


def twin(facts: Wanted) -> Finding | None:
    """A token that is not ours lives under a label of ours."""
    if not facts.twins or facts.label in facts.setting.policy.replace:
        return None
    return Finding(Action.HOLD, Reason.TWIN, ", ".join(t.token_id for t in facts.twins))


def absent(_: Wanted) -> Finding | None:
    """There is no token yet."""
    return Finding(Action.DERIVE, Reason.ABSENT)


def ends_by_itself(facts: Wanted) -> Finding | None:
    """What would be written at the wanted path ends by itself: nothing is written."""
    if facts.target.life_ms is None:
        return None
    return Finding(Action.HOLD, Reason.ENDS_BY_ITSELF, facts.target.life_text())


def ledger_restored(facts: Recorded) -> Finding | None:
    """The token is gone, and a newer one lives that only a newer ledger knows."""
    born_ms, scopes = facts.current.created_at_ms, facts.spec.scopes
    newer = [t for t in facts.twins if t.created_at_ms > born_ms and t.scopes == scopes]
    if not newer or facts.setting.policy.ledger_restored:
        return None
    return Finding(Action.HOLD, Reason.LEDGER_RESTORED, ", ".join(t.token_id for t in newer))


def revoked_elsewhere(_: Recorded) -> Finding | None:
    """The token is recorded, but not listed.

    Apply believes that only when the stored secret no longer signs.
    """
    return Finding(Action.ROTATE, Reason.REVOKED_ELSEWHERE)


def compromised(facts: Listed) -> Finding | None:
    """A person asked for a rotation without overlap."""
    if facts.setting.policy.compromised and requested(facts) is not None:
        older = ", ".join(r.token_id for r in facts.entry.retiring)
        return Finding(Action.ROTATE, Reason.COMPROMISED, older and f"revokes {older} as well")
    return None


def rolled_back(facts: Listed) -> Finding | None:
    """A person wrote a predecessor's secret again."""
    if facts.content is None or facts.content.token_id is None:
        return None
    if facts.content.token_id in {r.token_id for r in facts.entry.retiring}:
        return Finding(Action.HOLD, Reason.ROLLED_BACK, facts.content.token_id)
    return None


def reserve_in_place(facts: Wanted) -> Finding | None:
    """A person wrote a reserve's secret to the label's path: consumers are given it.

    One that the exchange does not list, that did not sign, or that lies at a path which
    the label is to leave, is as good as anything else that is not ours.
    """
    content, entry = facts.content, facts.entry
    if content is None or facts.path != facts.spec.path or facts.claimed:
        return None
    kept = next((one for one in entry.reserve if one.token_id == content.token_id), None)
    if kept is None or kept.wrong_at == facts.meta.latest:
        return None
    if content.token_id not in facts.setting.listed:
        return None
    return Finding(Action.RECORD, Reason.RESERVE_USED, f"{facts.meta.version_id} of its path")


def scopes_differ(facts: Listed) -> Finding | None:
    """The token may do other things than the manifest says; tokens are immutable."""
    wanted, granted = frozenset(facts.spec.scopes), frozenset(facts.live.scopes)
    if facts.spec.scopes == facts.live.scopes:
        return None
    gained, lost = sorted(wanted - granted), sorted(granted - wanted)
    note = " ".join([*(f"+{s}" for s in gained), *(f"-{s}" for s in lost)])
    if not lost:
        return Finding(Action.ROTATE, Reason.SCOPES_WIDENED, note)
    return Finding(Action.ROTATE, Reason.SCOPES_CHANGED if gained else Reason.SCOPES_NARROWED, note)


def path_changed(facts: Listed) -> Finding | None:
    """The secret is to lie elsewhere; the one at the old path goes with its token."""
    was, wanted = facts.entry.path, facts.spec.path
    if was == wanted:
        return None
    return Finding(Action.ROTATE, Reason.PATH_CHANGED, f"{was} -> {wanted}")


def requested(facts: Listed) -> Finding | None:
    """A person asked for a rotation."""
    if facts.label in facts.setting.policy.requested:
        return Finding(Action.ROTATE, Reason.REQUESTED)
    return None


def secret_lost(facts: Listed) -> Finding | None:
    """No version holds the current token's working secret."""
    if facts.current.unsigned:
        return Finding(Action.ROTATE, Reason.SECRET_LOST, "what Vault holds of it does not sign")
    if facts.current.is_in_place(facts.meta):
        return None
    note = facts.meta.end_text() if facts.meta.state is VersionState.DELETED else ""
    return Finding(Action.ROTATE, Reason.SECRET_LOST, note)


_KEEP = Finding(Action.KEEP, Reason.IN_SYNC)


def in_sync(_: Listed) -> Finding | None:
    """Nothing was found."""
    return _KEEP


LEFTOVER = (*UNFINISHED, nothing_left)
UNWANTED = (*UNFINISHED, *LEAVING)
MISSING = (*UNFINISHED, reserve_in_place, occupied, twin, ends_by_itself, absent)
UNLISTED = (
    *UNFINISHED,
    returned,
    reserve_in_place,
    occupied,
    ledger_restored,
    ends_by_itself,
    revoked_elsewhere,
)
LISTED = (
    *UNFINISHED,
    returned,
    reserve_in_place,
    occupied,
    compromised,
    rolled_back,
    ends_by_itself,
    scopes_differ,
    path_changed,
    displaced,
    renamed,
    requested,
    *STORED,
    secret_lost,
    due,
    fields_differ,
    in_sync,
)


F = TypeVar("F")


def first(reasons: Sequence[Callable[[F], Finding | None]], facts: F) -> Finding:
    """Return what the first function that answers says."""
    for reason in reasons:
        finding = reason(facts)
        if finding is not None:
            return finding
    raise AssertionError("the last reason always answers")


def finding_of(facts: Facts) -> Finding:
    """Return what is to be done about a label, and why."""
    match facts:
        case Listed():
            return first(LISTED, facts)
        case Recorded():
            return first(UNLISTED, facts)
        case Wanted():
            return first(MISSING, facts)
        case Unwanted():
            return first(UNWANTED, facts)
        case _:
            return first(LEFTOVER, facts)
