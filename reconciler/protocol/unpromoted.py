"""What becomes of a promotion that was not committed: its intent is closed, no more.

    the write                       then
    ------------------------------  ----------------------------------------------------
    was never sent                  ledger: the intent is closed
    was fenced                      the fence's placeholder is deleted, then the same
    was there, and was taken away   the same; the reserve is fresh no more, because
                                    somebody may have read it

The reserve stays in any case: it lived before the intent.
"""

from __future__ import annotations

from reconciler.protocol.commit import NotCommitted, TakenAway, delete_placeholder
from reconciler.protocol.effects import Now, Recorded, Step, WriteLedger
from reconciler.protocol.outcome import Outcome, failed, unrecorded
from reconciler.protocol.undo import fenced_version
from reconciler.state import Intent, Ledger, close_promotion


def close_unsent(
    label: str, intent: Intent, outcome: Outcome, *, lost: bool = False
) -> Step[Outcome]:
    """Close an intent whose write was never sent."""
    closed = yield from _closing(label, intent, NotCommitted(version=intent.cas), lost=lost)
    return outcome if closed is None else closed


def undo_promotion(
    label: str, intent: Intent, verdict: NotCommitted | TakenAway
) -> Step[Outcome | None]:
    """Close the intent of a promotion that was not committed; None once it is closed.

    The placeholder of a fence goes first.
    """
    if isinstance(verdict, NotCommitted) and verdict.empty is not None:
        left = yield from delete_placeholder(intent.path, verdict.empty)
        if left is not None:
            return failed(left.sentence)
    return (yield from _closing(label, intent, verdict))


def _closing(
    label: str, intent: Intent, verdict: NotCommitted | TakenAway, *, lost: bool = False
) -> Step[Outcome | None]:
    at_ms = yield from Now()

    def transition(ledger: Ledger) -> Ledger:
        taken, version = isinstance(verdict, TakenAway), None
        if isinstance(verdict, NotCommitted):
            version = fenced_version(ledger, intent.path, verdict)
        close = close_promotion(label, intent, at_ms=at_ms, version=version, taken=taken, lost=lost)
        return close(ledger)

    reply = yield from WriteLedger(transition=transition)
    return None if isinstance(reply, Recorded) else unrecorded(reply)
