"""The life of a token in the ledger: which transition leads from where to where.

``MOVES`` is the table. ``docs/architecture.md`` draws it, and a test holds both the
drawing and the ledger's transitions to it: a move that is missing here, or one that no
transition makes, fails the test.

A token is at one stage of its label's entry at a time:

=========  ============================================================
absent     the ledger does not know it
reserve    it is kept ready, and nobody is meant to hold it yet
intent     the write that makes it was begun, and may name its id
current    consumers are meant to hold it
leaving    its label left the manifest, and it lives on for its overlap;
           then its secret is deleted, and it waits for another list
retiring   its successor is recorded, and it lives on for its overlap;
           the same then, where nobody owns its path
revoking   it is to go, whatever happens; only one that was interrupted
           comes back, where somebody uses it
closed     it is gone from the exchange, or was never made
released   it lives on as somebody else's, and may be adopted again
=========  ============================================================
"""

from __future__ import annotations

import enum
from typing import NamedTuple


class Stage(enum.Enum):
    """Where a token stands in the ledger."""

    ABSENT = "absent"
    INTENT = "intent"
    RESERVE = "reserve"
    CURRENT = "current"
    LEAVING = "leaving"
    RETIRING = "retiring"
    REVOKING = "revoking"
    CLOSED = "closed"
    RELEASED = "released"


class Move(NamedTuple):
    """One way from stage to stage, and the transition of the ledger that makes it."""

    before: Stage
    transition: str
    after: Stage


MOVES = (
    Move(Stage.ABSENT, "open_intent", Stage.INTENT),
    Move(Stage.INTENT, "record_current", Stage.CURRENT),
    Move(Stage.INTENT, "record_stocked", Stage.RESERVE),
    Move(Stage.INTENT, "retire_intent", Stage.RETIRING),
    Move(Stage.INTENT, "drop_intent", Stage.REVOKING),
    Move(Stage.INTENT, "close_intent", Stage.CLOSED),
    Move(Stage.INTENT, "abandon_intent", Stage.CLOSED),
    Move(Stage.RESERVE, "record_promoted", Stage.CURRENT),
    Move(Stage.RESERVE, "record_in_place", Stage.CURRENT),
    Move(Stage.RESERVE, "drop_reserve", Stage.REVOKING),
    Move(Stage.RESERVE, "give_up_reserve", Stage.REVOKING),
    Move(Stage.RESERVE, "forget_missing", Stage.CLOSED),
    Move(Stage.RESERVE, "release_labels", Stage.RELEASED),
    Move(Stage.CURRENT, "record_promoted", Stage.RETIRING),
    Move(Stage.CURRENT, "record_promoted", Stage.REVOKING),
    Move(Stage.CURRENT, "record_promoted", Stage.CLOSED),
    Move(Stage.RETIRING, "record_promoted", Stage.REVOKING),
    Move(Stage.CURRENT, "record_in_place", Stage.RETIRING),
    Move(Stage.CURRENT, "record_current", Stage.RETIRING),
    Move(Stage.CURRENT, "record_current", Stage.REVOKING),
    Move(Stage.CURRENT, "record_current", Stage.CLOSED),
    Move(Stage.CURRENT, "start_revoking", Stage.REVOKING),
    Move(Stage.CURRENT, "note_left", Stage.LEAVING),
    Move(Stage.LEAVING, "note_returned", Stage.CURRENT),
    Move(Stage.LEAVING, "start_revoking", Stage.REVOKING),
    Move(Stage.LEAVING, "forget_missing", Stage.CLOSED),
    Move(Stage.RETIRING, "record_current", Stage.CURRENT),
    Move(Stage.RETIRING, "record_current", Stage.REVOKING),
    Move(Stage.RETIRING, "start_revoking", Stage.REVOKING),
    Move(Stage.CURRENT, "forget_missing", Stage.CLOSED),
    Move(Stage.RETIRING, "forget_missing", Stage.CLOSED),
    Move(Stage.REVOKING, "close_revoking", Stage.CLOSED),
    Move(Stage.REVOKING, "spare_revoking", Stage.RETIRING),
    Move(Stage.CLOSED, "reopen_revoking", Stage.REVOKING),
    Move(Stage.CURRENT, "release_labels", Stage.RELEASED),
    Move(Stage.LEAVING, "release_labels", Stage.RELEASED),
    Move(Stage.RETIRING, "release_labels", Stage.RELEASED),
    Move(Stage.RELEASED, "record_current", Stage.CURRENT),
)
"""Every move that there is, each once.

Recording a successor moves its predecessor too: to retiring as a rule; to revoking
where it is compromised, with those that retire already; to closed where somebody else
has revoked it. A rollback records a retiring token as current again.
"""
