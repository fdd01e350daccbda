"""How fast requests leave: for each credential, and for the process as a whole.

    what is kept                    for a credential     for all of them together
    ------------------------------  -------------------  -----------------------------
    requests in flight, at most     2                    4
    between two starts              300 ms and a slack   10 starts in any second, and
                                                         3 at once
    before the first start          300 ms since another -
                                    process may have
                                    sent (``leave_gap``)
    after a 429                     its Retry-After, or  the same, where it came with a
                                    a growing pause      page or two credentials got one

The exchange measures arrivals, and the path is not always equally long. So the slack is
what the path is seen to vary: a request that is answered has arrived by then, and the
next one leaves a gap later, less what every trip takes. While an answer is out, the
next one waits for it, but for no longer than ``SLACK_MAX_S``. A 429 adds to the slack
for a minute.

Rules this module keeps:

1. First come, first served; no credential waits for another, save by the pace of all.
2. Every turn that was granted is released, by whoever asked for it: until then it
   occupies one of the two places.
3. Nobody waits longer than a minute: whoever would have to is told how long it takes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from reconciler.exchange.clock import Seconds
from reconciler.model import SECOND_MS

Sleep = Callable[[float], None]

MAX_IN_FLIGHT = 2  # the exchange's documentation, per token
MIN_GAP_MS = 300  # the same, between two starts
GAP_SLACK_MS = 1  # a server may count whole milliseconds
SLACK_MAX_S = 0.12

_GAP_S = (MIN_GAP_MS + GAP_SLACK_MS) / SECOND_MS

PAUSE_MAX_S = 60.0
"""A longer pause is not waited for: whoever asked is told when to come back."""

SOON_S = 2.0
ALL_IN_FLIGHT = 4
STARTS = 10  # in any such second
SECOND_S = 1.0
STARTS_AT_ONCE = 3
LATE_S = 0.05

BUSY_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""After the first, second, … 429 in a row that asks for no pause of its own."""
BUSY_SLACKS_S = (0.05, 0.1, 0.2)
BUSY_FOR_S = 60.0  # that long a 429 is remembered
TOGETHER_S = 10.0  # within that, two credentials' 429 are the host's

_LOOK_S = 0.005
_STOPPED_S = 0.25
_TRIPS = 32
_TRIPS_LEAST = 12  # of a few all may have been slow by chance


class ClosedError(Exception):
    """The exchange asked for a pause of which ``rest_s`` seconds are left."""

    def __init__(self, rest_s: float) -> None:
        super().__init__()
        self.rest_s = rest_s


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


class Trip:
    """One request from its first byte; ``back_s`` is when its answer came."""

    __slots__ = ("back_s", "sent_s")

    def __init__(self, sent_s: float) -> None:
        self.sent_s = sent_s
        self.back_s: float | None = None


@dataclasses.dataclass(slots=True)
class _Busy:
    """The 429 of late, of a credential or of all; instants are monotonic seconds.

    ``count`` of them came within a minute of each other, ``in_a_row`` without another
    answer in between.
    """

    count: int = 0
    in_a_row: int = 0
    last_s: float = -math.inf
    until_s: float = -math.inf

    def told(self, now_s: float, asked_s: float | None) -> None:
        """Take a 429 into account, and the pause that it asks for."""
        self.count = self._count_at(now_s) + 1
        self.in_a_row += 1
        self.last_s = now_s
        pause_s = BUSY_PAUSES_S[min(self.in_a_row, len(BUSY_PAUSES_S)) - 1]
        self.pause(now_s, max(pause_s, asked_s or 0.0))

    def pause(self, now_s: float, pause_s: float) -> None:
        self.until_s = max(self.until_s, now_s + pause_s)

    def slack_s(self, now_s: float) -> float:
        count = self._count_at(now_s)
        return BUSY_SLACKS_S[min(count, len(BUSY_SLACKS_S)) - 1] if count else 0.0

    def _count_at(self, now_s: float) -> int:
        return self.count if now_s - self.last_s <= BUSY_FOR_S else 0


class Host:
    """The requests of all credentials to one exchange."""

    def __init__(self, monotonic: Seconds, sleep: Sleep) -> None:
        self.first_start_s = -math.inf
        self._monotonic = monotonic
        self._sleep = sleep
        self._changed = threading.Condition()
        self._in_flight = 0
        self._starts: deque[float] = deque(maxlen=STARTS)
        self._trips: deque[float] = deque(maxlen=_TRIPS)
        self._busy = _Busy()
        self._told: dict[str, float] = {}

    def leave_gap(self, ago_s: float) -> None:
        """Take note that another process may have sent ``ago_s`` seconds ago."""
        self.first_start_s = self._monotonic() - ago_s + _GAP_S

    @contextlib.contextmanager
    def place(self, *, soon: bool = False) -> Iterator[None]:
        """Occupy one of the places of all credentials. ClosedError: see ``waited``.

        ``soon``: ClosedError as well where there is none within two seconds.
        """
        while (wait_s := waited(self.closed_for_s(), 0.0 if soon else PAUSE_MAX_S)) > 0:
            self._sleep(wait_s)
        with self._changed:
            if not self._changed.wait_for(
                lambda: self._in_flight < ALL_IN_FLIGHT, timeout=SOON_S if soon else None
            ):
                raise ClosedError(SOON_S)
            self._in_flight += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify()

    def start_or_wait_s(self, now_s: float) -> float:
        """Return how long the next start has to wait; 0 lets it pass and counts it."""
        with self._changed:
            due_s = self._next_start_s()
            if due_s > now_s:
                return due_s - now_s
            # who woke up a little late does not delay all that follow
            self._starts.append(due_s if now_s - due_s < LATE_S else now_s)
            return 0.0

    def _next_start_s(self) -> float:
        """Return when less than ten began within a second, and less than three now."""
        starts, apart_s = self._starts, SECOND_S / STARTS
        due_s = starts[0] + SECOND_S if len(starts) == STARTS else -math.inf
        level_s = -math.inf  # when all that began would have ended, one after the other
        for start_s in starts:
            level_s = max(level_s, start_s) + apart_s
        last_s = starts[-1] if starts else -math.inf
        return max(due_s, last_s, level_s - (STARTS_AT_ONCE - 1) * apart_s)

    def took(self, trip_s: float) -> None:
        """Take note of how long a request and its answer took."""
        with self._changed:
            self._trips.append(trip_s)

    def every_trip_s(self) -> float:
        """Return what every trip takes: the shortest of late, less what these vary."""
        with self._changed:
            trips = sorted(self._trips)
        if len(trips) < _TRIPS_LEAST:
            return 0.0
        return max(0.0, 2 * trips[0] - trips[len(trips) // 2])

    def told_busy(self, credential: str, asked_s: float | None, *, by_edge: bool) -> bool:
        """Take a 429 into account; return whether it is the host's.

        It is where it came with a page, or another credential got one a moment ago.
        """
        now_s = self._monotonic()
        with self._changed:
            self._told[credential] = now_s
            lately = sum(now_s - at_s <= TOGETHER_S for at_s in self._told.values())
            if not by_edge and lately == 1:
                return False
            self._busy.told(now_s, asked_s)
            return True

    def told_other(self) -> None:
        """Take another answer than a 429 into account: a row of them ends."""
        with self._changed:
            self._busy.in_a_row = 0

    def pause(self, pause_s: float) -> None:
        """Let nothing start before the pause, in seconds, is over."""
        with self._changed:
            self._busy.pause(self._monotonic(), pause_s)

    def closed_for_s(self) -> float:
        """Return for how many seconds nothing may start."""
        return max(0.0, self._busy.until_s - self._monotonic())


class Lane:
    """The requests of one credential: who waits, in order, and who has a turn.

    The gap is kept twice. Turns are granted a gap apart, so that a request can be sent
    at once when its turn has come, or ahead of it by as much as is asked for. As
    connections take differently long to open, and a derive writes its intent first,
    ``hold`` keeps the gap again before the first byte.
    """

    def __init__(self, host: Host, monotonic: Seconds, sleep: Sleep) -> None:
        self.host = host
        self._monotonic = monotonic
        self._sleep = sleep
        self._changed = threading.Condition()
        self._waiting: deque[Turn] = deque()
        self._turns: set[Turn] = set()
        self._next_turn_s = -math.inf
        self._last: Trip | None = None
        self._busy = _Busy()

    def wait(
        self, stopped: Callable[[], bool] | None = None, *, ahead_s: float = 0.0
    ) -> Turn | None:
        """Block until ``ahead_s`` before the next request may start; return its turn.

        None once ``stopped`` says that nobody wants it any more. ClosedError: see
        ``waited``.
        """
        turn = Turn(self)
        with self._changed:
            self._waiting.append(turn)
        try:
            while (wait_s := self._granted_or_wait_s(turn, ahead_s)) > 0:
                if stopped is None:
                    self._sleep(wait_s)
                elif stopped():
                    return None
                else:
                    self._sleep(min(wait_s, _STOPPED_S))
        finally:
            with self._changed:
                self._waiting.remove(turn)
                self._changed.notify_all()
        return turn

    def begin(self, reserved: Turn | None) -> Turn:
        """Return the turn to send with: the reserved one, or a new one after its wait.

        A turn that was used, was released or is another credential's does not count.
        ClosedError as for ``wait``, and for any pause that was asked for since the turn
        was granted.
        """
        with self._changed:
            if reserved is not None and reserved in self._turns and not reserved.is_used:
                if (rest_s := self.closed_for_s()) > 0:
                    raise ClosedError(rest_s)
                reserved.is_used = True
                return reserved
        turn = self.wait()
        assert turn is not None  # noqa: S101  # nobody stops it
        turn.is_used = True
        return turn

    def hold(self) -> Trip:
        """Block until the gap to the last request is kept, and begin the next one."""
        while isinstance(found := self._sent_or_wait_s(), float):
            self._sleep(found)
        return found

    def ended(self, trip: Trip) -> None:
        """Take note of an answer, or that none will come: the request has arrived."""
        with self._changed:
            if trip.back_s is None:
                trip.back_s = self._monotonic()
                self.host.took(trip.back_s - trip.sent_s)

    def told_busy(self, asked_s: float | None) -> None:
        """Take a 429 of this credential into account, and the pause it asks for."""
        with self._changed:
            self._busy.told(self._monotonic(), asked_s)

    def told_other(self) -> None:
        """Take another answer than a 429 into account: a row of them ends."""
        with self._changed:
            self._busy.in_a_row = 0
        self.host.told_other()

    def pause(self, pause_s: float) -> None:
        """Grant no turn before the pause, in seconds, is over."""
        with self._changed:
            self._busy.pause(self._monotonic(), pause_s)

    def closed_for_s(self) -> float:
        """Return for how many seconds no turn is granted."""
        return max(0.0, self._busy.until_s - self._monotonic(), self.host.closed_for_s())

    def release(self, turn: Turn) -> None:
        """Take a turn back; may be repeated."""
        with self._changed:
            self._turns.discard(turn)
            self._changed.notify_all()

    def _granted_or_wait_s(self, turn: Turn, ahead_s: float) -> float:
        """Wait for the first place in line, and return 0 once the turn is granted."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._waiting[0] is turn and len(self._turns) < MAX_IN_FLIGHT
            )
            now_s = self._monotonic()
            due_s = self._next_turn_s
            if self._last is not None:  # it may have left later than its turn came
                due_s = max(due_s, self._last.sent_s + _GAP_S)
            wait_s = max(due_s - ahead_s - now_s, waited(self.closed_for_s()))
            if wait_s > 0:
                return wait_s
            self._next_turn_s = max(due_s, now_s) + _GAP_S
            self._turns.add(turn)
            return 0.0

    def _sent_or_wait_s(self) -> Trip | float:
        with self._changed:
            now_s = self._monotonic()
            wait_s = self._wait_to_send_s(now_s) or self.host.start_or_wait_s(now_s)
            if wait_s > 0:
                return wait_s
            self._last = Trip(now_s)
            return self._last

    def _wait_to_send_s(self, now_s: float) -> float:
        last = self._last
        if last is None:
            return max(0.0, self.host.first_start_s - now_s)
        least_s = last.sent_s + _GAP_S
        most_s = least_s + SLACK_MAX_S
        extra_s = self._busy.slack_s(now_s)
        if last.back_s is None:
            rest_s = most_s + extra_s - now_s
            return max(0.0, min(rest_s, max(least_s - now_s, _LOOK_S)))
        due_s = last.back_s + _GAP_S - self.host.every_trip_s()
        return max(0.0, min(max(due_s, least_s), most_s) + extra_s - now_s)


def waited(pause_s: float, most_s: float = PAUSE_MAX_S) -> float:
    """Return a pause that may be waited for. ClosedError for one beyond a minute."""
    if pause_s > most_s:
        raise ClosedError(pause_s)
    return pause_s
