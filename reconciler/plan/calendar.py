"""What will happen when: the dates of a fleet, for a page and for a calendar.

    kind       begins                           what it means
    ---------  -------------------------------  ----------------------------------------
    rotation   when the label is due, its       a run replaces the token from then on
               hold over and its window open
    overlap    when a predecessor's overlap     it may be revoked, once it is quiet and
               ends                             its successor is used
    reserve    when a label's reserve is used   the first rotation that needs a person,
               up                               where the label is to have a reserve
    hold       at the day of its hold_until     rotations of the label may start again

``SOURCES`` is the table of contents: one function per kind.

Rules this module keeps:

1. Pure, and a date depends on the state alone: the same state gives the same dates,
   whenever it is looked at.
2. What a person or a run is late with keeps its date, in the past.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator

from reconciler.plan.status import Status, TokenStatus
from reconciler.values import value


class DateKind(enum.Enum):
    """What happens on a date."""

    ROTATION = "rotation"
    OVERLAP = "overlap"
    RESERVE = "reserve"
    HOLD = "hold"


@value
class Date:
    """Something that will happen to a label.

    ``note`` is what the manifest says of it: the windows of a rotation, the reason of a
    hold. ``token_id`` is the token that it happens to.
    """

    kind: DateKind
    label: str
    at_ms: int
    note: str = ""
    token_id: str | None = None


def rotation(token: TokenStatus) -> Iterator[Date]:
    """A label that the manifest wants is rotated once it is due, and may start."""
    at_ms = token.starts_at_ms
    if token.desired and at_ms is not None:
        yield Date(
            kind=DateKind.ROTATION,
            label=token.label,
            at_ms=at_ms,
            note="; ".join(token.window),
            token_id=token.token_id,
        )


def overlap(token: TokenStatus) -> Iterator[Date]:
    """A predecessor that lives may go at the end of its overlap."""
    for old in token.predecessors:
        if old.live:
            yield Date(
                kind=DateKind.OVERLAP,
                label=token.label,
                at_ms=old.not_before_ms,
                token_id=old.token_id,
            )


def reserve(token: TokenStatus) -> Iterator[Date]:
    """A label's reserve ends with the first rotation that it can't serve."""
    if token.reserve_wanted and token.unattended_until_ms is not None:
        yield Date(kind=DateKind.RESERVE, label=token.label, at_ms=token.unattended_until_ms)


def hold(token: TokenStatus) -> Iterator[Date]:
    """A hold that the manifest asks for ends."""
    if token.hold_until_ms is not None:
        yield Date(
            kind=DateKind.HOLD,
            label=token.label,
            at_ms=token.hold_until_ms,
            note=token.hold_reason,
        )


SOURCES: tuple[Callable[[TokenStatus], Iterator[Date]], ...] = (rotation, overlap, reserve, hold)
"""Each yields the dates of one kind that a label has."""


def dates_of(status: Status) -> tuple[Date, ...]:
    """Return all dates, sorted by time."""
    found = [date for token in status.tokens for source in SOURCES for date in source(token)]
    return tuple(sorted(found, key=lambda d: (d.at_ms, d.label, d.kind.value, d.token_id or "")))
