"""The exchange's limits: per credential two requests in flight, and 300 ms between two starts.

Rules this module keeps:

1. First come, first served; no credential waits for another.
2. Nothing leaks: a turn that is neither used nor released lapses, an idle credential is
   forgotten.
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
# the exchange measures arrivals: the second request may travel that much faster than
# the first
GAP_SLACK_MS = 10
TURN_LIMIT_S = 60.0  # a turn that was reserved and neither used nor released lapses

_GAP_S = (MIN_GAP_MS + GAP_SLACK_MS) / SECOND_MS
_LOOK_AGAIN_S = 1.0  # a lapsed turn wakes nobody, so waiters look for it now and then


class Turn:
    """The right to send the identity's next request, from ``TokenClient.wait_turn_to_derive``.

    Give it to ``derive_token``, which uses it up, or release it; as a context manager
    it does so itself. It can't leak: left alone it lapses after ``TURN_LIMIT_S``, and a
    derive given a lapsed, used or foreign turn waits for another one.
    """

    __slots__ = ("_pacer", "begun", "credential", "granted_at_s")

    def __init__(self, pacer: Pacer, credential: str) -> None:
        self._pacer = pacer
        self.credential = credential
        self.granted_at_s = math.inf
        self.begun = False

    def release(self) -> None:
        """Let others go on; may be repeated."""
        self._pacer.release(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


@dataclasses.dataclass(slots=True, eq=False, kw_only=True)
class _Lane:
    """The requests of one credential: who waits, in order, and who has a turn.

    Instants are monotonic seconds.
    """

    changed: threading.Condition
    waiting: deque[Turn] = dataclasses.field(default_factory=deque)
    turns: set[Turn] = dataclasses.field(default_factory=set)
    next_turn_s: float = -math.inf
    next_send_s: float = -math.inf

    def is_full(self, now_s: float) -> bool:
        """Whether as many turns are out as the exchange allows requests in flight; lapsed ones no longer count."""
        self.drop_lapsed(now_s)
        return len(self.turns) >= MAX_IN_FLIGHT

    def drop_lapsed(self, now_s: float) -> None:
        """Forget turns that were reserved long ago and never used."""
        self.turns = {
            turn for turn in self.turns if turn.begun or now_s - turn.granted_at_s < TURN_LIMIT_S
        }

    def is_idle(self, now_s: float) -> bool:
        """Whether forgetting the lane changes nothing."""
        self.drop_lapsed(now_s)
        return (
            not self.waiting and not self.turns and now_s >= max(self.next_turn_s, self.next_send_s)
        )


class Pacer:
    """Keeps each credential within the exchange's limits: first come, first served, and no credential waits for another.

    Turns are given out a gap apart, before a request is signed and its connection
    opened; as connections take differently long to open, ``hold`` keeps the gap once
    more right before the request's first byte.
    """

    def __init__(self, monotonic: Seconds, sleep: Sleep) -> None:
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock = threading.Lock()
        self._lanes: dict[str, _Lane] = {}

    def wait(self, credential: str) -> Turn:
        """Block until the credential's next request may start.

        To be released in any case.
        """
        turn = Turn(self, credential)
        lane = self._join(turn)
        try:
            while (wait_s := self._seconds_to_go(lane, turn)) > 0:
                self._sleep(wait_s)
        finally:
            self._leave(lane, turn)
        return turn

    def begin(self, turn: Turn, credential: str) -> bool:
        """Use a turn; False if it is used, released or lapsed already, or another credential's."""
        with self._lock:
            lane = self._lanes.get(credential)
            if lane is None or turn.begun:
                return False
            lane.drop_lapsed(self._monotonic())
            turn.begun = turn in lane.turns
            return turn.begun

    def hold(self, turn: Turn) -> None:
        """Block until the gap to the credential's last request is kept; to be called right before sending."""
        lane = self._lanes[turn.credential]
        while True:
            with self._lock:
                now_s = self._monotonic()
                wait_s = lane.next_send_s - now_s
                if wait_s <= 0:
                    lane.next_send_s = now_s + _GAP_S
                    return
            self._sleep(wait_s)

    def postpone(self, turn: Turn, delay_s: float) -> None:
        """Let nobody of the turn's credential start before the delay is over."""
        with self._lock:
            lane = self._lanes[turn.credential]
            lane.next_turn_s = max(lane.next_turn_s, self._monotonic() + delay_s)

    def release(self, turn: Turn) -> None:
        """Give a turn back; may be repeated."""
        with self._lock:
            lane = self._lanes.get(turn.credential)
            if lane is not None:
                lane.turns.discard(turn)
                lane.changed.notify_all()

    def _join(self, turn: Turn) -> _Lane:
        with self._lock:
            now_s = self._monotonic()
            self._lanes = {
                name: lane for name, lane in self._lanes.items() if not lane.is_idle(now_s)
            }
            lane = self._lanes.setdefault(
                turn.credential, _Lane(changed=threading.Condition(self._lock))
            )
            lane.waiting.append(turn)
            return lane

    def _leave(self, lane: _Lane, turn: Turn) -> None:
        with self._lock:
            lane.waiting.remove(turn)
            lane.changed.notify_all()

    def _seconds_to_go(self, lane: _Lane, turn: Turn) -> float:
        """Wait until the turn is the first in line and a place is free; 0 once it is granted."""
        with self._lock:
            while lane.waiting[0] is not turn or lane.is_full(self._monotonic()):
                lane.changed.wait(_LOOK_AGAIN_S)
            now_s = self._monotonic()
            if now_s < lane.next_turn_s:
                return lane.next_turn_s - now_s
            turn.granted_at_s = now_s
            lane.turns.add(turn)
            lane.next_turn_s = now_s + _GAP_S
            return 0.0
