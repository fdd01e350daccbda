"""Forget: a person has dealt with a token that the program can't judge.

the token is                                  then
--------------------------------------------  ------------------------------------
named as perhaps made by a derive whose       it is somebody else's from now on,
answer was lost                               and the attempt is forgotten
recorded, in the reserve too, but not listed, it is taken for gone
and its secret is lost (``missing``)
forgotten before                              nothing
anything else                                 refused: there is nothing to forget
"""

from __future__ import annotations

from reconciler.errors import ReconcilerError, UsageError
from reconciler.protocol import Outcome, applied
from reconciler.run.effects import Ask, Stage, Then
from reconciler.run.lease import holding_lease, record
from reconciler.run.session import Session, look_only
from reconciler.state import (
    FORGOTTEN,
    Entry,
    Observed,
    Reserve,
    Retiring,
    Transition,
    forget_missing,
    forget_token,
    lost_in,
)
from reconciler.values import value

LEAST_ID = 4


@value
class Forgettable:
    """What would be forgotten; ``sentence`` says so."""

    token_id: str
    label: str
    sentence: str
    transition: Transition


def find_forgettable(observed: Observed, wanted: str) -> Forgettable | None:
    """Return what this id, or the beginning of one, would forget.

    None where it is forgotten already. UsageError where it fits more than one token;
    ReconcilerError where there is nothing to forget.
    """
    found = {one.token_id: one for one in (*_of_lost(observed), *_of_missing(observed))}
    begins = sorted(i for i in found if i.startswith(wanted) and len(wanted) >= LEAST_ID)
    matches = [wanted] if wanted in found else begins
    if len(matches) > 1:
        raise UsageError(f"{wanted!r} is the beginning of {', '.join(matches)}: give more of it")
    if matches:
        return found[matches[0]]
    rows = [row for row in observed.ledger.closed if row.token_id == wanted]
    if rows and rows[-1].outcome == FORGOTTEN:
        return None
    owner = observed.ledger.known_ids().get(wanted)
    if owner is not None:
        raise ReconcilerError(
            f"{wanted} is a token of {owner}, which the program manages: nothing is to be forgotten"
        )
    raise ReconcilerError(
        f"nothing is remembered that {wanted} could come from: nothing is to be forgotten"
    )


def _of_lost(observed: Observed) -> list[Forgettable]:
    ledger, at_ms = observed.ledger, observed.now_ms
    lost_of = lost_in(ledger)
    return [
        Forgettable(
            token_id=token.token_id,
            label=token.label or "",
            sentence="is somebody else's, and its attempt is forgotten",
            transition=forget_token(token.label or "", token, at_ms=at_ms),
        )
        for token in observed.live
        if lost_of(token) is not None
    ]


def _of_missing(observed: Observed) -> list[Forgettable]:
    listed = observed.live_by_id()
    return [
        Forgettable(
            token_id=token_id,
            label=label,
            sentence="is taken for gone",
            transition=forget_missing(label, token_id, at_ms=observed.now_ms),
        )
        for label, entry in observed.ledger.tokens.items()
        for token_id in _missing(entry)
        if token_id not in listed
    ]


def _missing(entry: Entry) -> list[str]:
    rows: tuple[Retiring | Reserve, ...] = (*entry.retiring, *entry.reserve)
    ids = [row.token_id for row in rows if row.missing_since_ms is not None]
    current = entry.current
    if current is not None and current.missing_since_ms is not None:
        ids.append(current.token_id)
    return ids


def forget_one(session: Session, wanted: str, *, ask: bool) -> Stage[Outcome]:
    """Take a person's word about a token; with ``ask`` a person has to agree first.

    Raises PartialError after a write, ReconcilerError before one.
    """
    observed = yield from look_only(session)
    found = find_forgettable(observed, wanted)
    if found is None:
        return applied("it is forgotten already: nothing to do", wanted)
    if ask and not (yield from Ask(about=f"{found.token_id} ({found.label}) {found.sentence}")):
        raise ReconcilerError("not agreed to: nothing was done")
    begin = session, observed.ledger, observed.ledger_version, _look_again
    return Then(stage=holding_lease, arguments=(*begin, session, found.token_id))


def _look_again(session: Session, token_id: str) -> Stage[Outcome]:
    observed = yield from look_only(session)
    found = find_forgettable(observed, token_id)
    if found is None or found.token_id != token_id:
        raise ReconcilerError(f"{token_id} changed meanwhile: look again")
    yield from record(found.transition)
    return applied(found.sentence, token_id)
