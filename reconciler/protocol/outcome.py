"""What became of one change, and what every step of a run needs to know."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence

from reconciler.protocol.effects import LeaseLost, NotRecorded
from reconciler.state import as_told
from reconciler.values import value


class Ending(enum.Enum):
    """How a change ended."""

    APPLIED = "applied"
    FAILED = "failed"
    HELD = "held"
    NOT_TRIED = "not tried"


@value
class Outcome:
    """The end of one change: one sentence for a person, and the id it is about.

    ``stop`` ends the run: the lease is lost, or the ledger can't be written. ``asked``
    are the ids whose DELETE the exchange answered as if they were gone, ``unclear``
    those whose DELETE had no clear answer, and the only ones that make a change fail: a
    later list decides about both (``settled``). ``revoked`` are the ids that such a
    list has proven to be gone. ``looks_again``: a secret is deleted, and another list
    decides about its token (``emptying``). ``vanished`` are other tokens that lists
    lack since its derive (``ended``).
    """

    status: Ending
    sentence: str
    token_id: str | None = None
    stop: bool = False
    asked: tuple[str, ...] = ()
    unclear: tuple[str, ...] = ()
    revoked: tuple[str, ...] = ()
    looks_again: bool = False
    vanished: tuple[str, ...] = ()

    @property
    def waits(self) -> bool:
        """Whether a later list has to decide about an id of it."""
        return bool(self.asked or self.unclear)


@value
class Run:
    """What is the same for all changes of a run.

    ``profile_id`` is None until an identity told it.
    """

    run: str
    api_url: str
    profile_id: int | None


def applied(sentence: str, token_id: str | None = None) -> Outcome:
    """It is done."""
    return Outcome(status=Ending.APPLIED, sentence=as_told(sentence), token_id=token_id)


def failed(sentence: str, token_id: str | None = None) -> Outcome:
    """It was tried and is not done; the next run goes on from what is recorded."""
    return Outcome(status=Ending.FAILED, sentence=as_told(sentence), token_id=token_id)


def held(sentence: str, token_id: str | None = None) -> Outcome:
    """Looked at more closely, it is not to be done now."""
    return Outcome(status=Ending.HELD, sentence=as_told(sentence), token_id=token_id)


def not_tried(sentence: str) -> Outcome:
    """Never begun."""
    return Outcome(status=Ending.NOT_TRIED, sentence=as_told(sentence))


def unrecorded(reply: LeaseLost | NotRecorded, token_id: str | None = None) -> Outcome:
    """The ledger can't be written any more: the run stops here."""
    final = isinstance(reply, LeaseLost) or reply.final
    return Outcome(status=Ending.FAILED, sentence=reply.sentence, token_id=token_id, stop=final)


def with_revocations(outcome: Outcome, ended: Sequence[Outcome]) -> Outcome:
    """Return the outcome of a change together with those of revocations that it led to.

    The change is failed where one of them is.
    """
    asked = tuple(token_id for one in ended for token_id in one.asked)
    unclear = tuple(token_id for one in ended for token_id in one.unclear)
    wrong = [one for one in ended if one.status is not Ending.APPLIED]
    if any(not one.unclear for one in wrong):
        asked, unclear = (*asked, *unclear), ()
    outcome = dataclasses.replace(outcome, asked=asked, unclear=unclear)
    if not wrong:
        return outcome
    said = "; ".join(f"{one.token_id}: {one.sentence}" for one in wrong)
    return dataclasses.replace(
        outcome,
        status=Ending.FAILED,
        sentence=f"{outcome.sentence}, but {said}",
        stop=any(one.stop for one in wrong),
    )


def settled(outcome: Outcome, gone: frozenset[str]) -> Outcome:
    """Return the outcome once a list has decided: ``gone`` are the ids that it lacks.

    An id that is not proven to be gone makes the change a failed one. One whose DELETE
    had no clear answer, and that is gone, makes it an applied one.
    """
    ids = (*outcome.asked, *outcome.unclear)
    left = [token_id for token_id in ids if token_id not in gone]
    status, sentence = outcome.status, outcome.sentence
    if left:
        status = Ending.FAILED
        sentence += (
            f"; no list of the exchange proves yet that {', '.join(left)} "
            "is gone: later runs look again"
        )
    elif outcome.unclear:
        status = Ending.APPLIED
        plain = outcome.unclear == (outcome.token_id,)
        said = f"{sentence}; {', '.join(outcome.unclear)} is gone all the same"
        sentence = "revoked" if plain else said
    return dataclasses.replace(
        outcome,
        status=status,
        sentence=sentence,
        asked=(),
        unclear=(),
        revoked=tuple(token_id for token_id in ids if token_id in gone),
    )
