"""Why the token of a label that left the manifest is held, retired or revoked.

    the overlap  recorded as left  then
    -----------  ----------------  -----------------------------------------------------
    some         no                retire: the ledger remembers when the label left
    some         within it         hold: its secret stays readable
    some         before that       revoke, unless somebody may have used it within a
                                   time as long as the overlap
    none         any               the same at once, with an hour for the overlap

A token that the exchange does not list has no overlap, nor has one that --revoke-now
names. Where it is to be revoked, its secret goes first, and a later list decides once
more (``emptied``). A label that is in the manifest again is recorded as ``returned``
before anything else is done about it.

The rules are those of ``reasons``.
"""

from __future__ import annotations

from reconciler.model import iso
from reconciler.plan.emptied import hidden_until
from reconciler.plan.facts import Facts, Finding, Recorded, Unwanted
from reconciler.plan.setting import DEFAULT_OVERLAP_MS, IN_USE_MS, PROMPT_MS
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state import never_used


def file_missing(facts: Unwanted) -> Finding | None:
    """The line may stand in the file that is missing."""
    names = ", ".join(facts.setting.files_missing)
    return Finding(Action.HOLD, Reason.FILE_MISSING, names) if names else None


def protected(facts: Unwanted) -> Finding | None:
    """The ledger remembers the protection: removing the line does not remove it."""
    return Finding(Action.HOLD, Reason.PROTECTED) if facts.entry.protect else None


def retires(facts: Unwanted) -> Finding | None:
    """The line has left the file: from now on the token lives through its overlap.

    Without an overlap nothing is waited for, and a token that is gone needs none.
    """
    waits = facts.live is not None and _quiet_ms(facts) > 0
    if facts.current.left_ms is not None or not waits:
        return None
    return Finding(Action.RETIRE, Reason.NOT_DESIRED)


def leaving(facts: Unwanted) -> Finding | None:
    """Its overlap is not over, or a use at its end may not be shown yet."""
    left_ms, quiet_ms = facts.current.left_ms, _quiet_ms(facts)
    if facts.live is None or left_ms is None or quiet_ms == 0:
        return None
    ends_ms = left_ms + quiet_ms + (facts.setting.doubt_within(quiet_ms) or 0)
    if facts.setting.now_ms >= ends_ms:
        return None
    return Finding(Action.HOLD, Reason.LEAVING, f"until {iso(ends_ms)}")


def _quiet_ms(facts: Unwanted) -> int:
    """Return for how long a token lives on after its label left."""
    return 0 if facts.label in facts.setting.policy.revoke_now else _overlap_ms(facts)


def unproven(facts: Unwanted) -> Finding | None:
    """What the exchange shows of uses does not prove that nobody uses it."""
    if facts.live is None or facts.setting.doubt_within(_overlap_ms(facts)) is not None:
        return None
    return Finding(Action.HOLD, Reason.UNPROVEN, facts.setting.doubt_text)


def in_use(facts: Unwanted) -> Finding | None:
    """Somebody may have used it within its overlap.

    A token that nobody but us was ever shown to use is excepted, where uses are shown
    promptly. Elsewhere a use soon after ours may never be shown.
    """
    live, policy = facts.live, facts.setting.policy
    if live is None or live.last_used_at_ms is None or policy.revoke_in_use:
        return None
    quiet_ms = max(IN_USE_MS, _quiet_ms(facts))
    doubt_ms = facts.setting.doubt_within(quiet_ms) or 0
    if doubt_ms <= PROMPT_MS and never_used(facts.current, live):
        return None
    quiet_ms += doubt_ms
    if facts.setting.now_ms - live.last_used_at_ms < quiet_ms:
        return Finding(Action.HOLD, Reason.IN_USE, f"last used {iso(live.last_used_at_ms)}")
    return None


def emptied(facts: Unwanted) -> Finding | None:
    """Its secret is deleted, and a use from before that may not be shown yet."""
    return hidden_until(
        facts.entry,
        facts.current.token_id,
        looks_again_ms(facts),
        now_ms=facts.setting.now_ms,
        reason=Reason.LEAVING,
    )


def looks_again_ms(facts: Unwanted) -> int | None:
    """Return how long after its secret is deleted a list decides once more.

    As in ``Evidence``.
    """
    policy = facts.setting.policy
    if facts.live is None or policy.revoke_in_use:
        return None
    if facts.label in policy.revoke_now:
        return 0
    return facts.setting.doubt_within(_overlap_ms(facts)) or 0


def _overlap_ms(facts: Facts) -> int:
    kept = facts.entry.overlap_ms
    return DEFAULT_OVERLAP_MS if kept is None else kept


def signs(facts: Unwanted) -> Finding | None:
    """The former manager's token signs: without it nothing could be revoked."""
    if facts.current.token_id == facts.setting.signer_id:
        return Finding(Action.HOLD, Reason.SIGNS)
    return None


def missing(facts: Unwanted) -> Finding | None:
    """It is not listed, and its secret is lost: nobody can ask whether it lives."""
    since_ms = None if facts.live is not None else facts.current.missing_since_ms
    note = f"since {iso(since_ms or 0)}"
    return Finding(Action.HOLD, Reason.MISSING, note) if since_ms is not None else None


def left(facts: Unwanted) -> Finding | None:
    """A run has recorded that the line left the file, and nobody uses the token."""
    known = facts.current.left_ms is not None and _quiet_ms(facts) > 0
    return Finding(Action.REVOKE, Reason.LEFT) if known else None


def not_desired(_: Unwanted) -> Finding | None:
    """The line has left the file, and there is no overlap."""
    return Finding(Action.REVOKE, Reason.NOT_DESIRED)


def returned(facts: Recorded) -> Finding | None:
    """A run has recorded that the label had left the manifest."""
    if facts.current.left_ms is None:
        return None
    return Finding(Action.RECORD, Reason.RETURNED, f"had left {iso(facts.current.left_ms)}")


LEAVING = (
    file_missing,
    protected,
    signs,
    missing,
    retires,
    leaving,
    unproven,
    in_use,
    emptied,
    left,
    not_desired,
)
