"""When a window is open, by the clock on the wall of its time zone.

A window is open whenever that clock shows one of its days, and a time from its start
until before its end. Nothing else is reckoned with, so this follows where the clock is
put forward or back:

    the clock                                        a window
    -----------------------------------------------  -----------------------------------
    jumps from 02:00 to 03:00                        02:30-04:00 opens at 03:00
                                                     02:00-03:00 stays shut that day
    goes back from 03:00 to 02:00                    02:00-03:00 is open for two hours
                                                     02:15-02:45 opens twice
                                                     01:00-02:30 opens again at the
                                                     second 02:00
    is changed at another hour                       09:00-15:00 has its six hours

Rules this module keeps:

1. Instants are exact. Whether it is open changes only where the clock shows a start or
   an end, or is itself changed; each such instant is tried.
2. Several windows are one: open where any of them is. No window is one that never
   shuts.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Iterator

from reconciler.model import DAY_MS, MINUTE_MS, Window

LOOK_DAYS = 15
"""So far ahead is looked: a day of the week that is left out once comes in two."""

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND = dt.timedelta(milliseconds=1)
_HOUR_MIN = 60
_LAST_MS = (dt.datetime(9990, 1, 1, tzinfo=dt.UTC) - _EPOCH) // _MILLISECOND


def is_open(windows: tuple[Window, ...], at_ms: int) -> bool:
    """Return whether a rotation that is due may start at an instant."""
    return not windows or any(_is_open(window, at_ms) for window in windows)


@functools.lru_cache(maxsize=1024)  # a fleet has few windows, and a run one time
def opens_at_ms(windows: tuple[Window, ...], from_ms: int) -> int | None:
    """Return the first instant, not before ``from_ms``, at which they are open.

    None if that is not within two weeks.
    """
    if is_open(windows, from_ms):
        return from_ms
    return next((at for at in _edges(windows, from_ms) if is_open(windows, at)), None)


@functools.lru_cache(maxsize=1024)  # as above
def shuts_at_ms(windows: tuple[Window, ...], from_ms: int) -> int | None:
    """Return the first instant, not before ``from_ms``, at which they are shut.

    None if that is not within two weeks.
    """
    if not is_open(windows, from_ms):
        return from_ms
    return next((at for at in _edges(windows, from_ms) if not is_open(windows, at)), None)


def whole_window_over(windows: tuple[Window, ...], from_ms: int, now_ms: int) -> bool:
    """Return whether one opened after ``from_ms``, and is shut again by ``now_ms``.

    One that is open already counts as none; two weeks that are all open count as one.
    """
    shut_ms = shuts_at_ms(windows, from_ms)
    opens_ms = opens_at_ms(windows, shut_ms) if shut_ms is not None else None
    ends_ms = shuts_at_ms(windows, opens_ms) if opens_ms is not None else None
    if ends_ms is None:
        return now_ms - from_ms > LOOK_DAYS * DAY_MS
    return ends_ms <= now_ms


def _is_open(window: Window, at_ms: int) -> bool:
    wall = _wall(window.zone, at_ms)
    minute = wall.hour * _HOUR_MIN + wall.minute
    return wall.weekday() in window.days and window.opens_min <= minute < window.closes_min


def _wall(zone: dt.tzinfo, at_ms: int) -> dt.datetime:
    """Return what the clock on the wall shows."""
    return (_EPOCH + min(max(at_ms, 0), _LAST_MS) * _MILLISECOND).astimezone(zone)


def _edges(windows: tuple[Window, ...], from_ms: int) -> Iterator[int]:
    """Yield in order the instants after ``from_ms`` at which anything may change."""
    for day in range(LOOK_DAYS):
        start_ms = from_ms + day * DAY_MS
        found = {at for window in windows for at in _edges_of(window, start_ms)}
        yield from sorted(at for at in found if start_ms < at <= start_ms + DAY_MS)


def _edges_of(window: Window, start_ms: int) -> Iterator[int]:
    """Yield those of one window within a day, and perhaps others near it."""
    first = _wall(window.zone, start_ms)
    last = _wall(window.zone, start_ms + DAY_MS)
    yield from _change(window.zone, first, last)
    for ahead in range((last.date() - first.date()).days + 1):
        date = first.date() + dt.timedelta(days=ahead)
        if date.weekday() in window.days:
            yield from _instants(window, date)


def _instants(window: Window, date: dt.date) -> Iterator[int]:
    """Yield when the clock shows start and end: twice, where that comes twice."""
    midnight = dt.datetime.combine(date, dt.time.min)
    for minute in (window.opens_min, window.closes_min):
        shown = midnight + dt.timedelta(minutes=minute)
        for fold in (0, 1):
            yield (shown.replace(tzinfo=window.zone, fold=fold) - _EPOCH) // _MILLISECOND


def _change(zone: dt.tzinfo, first: dt.datetime, last: dt.datetime) -> Iterator[int]:
    """Yield the minute in which the clock is changed between two instants, if it is."""
    if first.utcoffset() == last.utcoffset():
        return
    low, high = ((wall - _EPOCH) // _MILLISECOND // MINUTE_MS for wall in (first, last))
    while high - low > 1:
        middle = (low + high) // 2
        same = _wall(zone, middle * MINUTE_MS).utcoffset() == first.utcoffset()
        low, high = (middle, high) if same else (low, middle)
    yield high * MINUTE_MS
