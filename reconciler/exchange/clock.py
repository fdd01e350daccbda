"""The exchange's clock: measured from its replies, and carried on by a steady clock.

Requests are signed by it, and the ages and uses of tokens are judged by it. A wall
clock that steps changes nothing: between two replies the time runs on a clock that
neither steps nor stops while the machine sleeps.

What is held is one measurement: how far the exchange is ahead of the steady clock. A
reply says two things about it. Its ``Date`` is a measurement. Where it accepted a
signature, the exchange's own clock was within 30 s of the time that was signed.

    before        a reply                         then
    ------------  ------------------------------  -------------------------------------
    nothing held  any                             the wall clock is held, give or take
                                                  30 s, and the reply is judged by it
    held          Date agrees                     one reply more for what is held; the
                                                  more exact of the two is held; a
                                                  rival is dropped
    held          Date contradicts                it becomes the rival, by one reply
    rival         Date agrees with the rival      one reply more for the rival
    rival by two  what is held never signed, or   the rival is held
    replies       the two are within 30 s
                  what is held did sign           the next request is signed by the
                                                  rival
    rival         a signature by it is accepted   the rival is held
    rival         refused, and accepted by what   refuted: a Date that agrees with it is
                  was held before                 passed over from now on
    held          refused, accepted by the wall   refuted; the wall clock is held, give
                  clock                           or take 30 s
    any           no Date, or none that can be    only what it accepted counts

Two measurements agree if they are no further apart than both may be wrong, and 1 s.

    a question    the answer is yes where
    ------------  ---------------------------------------------------------------------
    is confirmed  two replies agree with what is held (by their Dates, or by signatures
                  that they accepted), it is not in doubt, and no clock jumped
    is in doubt   there is a rival over 30 s away, or one as good as what is held: reads
                  are asked again until it is settled
    did jump      wall and steady clock moved apart by over 30 s since the last reply: a
                  person set the wall clock, or the machine stood still unnoticed
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import email.utils
import threading
import time
from collections.abc import Callable, Sequence

from reconciler.model import SECOND_MS
from reconciler.values import value

Seconds = Callable[[], float]
"""A clock in seconds: ``time.time`` or ``steady_seconds``."""

WINDOW_MS = 30 * SECOND_MS
"""How far from its own clock the exchange accepts a signature."""

OTHER_TIME_MS = 5 * SECOND_MS
"""A signature is tried with another time only if that is so different."""
OTHER_TIMES = 2
"""How many other times are tried: a reply that refused the first may tell a second."""

_YEARS = range(2020, 2100)  # a Date outside is nonsense, not skew
_SKEW_GRAIN_MS = SECOND_MS  # Date counts seconds: a smaller difference is no measurement
_MEASURED_FOR_S = 300.0
_REPLIES = 2  # that have to agree


def steady_seconds() -> float:
    """Return seconds of a clock that never steps, and goes on while the machine sleeps.

    Where the system has no such clock, one that stops then; the next reply shows it.
    """
    # Linux has CLOCK_BOOTTIME; elsewhere CLOCK_MONOTONIC counts sleep, or nothing does
    kind = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))
    try:
        return time.monotonic() if kind is None else time.clock_gettime(kind)
    except OSError:
        return time.monotonic()


@value
class _Measured:
    """How far the exchange is ahead of the steady clock, by so many replies."""

    ahead_ms: float
    doubt_ms: float
    at_s: float
    replies: int

    def agrees_with(self, other: _Measured) -> bool:
        apart_ms = abs(self.ahead_ms - other.ahead_ms)
        return apart_ms <= self.doubt_ms + other.doubt_ms + SECOND_MS

    def and_also(self, later: _Measured) -> _Measured:
        """Return the better of two that agree, by the replies of both."""
        is_stale = later.at_s - self.at_s > _MEASURED_FOR_S
        better = later if is_stale or later.doubt_ms <= self.doubt_ms else self
        return dataclasses.replace(better, replies=self.replies + later.replies)


class ExchangeClock:
    """The exchange's time; until the first reply it is this machine's.

    ``steady`` is a clock in seconds that never steps. Safe to use from several threads.
    """

    def __init__(self, wall: Seconds, steady: Seconds) -> None:
        self._wall = wall
        self._steady = steady
        self._lock = threading.Lock()
        self._held: _Measured | None = None
        self._rival: _Measured | None = None
        self._refuted: _Measured | None = None
        self._signed = 0  # replies that accepted a signature by what is held
        self._wall_ahead_ms: float | None = None  # at the last reply

    # --- what it says ---

    @property
    def offset_ms(self) -> int:
        """The exchange's clock minus this machine's wall clock, in milliseconds.

        0 until it is measured, and where the two agree to within a second.
        """
        held = self._held
        apart_ms = 0.0 if held is None else held.ahead_ms - self._local_ms()
        return 0 if abs(apart_ms) < _SKEW_GRAIN_MS else round(apart_ms)

    @property
    def is_confirmed(self) -> bool:
        """Whether two replies agree, none contradicts, and no clock jumped since."""
        held = self._held
        if held is None or self.is_in_doubt or self.did_jump:
            return False
        return max(held.replies, self._signed) >= _REPLIES

    @property
    def is_measured(self) -> bool:
        """Whether a reply told the time, and none contradicts it."""
        held = self._held
        is_known = held is not None and max(held.replies, self._signed) > 0
        return is_known and not self.is_in_doubt

    @property
    def is_in_doubt(self) -> bool:
        """Whether a reply contradicts what is held, so that another has to decide."""
        held, rival = self._held, self._rival
        if held is None or rival is None:
            return False
        return _is_far(held, rival) or held.replies < _REPLIES

    @property
    def did_jump(self) -> bool:
        """Whether wall and steady clock moved apart since the last reply."""
        before_ms = self._wall_ahead_ms
        return before_ms is not None and abs(self._local_ms() - before_ms) > WINDOW_MS

    def now_ms(self) -> int:
        """Return the exchange's time in milliseconds since the epoch."""
        held = self._held
        return self.at_ms(self._local_ms() if held is None else held.ahead_ms)

    def wall_ms(self) -> int:
        """Return this machine's own time in milliseconds since the epoch."""
        return round(self._wall() * SECOND_MS)

    def steady_ms(self) -> int:
        """Return milliseconds of the clock that never steps."""
        return round(self._steady() * SECOND_MS)

    # --- signing ---

    def ahead_to_sign(self) -> float:
        """Return how far ahead of the steady clock the next request is signed.

        It is what is held, or a rival that only a signature can prove or refute.
        """
        with self._lock:
            held, rival = self._held, self._rival
            if held is None:
                return self._local_ms()
            on_trial = rival is not None and rival.replies >= _REPLIES
            return rival.ahead_ms if rival is not None and on_trial else held.ahead_ms

    def at_ms(self, ahead_ms: float) -> int:
        """Return the exchange's time, were it so far ahead of the steady clock."""
        return round(self._steady() * SECOND_MS + ahead_ms)

    def ahead_instead(self, refused_ms: Sequence[float]) -> float | None:
        """Return another time to sign by, after refusals; None where there is none.

        The wall clock's own time is one unless what is held did sign before.
        """
        with self._lock:
            others = [m.ahead_ms for m in (self._rival, self._held) if m is not None]
            if not self._signed:
                others.append(self._local_ms())
        return next(
            (ms for ms in others if all(abs(ms - one) >= OTHER_TIME_MS for one in refused_ms)), None
        )

    def accepted(self, ahead_ms: float, *, refused_ms: Sequence[float] = ()) -> None:
        """Take an accepted signature into account, and those refused right before."""
        with self._lock:
            held = self._held = self._held or self._by_signature(self._local_ms())
            rival = self._rival
            if rival is not None and _is_by(rival, ahead_ms, rather_than=held):
                self._hold(rival)
            elif any(_is_by(held, one) for one in refused_ms):
                self._hold(self._by_signature(ahead_ms))
                self._refuted = held
            elif rival is not None and any(_is_by(rival, one) for one in refused_ms):
                self._rival, self._refuted = None, rival
            if self._held is not None and _is_by(self._held, ahead_ms):
                self._signed += 1

    # --- measuring ---

    def observe(self, date: str | None, *, sent_at_s: float) -> None:
        """Take the ``Date`` of a reply that was received now into account.

        ``sent_at_s`` is the steady clock's instant of the request. The server wrote the
        date in the middle of the round trip, give or take half the trip, and cut it to
        the second.
        """
        received_at_s = self._steady()
        half_trip_ms = max(0.0, received_at_s - sent_at_s) * SECOND_MS / 2
        with self._lock:
            local_ms = self._wall_ahead_ms = self._local_ms()
            held = self._held = self._held or self._by_signature(local_ms)
            moment = http_date(date)
            if moment is None:
                return
            middle_ms = received_at_s * SECOND_MS - half_trip_ms
            ahead_ms = moment.timestamp() * SECOND_MS + SECOND_MS / 2 - middle_ms
            doubt_ms = half_trip_ms + SECOND_MS / 2
            if abs(ahead_ms - local_ms) < max(_SKEW_GRAIN_MS, doubt_ms):
                ahead_ms = local_ms
            self._judge(
                held,
                _Measured(ahead_ms=ahead_ms, doubt_ms=doubt_ms, at_s=received_at_s, replies=1),
            )

    def _judge(self, held: _Measured, measured: _Measured) -> None:
        """Do what the table of the module says of a ``Date``. The lock is held."""
        if measured.agrees_with(held):
            self._rival = None
            better = held.and_also(measured)
            if abs(better.ahead_ms - held.ahead_ms) >= OTHER_TIME_MS:
                self._signed = 0
            self._held = better
            return
        if self._refuted is not None and measured.agrees_with(self._refuted):
            return
        known = self._rival
        is_known = known is not None and measured.agrees_with(known)
        rival = known.and_also(measured) if known is not None and is_known else measured
        self._rival = rival
        if rival.replies >= _REPLIES and not (self._signed and _is_far(held, rival)):
            self._hold(rival)

    def _hold(self, measured: _Measured) -> None:
        self._held, self._rival, self._refuted, self._signed = measured, None, None, 0

    def _by_signature(self, ahead_ms: float) -> _Measured:
        """Return a measurement that a signature at this time would make."""
        return _Measured(ahead_ms=ahead_ms, doubt_ms=WINDOW_MS, at_s=self._steady(), replies=0)

    def _local_ms(self) -> float:
        return (self._wall() - self._steady()) * SECOND_MS


def _is_far(one: _Measured, other: _Measured) -> bool:
    """Tell whether no signature fits both."""
    return abs(one.ahead_ms - other.ahead_ms) > WINDOW_MS


def _is_by(measured: _Measured, ahead_ms: float, *, rather_than: _Measured | None = None) -> bool:
    """Tell whether a request was signed by this measurement, rather than by another."""
    apart_ms = abs(measured.ahead_ms - ahead_ms)
    other_ms = OTHER_TIME_MS if rather_than is None else abs(rather_than.ahead_ms - ahead_ms)
    return apart_ms < min(OTHER_TIME_MS, other_ms)


def http_date(text: str | None, *, any_year: bool = False) -> dt.datetime | None:
    """Return the instant of an HTTP date, or None for one that makes no sense.

    With ``any_year`` a century makes sense, too.
    """
    if text is None:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.year not in _YEARS and not any_year:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
