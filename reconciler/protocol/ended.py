"""What a derive has ended: tokens that the list before it had, and no list after it.

    it is                                  then
    -------------------------------------  --------------------------------------------
    a current token, or another one that   this run derives no more; its row fails,
    is to live on (``standing``)           unless it was the predecessor's own
    any other, be it somebody else's       its row names it, and this run stocks only
                                           where there is room (``state.capped``)
    somebody else's, and older ones stay   its row names it: another manifest of the
                                           profile may have revoked it just then
    revoked by us, or known to have ended  nothing

Absence is a hint, so the new token asks for one more list. How many tokens live by then
is remembered with the record, whatever the row is. A new token that can't be verified,
or is not what was asked for, goes again, and nothing is looked for.
"""

from __future__ import annotations

import dataclasses

from reconciler.model import Credentials
from reconciler.plan import NewToken
from reconciler.protocol.effects import (
    Listing,
    Now,
    Recorded,
    Step,
    StopDeriving,
    VerifyToken,
    WriteLedger,
)
from reconciler.protocol.outcome import Ending, Outcome
from reconciler.state import Cap, Ledger, Transition, note_ended, unexplained
from reconciler.values import value


@value
class Gone:
    """Tokens that vanished while one was derived, and how many lived after that.

    Of these ``telling`` are those whose end the derive explains, and nothing else does.
    """

    token_ids: frozenset[str]
    telling: frozenset[str]
    cap: Cap


def find_ended(
    task: NewToken, before: Listing, checked: Listing, signer: Credentials, ledger: Ledger
) -> Step[Gone | None]:
    """Return what vanished while a token was derived, None where nothing did.

    ``checked`` is the list that the new token, ``signer``, was verified by. Where what
    vanished was to live on, this run derives no more.
    """
    had = before.ids | task.standing
    if not unexplained(ledger, had - checked.ids):
        return None
    again = yield from VerifyToken(credentials=signer)
    shown = checked.ids | (again.ids if isinstance(again, Listing) else frozenset())
    ended = unexplained(ledger, had - shown)
    if not ended:
        return None
    lived = again.lived if isinstance(again, Listing) else checked.lived
    standing = sorted(task.standing.intersection(ended))
    if standing:
        sentence = f"{', '.join(standing)} vanished while {task.spec.label} was derived"
        yield from StopDeriving(sentence=sentence)
    now_ms = yield from Now()
    telling = _telling(frozenset(ended), before, task.standing | ledger.known_ids().keys())
    return Gone(token_ids=frozenset(ended), telling=telling, cap=Cap(lived=lived, at_ms=now_ms))


def _telling(ended: frozenset[str], before: Listing, ours: frozenset[str]) -> frozenset[str]:
    """Return what only the derive can have ended.

    Of somebody else's that is what was older than all that stay: an exchange would take
    the oldest, and what a neighbour's run has replaced is seldom that one.
    """
    staying = (t.created_at_ms for t in before.tokens if t.token_id not in ended)
    oldest_ms = min(staying, default=None)
    old = {
        t.token_id
        for t in before.tokens
        if t.token_id in ended and (oldest_ms is None or t.created_at_ms <= oldest_ms)
    }
    return ended & (ours | old)


def noting(step: Transition, gone: Gone | None) -> Transition:
    """Return the step that records a token, behind the note of what its derive ended.

    The record itself may revoke the predecessor, which would explain its end.
    """
    if gone is None:
        return step
    return lambda ledger: step(note_ended(gone.telling, gone.cap)(ledger))


def end_noting(outcome: Outcome, task: NewToken, gone: Gone | None) -> Step[Outcome]:
    """Return the outcome of a derive whose token is not recorded, once that is noted.

    Where that can't be written, nor can what comes next.
    """
    if gone is None:
        return outcome
    reply = yield from WriteLedger(transition=note_ended(gone.telling, gone.cap))
    return naming(outcome, task, gone, reply.ledger) if isinstance(reply, Recorded) else outcome


def naming(outcome: Outcome, task: NewToken, gone: Gone | None, ledger: Ledger) -> Outcome:
    """Return the outcome of a derive, which names what vanished meanwhile."""
    if gone is None:
        return outcome
    own = task.listed_predecessor & gone.token_ids  # its record may revoke it
    ended = tuple(sorted(own.union(unexplained(ledger, gone.token_ids))))
    if not ended:
        return outcome
    others = task.standing.intersection(ended) - task.listed_predecessor
    return dataclasses.replace(
        outcome,
        status=Ending.FAILED if others else outcome.status,
        sentence=f"{outcome.sentence}, but {', '.join(ended)} vanished meanwhile",
        vanished=ended,
    )
