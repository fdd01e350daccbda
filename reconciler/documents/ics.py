"""The dates of a fleet for a team's calendar: ``status --format ics`` (RFC 5545).

    a rotation that is due        when it is due and may start
    the end of an overlap         at its instant
    the end of a hold             at the day of its hold_until
    the end of a reserve          when a rotation needs a person for the first time

Each is a moment in UTC that takes no time of anybody's.

Rules this module keeps:

1. A date keeps its UID from one status to the next, so a calendar that is subscribed
   moves it and makes no second one: what is managed (exchange and place), the label,
   the kind, and for the end of an overlap the token.
2. The same statuses give the same bytes: DTSTAMP is the time of the status.
3. Labels are escaped as everywhere, the library escapes for the format, and ``::`` is
   broken up wherever it stands: the format folds long lines, and a CI runner takes
   commands from what begins a line.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reconciler.escape import safe, short
from reconciler.model import iso
from reconciler.plan import Date, DateKind, Status, dates_of

if TYPE_CHECKING:
    from icalendar import Event

_PRODUCT = "-//reconciler//status//EN"
_UID_DIGITS = 40


def ics_calendar(statuses: Sequence[Status]) -> str:
    """Return one calendar of the dates of all statuses."""
    # 70 ms, only for this format
    from icalendar import Calendar  # noqa: PLC0415

    calendar = Calendar()
    calendar.add("prodid", _PRODUCT)
    calendar.add("version", "2.0")
    calendar.add("x-wr-calname", f"API tokens: {_places(statuses)}")
    for status in statuses:
        for date in dates_of(status):
            calendar.add_component(_event(status, date))
    text: str = calendar.to_ical().decode()
    return text


def _places(statuses: Sequence[Status]) -> str:
    return ", ".join(_shown(status.place) for status in statuses)


def _event(status: Status, date: Date) -> Event:
    from icalendar import Event  # noqa: PLC0415

    event = Event()
    event.add("uid", _uid(status, date))
    event.add("dtstamp", _moment(status.as_of_ms))
    event.add("dtstart", _moment(date.at_ms))
    event.add("summary", _summary(date))
    event.add("description", _description(status, date))
    event.add("categories", [date.kind.value])
    event.add("transp", "TRANSPARENT")
    event.add("class", "PRIVATE")
    return event


def _uid(status: Status, date: Date) -> str:
    token = date.token_id or "" if date.kind is DateKind.OVERLAP else ""
    parts = (status.api_url, status.place, date.label, date.kind.value, token)
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()
    return f"{digest[:_UID_DIGITS]}@reconciler"


def _shown(text: str) -> str:
    return safe(text).replace("::", ":\\x3a")


def _summary(date: Date) -> str:
    if date.kind is DateKind.OVERLAP:
        return f"{_shown(date.label)}: the overlap of {_shown(short(date.token_id or ''))} ends"
    if date.kind is DateKind.HOLD:
        return f"{_shown(date.label)}: the hold ends"
    if date.kind is DateKind.RESERVE:
        return f"{_shown(date.label)}: the reserve ends, and a person is needed"
    return f"{_shown(date.label)}: rotation is due"


def _description(status: Status, date: Date) -> str:
    said = {
        DateKind.ROTATION: "From then on a run replaces the token.",
        DateKind.OVERLAP: (
            "From then on the old token may be revoked, once it is quiet and its successor is used."
        ),
        DateKind.HOLD: "From then on rotations of the label are no longer held.",
        DateKind.RESERVE: "An apply with an identity token fills it up before that.",
    }
    as_of = f"As of {iso(status.as_of_ms)}, {_shown(status.place)} at {_shown(status.api_url)}."
    note = f" ({_shown(date.note)})" if date.note else ""
    return f"{said[date.kind]}{note} {as_of}"


def _moment(at_ms: int) -> dt.datetime:
    """Return an instant to the second: the format has no smaller unit."""
    return dt.datetime.fromisoformat(iso(at_ms)).replace(microsecond=0)
