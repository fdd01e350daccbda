"""A token whose secret is still readable at a path that nobody owns: two looks.

    what ends it                        its path                   then
    ----------------------------------  -------------------------  --------------------
    a person (compromised, or a token   any                        no look at uses
    in use), or it is not listed, or
    it is the manager's predecessor
    evidence                            holds another's secret     one look, as before
    evidence                            holds its secret           ``protocol.emptying``
    evidence                            emptied, a use from        hold until a list
                                        before may not be shown    shows it
    evidence                            emptied before that        this look is the
                                                                   second one

A consumer may read a secret right after the first look. Once it is deleted nobody can,
so a list of later than that, by as much as uses may be shown late, decides. With
``--revoke-now`` nothing is waited for: a list right after the deletion decides.
"""

from __future__ import annotations

from reconciler.model import SECOND_MS, iso
from reconciler.plan.facts import Finding, Listed
from reconciler.plan.vocabulary import Action, Reason
from reconciler.state import Entry, emptied_of

LOOK_AGAIN_MOST_MS = 10 * SECOND_MS
"""A run waits for so long at most until a use would be shown."""


def hidden_until(
    entry: Entry, token_id: str, again_ms: int | None, *, now_ms: int, reason: Reason
) -> Finding | None:
    """Hold a token while a use from before its secret was deleted may not be shown.

    ``again_ms`` is as in ``Evidence``.
    """
    row = emptied_of(entry, token_id)
    if again_ms is None or row is None or row.at_ms is None:
        return None
    ends_ms = row.at_ms + again_ms
    if now_ms >= ends_ms - LOOK_AGAIN_MOST_MS:
        return None  # the run waits for the rest
    return Finding(Action.HOLD, reason, f"its secret is deleted; until {iso(ends_ms)}")


def may_be_emptied(facts: Listed) -> Finding | None:
    """A run that stood still may yet delete its version, because the label had left."""
    announced = emptied_of(facts.entry, facts.current.token_id) is not None
    if not announced or not facts.current.is_in_place(facts.meta):
        return None
    return Finding(Action.RESTORE, Reason.RETURNED, "its version was to be deleted")
