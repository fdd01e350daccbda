"""The same call again, where Vault is busy or out of reach for a moment.

A write with check-and-set, and a delete that names its version, may be sent any number
of times: they are done once. So what stands between a busy Vault and a lost secret is
patience.

    the reply                     then
    ----------------------------  ----------------------------------------------------
    done, mismatch, or a refusal  it is the answer
    that is meant
    busy, and says for how long   wait as long, if the bound allows, and send it again
    busy, or the bound does not   wait a while that doubles each time, and send it
    allow it                      again
    busy, the bound is reached    it is the answer: what became of the call is settled
                                  by reading
"""

from __future__ import annotations

from typing import TypeVar

from reconciler.model import SECOND_MS
from reconciler.protocol.effects import Effect, Refused, Sleep, Step, Unclear

R = TypeVar("R")

PAUSES_MS = (250, 500, 1000, 2000, 4000, 8000)
"""The least that is waited before each further call."""

BOUND_MS = 60 * SECOND_MS
"""The most that is waited for one call: what a quota of a minute asks for."""


class Patience:
    """The pauses that are left for one call, or for several that belong together."""

    def __init__(self, bound_ms: int = BOUND_MS) -> None:
        self._left_ms = bound_ms
        self._pauses = iter(PAUSES_MS)

    def pause_ms(self, reply: object) -> int | None:
        """Return how long to wait before the same call may succeed.

        None where it will not, or where the end of patience is reached.
        """
        if not isinstance(reply, (Refused, Unclear)) or reply.again_after_ms is None:
            return None
        least_ms = next(self._pauses, None)
        if least_ms is None:
            return None
        asked_ms = reply.again_after_ms
        pause_ms = max(least_ms, asked_ms if asked_ms <= self._left_ms else 0)
        if pause_ms > self._left_ms:
            return None
        self._left_ms -= pause_ms
        return pause_ms


def until_answered(effect: Effect[R]) -> Step[R]:
    """Ask for an effect that may be repeated, again while Vault is busy."""
    patience = Patience()
    while True:
        reply = yield from effect
        pause_ms = patience.pause_ms(reply)
        if pause_ms is None:
            return reply
        yield from Sleep(ms=pause_ms)
