"""The exchange's clock, measured from its replies.

Requests are signed by it, and the ages and uses of tokens are judged by it.
"""

from __future__ import annotations

import datetime as dt
import email.utils
import math
import threading
from collections.abc import Callable

from reconciler.model import SECOND_MS

Seconds = Callable[[], float]
"""A clock in seconds: ``time.time`` or ``time.monotonic``."""

_YEARS = range(2020, 2100)  # a Date outside is nonsense, not skew
_SKEW_GRAIN_MS = SECOND_MS  # Date counts seconds: a smaller difference is no measurement
_MEASURED_FOR_S = 300.0


class ExchangeClock:
    """The exchange's time, measured from the ``Date`` of its replies.

    Until the first reply it is this machine's time.
    """

    def __init__(self, wall: Seconds, monotonic: Seconds) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._offset_ms = 0
        self._difference_ms = 0.0
        self._doubt_ms = math.inf
        self._measured_at_s = -math.inf

    @property
    def offset_ms(self) -> int:
        """The exchange's clock minus this machine's, in milliseconds.

        0 until it is measured, and where the two agree to within a second.
        """
        return self._offset_ms

    def now_ms(self) -> int:
        """Return the exchange's time in milliseconds since the epoch."""
        return round(self._wall() * SECOND_MS) + self._offset_ms

    def observe(self, date: str | None, *, sent_at_s: float) -> None:
        """Take the ``Date`` of a reply that was received now into account.

        ``sent_at_s`` is the monotonic instant of the request. The server wrote the date
        in the middle of the round trip, give or take half the trip, and cut it to the
        second. The most exact of the recent measurements counts. A new one that
        contradicts it counts instead: a clock was set meanwhile.
        """
        moment = http_date(date)
        if moment is None:
            return
        received_at_s = self._monotonic()
        half_trip_ms = max(0.0, received_at_s - sent_at_s) * SECOND_MS / 2
        local_ms = self._wall() * SECOND_MS - half_trip_ms
        difference_ms = moment.timestamp() * SECOND_MS + SECOND_MS / 2 - local_ms
        doubt_ms = half_trip_ms + SECOND_MS / 2
        with self._lock:
            is_stale = received_at_s - self._measured_at_s > _MEASURED_FOR_S
            is_contradicted = abs(difference_ms - self._difference_ms) > doubt_ms + self._doubt_ms
            if is_stale or is_contradicted or doubt_ms <= self._doubt_ms:
                self._difference_ms = difference_ms
                self._doubt_ms = doubt_ms
                self._measured_at_s = received_at_s
                self._offset_ms = (
                    0
                    if abs(difference_ms) < max(_SKEW_GRAIN_MS, doubt_ms)
                    else round(difference_ms)
                )


def http_date(text: str | None) -> dt.datetime | None:
    """Return the instant of an HTTP date, or None for one that makes no sense."""
    if text is None:
        return None
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.year not in _YEARS:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
