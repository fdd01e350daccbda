"""The exchange's limits per credential: two requests in flight, 300 ms between starts.

Rules this module keeps:

1. First come, first served; no credential waits for another.
2. Every turn that was granted is released, by whoever asked for it: until then it
   occupies one of the two places.
"""

from __future__ import annotations

import dataclasses
import math
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

from reconciler.exchange.clock import Seconds
from reconciler.model import SECOND_MS

Sleep = Callable[[float], None]

MAX_IN_FLIGHT = 2  # the exchange's documentation, per token
MIN_GAP_MS = 300  # the same, between two starts
# The exchange measures arrivals, and the second request may travel that much faster.
GAP_SLACK_MS = 10

_GAP_S = (MIN_GAP_MS + GAP_SLACK_MS) / SECOND_MS


class Turn:
    """The right to send a credential's next request.

    ``TokenClient.wait_turn_to_derive`` grants it. Give it to ``derive_token``, which
    uses it up, or release it; a ``with`` block releases it at its end.
    """

    __slots__ = ("_lane", "is_used")

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self.is_used = False

    def release(self) -> None:
        """Let the next request go; may be repeated."""
        self._lane.release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


@dataclasses.dataclass(slots=True)
class _Gap:
    """The distance that is kept between two events; instants are monotonic seconds."""

    next_s: float = -math.inf

    def pass_or_wait_s(self, now_s: float) -> float:
        """Return how long the next event has to wait; 0 lets it pass and counts it."""
        if now_s < self.next_s:
            return self.next_s - now_s
        self.next_s = now_s + _GAP_S
        return 0.0


class Lane:
    """The requests of one credential: who waits, in order, and who has a turn.

    The gap is kept twice. Turns are granted a gap apart, so that a request can be sent
    at once when its turn has come. As connections take differently long to open, and a
    derive writes its intent first, ``hold`` keeps the gap again before the first byte.
    """

    def __init__(self, monotonic: Seconds, sleep: Sleep) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._changed = threading.Condition()
        self._waiting: deque[Turn] = deque()
        self._turns: set[Turn] = set()
        self._between_turns = _Gap()
        self._between_sends = _Gap()

    def wait(self) -> Turn:
        """Block until the next request may start, and return its turn."""
        turn = Turn(self)
        with self._changed:
            self._waiting.append(turn)
        try:
            while (wait_s := self._granted_or_wait_s(turn)) > 0:
                self._sleep(wait_s)
        finally:
            with self._changed:
                self._waiting.remove(turn)
                self._changed.notify_all()
        return turn

    def begin(self, reserved: Turn | None) -> Turn:
        """Return the turn to send with: the reserved one, or a new one after its wait.

        A turn that was used, was released or is another credential's does not count.
        """
        with self._changed:
            if reserved is not None and reserved in self._turns and not reserved.is_used:
                reserved.is_used = True
                return reserved
        turn = self.wait()
        turn.is_used = True
        return turn

    def hold(self) -> None:
        """Block until the gap to the last request's first byte is kept."""
        while (wait_s := self._sent_or_wait_s()) > 0:
            self._sleep(wait_s)

    def postpone(self, delay_s: float) -> None:
        """Grant no turn before the delay, in seconds, is over."""
        with self._changed:
            gap = self._between_turns
            gap.next_s = max(gap.next_s, self._monotonic() + delay_s)

    def release(self, turn: Turn) -> None:
        """Take a turn back; may be repeated."""
        with self._changed:
            self._turns.discard(turn)
            self._changed.notify_all()

    def _granted_or_wait_s(self, turn: Turn) -> float:
        """Wait for the first place in line, and return 0 once the turn is granted."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting[0] is turn and len(self._turns) < MAX_IN_FLIGHT
            )
            wait_s = self._between_turns.pass_or_wait_s(self._monotonic())
            if wait_s == 0:
                self._turns.add(turn)
            return wait_s

    def _sent_or_wait_s(self) -> float:
        with self._changed:
            return self._between_sends.pass_or_wait_s(self._monotonic())
