"""Durations of a manifest: how they are written, and how short or long one may be."""

from __future__ import annotations

import functools
import re

from reconciler.manifest.problems import quoted
from reconciler.model import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS

DEFAULT_ROTATE_AFTER = "30d"
DEFAULT_ROTATE_BEFORE = "0s"
DEFAULT_OVERLAP = "26h"
DEFAULT_RESERVE_AGE = "120d"

_NEVER = "never"
_UNITS_MS = {"s": SECOND_MS, "m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_DURATION = re.compile(r"([0-9]{1,10})([smhdw])")
_LONGEST_MS = 3650 * DAY_MS  # ten years: longer is a slip, or should say never
_OR_NEVER = {"rotate_after": ", or never"}
_AN_HOUR_AT_LEAST = frozenset({"rotate_after", "reserve_age"})


@functools.lru_cache(maxsize=1024)  # a fleet has few different ones
def parse_duration_ms(text: str) -> int | None:
    """Return the milliseconds of an integer followed by s, m, h, d or w.

    None for ``never``; ValueError for anything else.
    """
    if text == _NEVER:
        return None
    found = _DURATION.fullmatch(text)
    if found is None:
        rule = "write a whole number followed by s, m, h, d or w, or never"
        raise ValueError(f"{quoted(text)} is no duration: {rule}")
    return int(found[1]) * _UNITS_MS[found[2]]


@functools.lru_cache(maxsize=1024)  # as above
def out_of_bounds(key: str, text: str) -> str | None:
    """Return the sentence about a well-formed duration that is too short or long."""
    length_ms = parse_duration_ms(text)
    if length_ms is None:
        return None
    if length_ms > _LONGEST_MS:
        return f"{key} {text} is longer than ten years - write less{_OR_NEVER.get(key, '')}"
    if key in _AN_HOUR_AT_LEAST and length_ms < HOUR_MS:
        return f"{key} {text} is shorter than an hour - write 1h or more"
    return None
