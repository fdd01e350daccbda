"""What became of one change, and what every step of a run needs to know."""

from __future__ import annotations

import enum

from reconciler.protocol.effects import LeaseLost, NotRecorded, value


class Ending(enum.Enum):
    """How a change ended."""

    APPLIED = "applied"
    FAILED = "failed"
    HELD = "held"
    NOT_TRIED = "not tried"


@value
class Outcome:
    """The end of one change: one sentence for a person, and the id it is about.

    ``stop`` ends the run: the lease is lost, or the ledger can't be written.
    """

    status: Ending
    sentence: str
    token_id: str | None = None
    stop: bool = False


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
    return Outcome(status=Ending.APPLIED, sentence=sentence, token_id=token_id)


def failed(sentence: str, token_id: str | None = None) -> Outcome:
    """It was tried and is not done; the next run goes on from what is recorded."""
    return Outcome(status=Ending.FAILED, sentence=sentence, token_id=token_id)


def held(sentence: str, token_id: str | None = None) -> Outcome:
    """Looked at more closely, it is not to be done now."""
    return Outcome(status=Ending.HELD, sentence=sentence, token_id=token_id)


def not_tried(sentence: str) -> Outcome:
    """Never begun."""
    return Outcome(status=Ending.NOT_TRIED, sentence=sentence)


def unrecorded(reply: LeaseLost | NotRecorded, token_id: str | None = None) -> Outcome:
    """The ledger can't be written any more: the run stops here."""
    final = isinstance(reply, LeaseLost) or reply.final
    return Outcome(status=Ending.FAILED, sentence=reply.sentence, token_id=token_id, stop=final)
