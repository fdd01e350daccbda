"""When a window is open, opens next and shuts, by the clock on the wall of its zone."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.manifest.windows import parse_window
from reconciler.model import DAY_MS, HOUR_MS, MINUTE_MS, Window, instant_ms, iso
from reconciler.plan.windows import (
    LOOK_DAYS,
    is_open,
    opens_at_ms,
    shuts_at_ms,
    whole_window_over,
)

WORK = "Mon-Thu 09:00-15:00 Europe/Berlin"
Times = list[tuple[str, str]]


def windows(*texts: str) -> tuple[Window, ...]:
    """The windows of these texts."""
    return tuple(parse_window(text) for text in texts)


def instant(text: str) -> int:
    """The instant of a short text in UTC, such as ``2027-03-28 01:00``."""
    return instant_ms(f"{text.replace(' ', 'T')}:00Z")


def short(at_ms: int | None) -> str:
    """The same text of an instant; whole minutes only."""
    assert at_ms is not None
    assert at_ms % MINUTE_MS == 0
    return iso(at_ms)[:16].replace("T", " ")


def open_times(texts: tuple[str, ...], start: str, end: str) -> Times:
    """From when until when they are open between two instants, in UTC."""
    several, at_ms = windows(*texts), instant(start)
    found: Times = []
    while True:
        opens_ms = opens_at_ms(several, at_ms)
        if opens_ms is None or opens_ms >= instant(end):
            return found
        shuts_ms = shuts_at_ms(several, opens_ms)
        found.append((short(opens_ms), short(shuts_ms)))
        assert shuts_ms is not None
        at_ms = shuts_ms


@pytest.mark.parametrize(
    ("texts", "start", "end", "expected"),
    [
        pytest.param(
            (WORK,),
            "2026-11-26 00:00",  # a Thursday
            "2026-12-02 00:00",
            [
                ("2026-11-26 08:00", "2026-11-26 14:00"),
                ("2026-11-30 08:00", "2026-11-30 14:00"),
                ("2026-12-01 08:00", "2026-12-01 14:00"),
            ],
            id="work days in winter",
        ),
        pytest.param(
            ("Sat-Mon 09:00-15:00 Europe/Berlin",),
            "2027-03-26 00:00",
            "2027-03-30 00:00",
            [
                ("2027-03-27 08:00", "2027-03-27 14:00"),
                ("2027-03-28 07:00", "2027-03-28 13:00"),
                ("2027-03-29 07:00", "2027-03-29 13:00"),
            ],
            id="over the change to summer time, at an hour that is not changed",
        ),
        pytest.param(
            ("Sat-Mon 09:00-15:00 Europe/Berlin",),
            "2027-10-29 00:00",
            "2027-11-02 00:00",
            [
                ("2027-10-30 07:00", "2027-10-30 13:00"),
                ("2027-10-31 08:00", "2027-10-31 14:00"),
                ("2027-11-01 08:00", "2027-11-01 14:00"),
            ],
            id="over the change to winter time",
        ),
        pytest.param(
            ("Sun 02:00-03:00 Europe/Berlin",),
            "2027-03-20 00:00",
            "2027-04-05 00:00",
            [
                ("2027-03-21 01:00", "2027-03-21 02:00"),
                ("2027-04-04 00:00", "2027-04-04 01:00"),
            ],
            id="in the hour that does not exist: shut on that day",
        ),
        pytest.param(
            ("Sun 02:30-04:00 Europe/Berlin",),
            "2027-03-28 00:00",
            "2027-03-29 00:00",
            [("2027-03-28 01:00", "2027-03-28 02:00")],
            id="it begins in the hour that does not exist: it opens at the jump",
        ),
        pytest.param(
            ("Sun 01:30-02:30 Europe/Berlin",),
            "2027-03-28 00:00",
            "2027-03-29 00:00",
            [("2027-03-28 00:30", "2027-03-28 01:00")],
            id="it ends in the hour that does not exist: it shuts at the jump",
        ),
        pytest.param(
            ("Sun 02:00-03:00 Europe/Berlin",),
            "2027-10-31 00:00",
            "2027-11-01 00:00",
            [("2027-10-31 00:00", "2027-10-31 02:00")],
            id="the hour that comes twice: open for both",
        ),
        pytest.param(
            ("Sun 02:15-02:45 Europe/Berlin",),
            "2027-10-30 20:00",
            "2027-11-01 00:00",
            [
                ("2027-10-31 00:15", "2027-10-31 00:45"),
                ("2027-10-31 01:15", "2027-10-31 01:45"),
            ],
            id="within the hour that comes twice: open twice",
        ),
        pytest.param(
            ("Sun 01:00-02:30 Europe/Berlin",),
            "2027-10-30 20:00",
            "2027-11-01 00:00",
            [
                ("2027-10-30 23:00", "2027-10-31 00:30"),
                ("2027-10-31 01:00", "2027-10-31 01:30"),
            ],
            id="it ends in the hour that comes twice: it opens again at the jump back",
        ),
        pytest.param(
            ("Tue 00:00-24:00 UTC",),
            "2028-02-28 00:00",
            "2028-03-08 00:00",
            [
                ("2028-02-29 00:00", "2028-03-01 00:00"),
                ("2028-03-07 00:00", "2028-03-08 00:00"),
            ],
            id="a leap day",
        ),
        pytest.param(
            ("Mon 22:00-24:00 UTC", "Tue 00:00-02:00 UTC"),
            "2026-11-30 00:00",
            "2026-12-07 00:00",
            [("2026-11-30 22:00", "2026-12-01 02:00")],
            id="two that meet at midnight are one",
        ),
        pytest.param(
            ("Mon 09:00-12:00 UTC", "Mon 11:00-13:00 UTC", "Mon 12:00-14:00 Europe/Berlin"),
            "2026-11-30 00:00",
            "2026-12-07 00:00",
            [("2026-11-30 09:00", "2026-11-30 13:00")],
            id="several that overlap, of two zones",
        ),
        pytest.param(
            ("Mon 00:00-01:00 Asia/Kathmandu",),
            "2026-11-28 00:00",
            "2026-12-01 00:00",
            [("2026-11-29 18:15", "2026-11-29 19:15")],
            id="a zone that is five hours and three quarters ahead: Sunday in UTC",
        ),
        pytest.param(
            ("Sun 01:30-02:30 Australia/Lord_Howe",),
            "2027-04-03 00:00",
            "2027-04-05 00:00",
            # put back by half an hour at 02:00: 01:30 until 02:00 comes twice
            [("2027-04-03 14:30", "2027-04-03 16:00")],
            id="a zone whose clock is changed by half an hour",
        ),
        pytest.param(
            ("Fri 23:00-24:00 Pacific/Kiritimati", "Fri 00:00-01:00 Pacific/Pago_Pago"),
            "2026-12-03 00:00",
            "2026-12-06 00:00",
            [
                ("2026-12-04 09:00", "2026-12-04 10:00"),
                ("2026-12-04 11:00", "2026-12-04 12:00"),
            ],
            id="both ends of the world",
        ),
    ],
)
def test_when_windows_are_open(
    texts: tuple[str, ...], start: str, end: str, expected: Times
) -> None:
    """From instant to instant, in UTC."""
    assert open_times(texts, start, end) == expected


def test_its_ends() -> None:
    """Open from the first millisecond until before the last one."""
    work = windows(WORK)
    opens_ms, shuts_ms = instant("2026-11-30 08:00"), instant("2026-11-30 14:00")
    assert [is_open(work, at) for at in (opens_ms - 1, opens_ms, shuts_ms - 1, shuts_ms)] == [
        *(False, True, True, False)
    ]
    assert opens_at_ms(work, opens_ms - 1) == opens_ms
    assert opens_at_ms(work, opens_ms) == opens_ms
    assert opens_at_ms(work, shuts_ms - 1) == shuts_ms - 1
    assert shuts_at_ms(work, shuts_ms - 1) == shuts_ms
    assert shuts_at_ms(work, shuts_ms) == shuts_ms


def test_no_window_and_one_that_never_shuts() -> None:
    """Both are open at any time."""
    at_ms = instant("2026-11-30 08:00")
    assert is_open((), at_ms)
    always = windows("Mon-Sun 00:00-24:00 Europe/Berlin")
    assert opens_at_ms(always, at_ms) == at_ms
    assert shuts_at_ms(always, at_ms) is None


@pytest.mark.parametrize("at_ms", [-(10**15), 0, 10**18])
def test_a_clock_out_of_the_calendar(at_ms: int) -> None:
    """Whatever a peer says its time is, a plan is made."""
    assert is_open(windows(WORK), at_ms) in {True, False}
    opens_at_ms(windows(WORK), at_ms)


@pytest.mark.parametrize(
    ("due", "now", "expected"),
    [
        ("2026-11-26 20:00", "2026-11-29 20:00", False),  # a weekend without a window
        ("2026-11-26 20:00", "2026-11-30 13:59", False),
        ("2026-11-26 20:00", "2026-11-30 14:00", True),
        ("2026-11-30 10:00", "2026-11-30 14:00", False),  # only a part of one
        ("2026-11-30 10:00", "2026-12-01 14:00", True),
        ("2026-11-30 08:00", "2026-11-30 14:00", False),  # it had opened already
    ],
)
def test_a_whole_window(due: str, now: str, expected: bool) -> None:  # noqa: FBT001  # the expected value
    """One that opened after an instant, and is over."""
    assert whole_window_over(windows(WORK), instant(due), instant(now)) is expected


def test_a_window_that_never_shuts_is_over_in_two_weeks() -> None:
    """A label is overdue some day, whatever its window."""
    always, due_ms = windows("Mon-Sun 00:00-24:00 UTC"), instant("2026-11-30 08:00")
    assert not whole_window_over(always, due_ms, due_ms + LOOK_DAYS * DAY_MS)
    assert whole_window_over(always, due_ms, due_ms + LOOK_DAYS * DAY_MS + 1)


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")


def naively_open(window: Window, at_ms: int) -> bool:
    """The same question, asked of the standard library in other words."""
    zone = ZoneInfo(window.text.rpartition(" ")[2])
    shown = dt.datetime.fromtimestamp(at_ms / 1000, tz=zone)
    day, hours, _ = shown.strftime("%a %H:%M x").split()
    _, span, _ = window.text.split()
    start, end = span.split("-")
    names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    return names.index(day) in window.days and start <= hours < end


@settings(max_examples=60)
@given(
    st.sampled_from(ZONES),
    st.sets(st.sampled_from(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")), min_size=1),
    st.tuples(st.integers(0, 95), st.integers(1, 96)).filter(lambda pair: pair[0] < pair[1]),
    st.integers(instant("2026-01-01 00:00"), instant("2029-01-01 00:00")),
)
def test_by_looking_at_the_clock_every_quarter_of_an_hour(
    zone: str, days: set[str], quarters: tuple[int, int], from_ms: int
) -> None:
    """Nothing opens or shuts between what is told: the clock, looked at each quarter of
    an hour for nine days, says the same.
    """
    first, last = (f"{n // 4:02}:{n % 4 * 15:02}" for n in quarters)
    (window,) = windows(f"{','.join(sorted(days))} {first}-{last} {zone}")
    opens_ms = opens_at_ms((window,), from_ms)
    looks = range(from_ms // (HOUR_MS // 4), (from_ms + 9 * DAY_MS) // (HOUR_MS // 4))
    seen = [at for n in looks if (at := n * HOUR_MS // 4) >= from_ms and naively_open(window, at)]
    if naively_open(window, from_ms):
        assert opens_ms == from_ms
    elif seen:
        assert opens_ms == seen[0]
    else:
        assert opens_ms is None or opens_ms >= from_ms + 8 * DAY_MS
