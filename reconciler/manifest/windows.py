"""Windows of a manifest: the text of one becomes a value, with its time zone.

    Mon-Thu 09:00-15:00 Europe/Berlin
    Mon,Wed,Fri-Sun 00:00-24:00 UTC

Days are names, ranges of them, or both with commas; a range may pass the end of the
week. When a window is open is for ``reconciler.plan`` to say: a zone, once it is read,
answers without a file.

Rules this module keeps:

1. A zone is one that the program's own list names, so a manifest is right on every
   machine or on none. What its clock shows comes from the machine's zones, which get
   new rules first, else from the package ``tzdata``.
2. ``zoneinfo`` is imported once a manifest has a window.
"""

from __future__ import annotations

import functools
import re
from importlib import resources
from typing import TYPE_CHECKING

from reconciler.manifest.problems import quoted
from reconciler.manifest.sentences import near_miss
from reconciler.model import Window

if TYPE_CHECKING:
    import datetime as dt

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_HOUR_MIN = 60
_TEXT = re.compile(r"([A-Za-z,-]+) ([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2}) (\S+)")


@functools.lru_cache(maxsize=1024)  # a fleet has few different ones
def parse_window(text: str) -> Window:
    """Return the window of a text that the schema allows.

    ValueError, with a sentence, for one that never opens or whose zone is unknown.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"{quoted(text)} is no window")
    opens_min = int(found[2]) * _HOUR_MIN + int(found[3])
    closes_min = int(found[4]) * _HOUR_MIN + int(found[5])
    if closes_min == opens_min:
        raise ValueError(f"{quoted(text)} never opens - write an end after its start")
    if closes_min < opens_min:
        raise ValueError(
            f"{quoted(text)} ends before it begins - write an end on the same day, and what is"
            " after midnight as a second window"
        )
    return Window(
        text=text,
        days=_days(found[1]),
        opens_min=opens_min,
        closes_min=closes_min,
        zone=_zone(found[6]),
    )


def _days(text: str) -> tuple[int, ...]:
    days = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        start, end = DAYS.index(first), DAYS.index(last or first)
        days |= {day % len(DAYS) for day in range(start, end + 1 + len(DAYS) * (end < start))}
    return tuple(sorted(days))


@functools.lru_cache(maxsize=1024)  # as above
def _zone(name: str) -> dt.tzinfo:
    import zoneinfo  # noqa: PLC0415  # rule 2

    known = _names()
    if name not in known:
        hint = _hint(name, known)
        raise ValueError(f"time zone {quoted(name)} is unknown - {hint}")
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        hint = "check the time zones of this machine"
        raise ValueError(f"time zone {quoted(name)} can't be read - {hint}") from None


@functools.cache
def _names() -> frozenset[str]:
    text = resources.files("tzdata").joinpath("zones").read_text(encoding="utf-8")
    return frozenset(text.split())


def _hint(name: str, known: frozenset[str]) -> str:
    """Say what to write in place of an unknown zone.

    An offset has none that is alike: Etc/GMT+5 is five hours behind UTC, where most
    people write GMT+5 for what is ahead.
    """
    if re.search(r"[+-][0-9]", name):
        return "write a place such as Europe/Berlin, or UTC"
    alike = _alike(name, known)
    return f"did you mean {quoted(alike)}?" if alike else "write one such as Europe/Berlin"


def _alike(name: str, known: frozenset[str]) -> str | None:
    """Return the zone that a name may stand for: by its city, else by its letters."""
    city = name.rpartition("/")[2].casefold()
    named = sorted(zone for zone in known if zone.rpartition("/")[2].casefold() == city)
    return named[0] if named else near_miss(name, sorted(known))
