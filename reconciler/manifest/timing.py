"""The rules about when: lengths, what is left of ``rotate_after``, windows and holds.

They are rules like those of ``rules``, and part of the table there.

A rotation is due ``rotate_before`` early, and up to a tenth of ``rotate_after`` earlier
still, because due dates are spread. What a token surely gets is the rest:

    rest = rotate_after - rotate_before - rotate_after / 10

    the rest                                             then
    ---------------------------------------------------  -------------------------------
    is above overlap, and there is no rotate_before      good: rotate_after is an hour
                                                         or more by a rule of its own
    is above overlap and an hour                         good
    anything else                                        refused: a token would be due
                                                         while its predecessor lives on,
                                                         or in every hourly run
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from reconciler.errors import Mark, Problem
from reconciler.manifest import durations
from reconciler.manifest.problems import error, quoted
from reconciler.manifest.shape import Judged
from reconciler.manifest.strict_yaml import Node
from reconciler.manifest.windows import parse_window
from reconciler.model import DAY_MS, HOUR_MS, length_text, spread_most_ms

if TYPE_CHECKING:
    from reconciler.manifest.rules import Draft

_FOREVER = 2**63 - 1  # longer than any duration that can be written


def lengths(draft: Draft) -> Iterator[Problem]:
    """Every duration that is written is within its bounds."""
    for key in ("rotate_after", "rotate_before", "overlap", "reserve_age"):
        for node in draft.written(key):
            sentence = durations.out_of_bounds(key, node.text) if node else None
            if node and sentence:
                yield error(node.mark, sentence)


@dataclasses.dataclass(frozen=True, slots=True)
class _Length:
    """A duration in force: its name in messages, its length or None, its node."""

    shown: str
    length_ms: int | None
    node: Node | None = None


def _default(head: Judged, key: str, built_in: str) -> _Length:
    node = head.within("defaults", key)
    if node is not None:
        return _Length(f"{node.text} (from defaults)", _length_ms(key, node.text), node)
    length_ms = None if "defaults" in head.wrong else _length_ms(key, built_in)
    return _Length(f"{built_in} (built in)", length_ms)


def _length(token: Judged, key: str, default: _Length) -> _Length:
    if key in token.wrong:
        return _Length("", None)
    node = token.get(key)
    return default if node is None else _Length(node.text, _length_ms(key, node.text), node)


@functools.lru_cache(maxsize=1024)  # a fleet has few different ones
def _length_ms(key: str, text: str) -> int | None:
    if durations.out_of_bounds(key, text):
        return None
    length_ms = durations.parse_duration_ms(text)
    return _FOREVER if length_ms is None else length_ms


def overlaps(draft: Draft) -> Iterator[Problem]:
    """What is left of ``rotate_after`` is longer than the overlap.

    The problem stands at the token's own key, or once for all tokens at the default.
    """
    age_by_default = _default(draft.head, "rotate_after", durations.DEFAULT_ROTATE_AFTER)
    early_by_default = _default(draft.head, "rotate_before", durations.DEFAULT_ROTATE_BEFORE)
    overlap_by_default = _default(draft.head, "overlap", durations.DEFAULT_OVERLAP)
    found: dict[Problem, None] = {}
    has_early, has_overlap = "rotate_before" in draft.keys, "overlap" in draft.keys
    for token in draft.tokens:
        age, early, overlap = (
            _length(token, "rotate_after", age_by_default),
            _length(token, "rotate_before", early_by_default) if has_early else early_by_default,
            _length(token, "overlap", overlap_by_default) if has_overlap else overlap_by_default,
        )
        rule = _too_short(age, early, overlap)
        if rule is None:
            continue
        keys = ("rotate_after", "rotate_before", "overlap")
        own = next((node for key in keys if (node := token.get(key))), None)
        at = own or age.node or early.node or overlap.node
        mark = at.mark if at else draft.head.node.mark
        found[error(mark, rule)] = None
    yield from found


def _too_short(age: _Length, early: _Length, overlap: _Length) -> str | None:
    """Return the sentence about a ``rotate_after`` that leaves too little."""
    if age.length_ms is None or early.length_ms is None or overlap.length_ms is None:
        return None
    rest_ms = age.length_ms - early.length_ms - spread_most_ms(age.length_ms)
    early_and_short = early.length_ms and overlap.length_ms < HOUR_MS
    least_ms = HOUR_MS if early_and_short else overlap.length_ms
    if rest_ms > least_ms or age.length_ms == _FOREVER:
        return None
    if age.length_ms <= overlap.length_ms:
        rule = f"rotate_after {age.shown} must be longer than overlap {overlap.shown}"
        return f"{rule} - change one of them"
    least = "an hour" if early_and_short else f"overlap {overlap.shown}"
    less = f", less rotate_before {early.shown}" if early.length_ms else ""
    left = f"leaves {length_text(rest_ms)}" if rest_ms > 0 else "leaves nothing"
    return (
        f"rotate_after {age.shown}{less}, less the tenth by which due dates are spread, {left},"
        f" and it must leave more than {least} - change one of them"
    )


def windows(draft: Draft) -> Iterator[Problem]:
    """Every window opens, and its time zone is known."""
    for node in draft.written("window"):
        for item in texts_of(node):
            try:
                parse_window(item.text)
            except ValueError as failure:
                yield error(item.mark, f"window {failure}")


def texts_of(node: Node | None) -> list[Node]:
    """Return the nodes of a text, or of a list of texts."""
    if node is None:
        return []
    return node.items if isinstance(node.value, list) else [node]


def holds(draft: Draft) -> Iterator[Problem]:
    """A hold ends on a day of the calendar, and says why."""
    for token in draft.tokens if draft.keys & {"hold_until", "hold_reason"} else ():
        until, reason = token.get("hold_until"), token.get("hold_reason")
        if until is not None and day_ms(until.text) is None:
            told = f"hold_until {quoted(until.text)} is in no calendar - write a day that exists"
            yield error(until.mark, told)
        if until is not None and "hold_reason" not in token.node.pairs:
            yield _alone(until.key_mark, "hold_until", "hold_reason")
        if reason is not None and "hold_until" not in token.node.pairs:
            yield _alone(reason.key_mark, "hold_reason", "hold_until")


def _alone(mark: Mark, key: str, other: str) -> Problem:
    return error(mark, f"{key} stands without {other} - add it, or remove both")


def day_ms(text: str) -> int | None:
    """Return the instant at which a day begins in UTC, None for one in no calendar."""
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        return None
    return (day - dt.date(1970, 1, 1)).days * DAY_MS


RULES = (lengths, overlaps, windows, holds)
