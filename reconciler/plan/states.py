"""The states of a label, by the reason of the planner's row.

The table of contents:

    the planner's row for the label                             state
    ----------------------------------------------------------  ----------------------
    keep, no predecessor lives                                  ok
    keep, a predecessor lives                                   draining
    rotate (due), hold (window, budget, piled_up)               due; overdue a day and a
                                                                whole window later
    rotate (scopes, path, name), rename, record                 drifted
    rotate (gone, lost), restore; hold (hold_broken)            broken
    hold (waits_for), and its token is gone or its secret lost  broken
    derive                                                      absent
    recover                                                     interrupted
    hold (in_progress, name_waits)                              in progress
    hold that only a person resolves                            waiting for a person
    any other hold                                              held
    retire, revoke or hold because it left the manifest, or     not desired
    only predecessors are left
"""

from __future__ import annotations

import enum

from reconciler.plan.vocabulary import Reason


class State(enum.Enum):
    """How a label stands."""

    OK = "ok"
    DRAINING = "draining"
    DUE = "due"
    OVERDUE = "overdue"
    DRIFTED = "drifted"
    BROKEN = "broken"
    ABSENT = "absent"
    INTERRUPTED = "interrupted"
    IN_PROGRESS = "in progress"
    WAITING = "waiting for a person"
    HELD = "held"
    NOT_DESIRED = "not desired"


FOR_AN_APPLY = (State.ABSENT, State.DRIFTED, State.DUE, State.INTERRUPTED, State.NOT_DESIRED)
"""Those of a label that an apply has something to change about, by itself."""


_REASONS: dict[State, tuple[Reason, ...]] = {
    State.INTERRUPTED: (
        Reason.INTENT_OPEN,
        Reason.REVOKING_LEFT,
        Reason.REVOKED_LIVES,
        Reason.PLACEHOLDER_LEFT,
        Reason.RESERVE_LEFT,
    ),
    State.IN_PROGRESS: (Reason.IN_PROGRESS, Reason.NAME_WAITS),
    State.HELD: (
        Reason.FILE_MISSING,
        Reason.PROTECTED,
        Reason.IN_USE,
        Reason.SIGNS,
        Reason.UNREAD,
        Reason.STILL_LISTED,
        Reason.MISSING,
        Reason.WAITS_FOR,
        Reason.HOLD_UNTIL,
    ),
    State.NOT_DESIRED: (Reason.NOT_DESIRED, Reason.LEAVING, Reason.LEFT),
    State.WAITING: (
        Reason.SCOPES_GRANTED,
        Reason.OCCUPIED,
        Reason.NAME_TAKEN,
        Reason.PATH_TAKEN,
        Reason.TWIN,
        Reason.ROLLED_BACK,
        Reason.ENDS_BY_ITSELF,
        Reason.LEDGER_RESTORED,
        Reason.RESERVE_USED,
    ),
    State.ABSENT: (Reason.ABSENT,),
    State.BROKEN: (
        Reason.REVOKED_ELSEWHERE,
        Reason.SECRET_MOVED,
        Reason.SECRET_LOST,
        Reason.HOLD_BROKEN,
    ),
    State.DRIFTED: (
        Reason.SCOPES_WIDENED,
        Reason.SCOPES_NARROWED,
        Reason.SCOPES_CHANGED,
        Reason.PATH_CHANGED,
        Reason.NAME_CHANGED,
        Reason.RENAMED,
        Reason.RETURNED,
        Reason.VERSION_MOVED,
        Reason.WILL_END,
        Reason.FIELDS,
        Reason.PROTECT_ON,
        Reason.PROTECT_OFF,
        Reason.FILES,
    ),
    State.DUE: (
        Reason.REQUESTED,
        Reason.COMPROMISED,
        Reason.DUE,
        Reason.WINDOW,
        Reason.BUDGET,
        Reason.PILED_UP,
    ),
    State.OK: (
        Reason.IN_SYNC,
        Reason.RESERVE_SHORT,
        Reason.RESERVE_ENDS,
        Reason.RESERVE_CAPPED,
        Reason.RESERVE_AGED,
        Reason.RESERVE_UNFIT,
        Reason.RESERVE_SURPLUS,
        Reason.RESERVE_LOST,
    ),
    State.DRAINING: (
        Reason.OVERLAP,
        Reason.STILL_USED,
        Reason.UNPROVEN,
        Reason.SUCCESSOR_UNUSED,
        Reason.SUPERSEDED,
    ),
}

STATES = {reason: state for state, reasons in _REASONS.items() for reason in reasons}
"""The state that a row of this reason gives its label."""


def state_by(reason: Reason, *, works: bool) -> State:
    """Return the state of a label by its own row's reason.

    ``works``: its token lives, and the secret is in place. Without that a label that
    waits for a path is broken: the one that has it may be held for weeks.
    """
    return State.BROKEN if reason is Reason.WAITS_FOR and not works else STATES[reason]
