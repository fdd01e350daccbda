"""The next 90 days: a sheet of weeks, and the days on which something happens.

Rules this module keeps:

1. The sheet counts, the days beside it name. Each number has its words for whoever
   can't see the colour.
2. What is late stands first, with the date that it had.
3. The calendar ends in the year 9999: dates beyond it are the last one.
"""

from __future__ import annotations

import collections
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from reconciler.escape import counted, short
from reconciler.model import DAY_MS, iso
from reconciler.plan import Date, DateKind, Status, dates_of
from reconciler.render.page.parts import (
    FEW,
    Places,
    day_of,
    day_words,
    folded,
    instant,
    section,
    text,
)
from reconciler.render.status import when

HORIZON_DAYS = 90
SOON_DAYS = 14
LINES_MOST = 30
"""So many dates have a line each, with the time of day; more share one by kind."""

_WEEK = 7
_WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_CLOCK = slice(11, 16)


class _Words(NamedTuple):
    """How a kind of date is shown: its class, its letter on the sheet, its words."""

    tone: str
    mark: str
    noun: str
    late: str


_KINDS: Mapping[DateKind, _Words] = {
    DateKind.ROTATION: _Words("r", "R", "rotation", "due since"),
    DateKind.OVERLAP: _Words("e", "E", "end of an overlap", "overlap over since"),
    DateKind.HOLD: _Words("h", "H", "end of a hold", "hold over since"),
    DateKind.RESERVE: _Words("p", "P", "end of a reserve", "reserve used up since"),
}
_PLURALS = {
    "rotation": "rotations",
    "end of an overlap": "ends of overlaps",
    "end of a reserve": "ends of reserves",
    "end of a hold": "ends of holds",
}


class _Row(NamedTuple):
    """A date, and whose it is."""

    status: Status
    date: Date


def calendar_part(statuses: Sequence[Status], places: Places) -> str:
    """Return the calendar of all statuses, from the day of the newest on."""
    now_ms = max((status.as_of_ms for status in statuses), default=0)
    rows = [_Row(status, date) for status in statuses for date in dates_of(status)]
    rows.sort(key=lambda row: (row.date.at_ms, row.date.label))
    end = day_of(now_ms + HORIZON_DAYS * DAY_MS)
    late = [row for row in rows if row.date.at_ms < now_ms]
    coming = [row for row in rows[len(late) :] if day_of(row.date.at_ms) < end]
    beyond = len(rows) - len(late) - len(coming)
    by_day: dict[str, list[_Row]] = collections.defaultdict(list)
    for row in coming:
        by_day[day_of(row.date.at_ms)].append(row)
    said = "".join(
        f'<li><span class="kind {kind.tone}">{kind.mark}</span> {kind.noun}</li>'
        for kind in _KINDS.values()
    )
    body = [
        f'<ul class="key">{said}</ul>',
        '<div class="when">',
        f'<div class="sheet">{_sheet(now_ms, by_day)}</div>',
        "<div>",
        *_late(late, now_ms, places),
        *_agenda(by_day, now_ms, places),
        *([f'<p class="dim">{counted(beyond, "date")} later than that.</p>'] if beyond else []),
        "</div></div>",
    ]
    return section("calendar", f"The next {HORIZON_DAYS} days", "\n".join(body))


# --- the sheet ---


def _sheet(now_ms: int, by_day: Mapping[str, Sequence[_Row]]) -> str:
    """Return the weeks as a table, Monday first."""
    today = dt.date.fromisoformat(day_of(now_ms))
    first_ms = now_ms - today.weekday() * DAY_MS
    days = today.weekday() + HORIZON_DAYS
    weeks = -(-days // _WEEK)
    rows = []
    for week in range(weeks):
        cells = []
        for weekday in range(_WEEK):
            offset = week * _WEEK + weekday
            inside = today.weekday() <= offset < days
            cells.append(_cell(day_of(first_ms + offset * DAY_MS), today, by_day, inside=inside))
        rows.append(f"<tr>{''.join(cells)}</tr>")
    heads = "".join(f'<th scope="col">{day}</th>' for day in _WEEKDAYS)
    return (
        '<table class="grid"><caption>How many things happen on which day (UTC)</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _cell(day: str, today: dt.date, by_day: Mapping[str, Sequence[_Row]], *, inside: bool) -> str:
    if not inside:
        return '<td class="out"></td>'
    date = dt.date.fromisoformat(day)
    classes = [
        *(["today"] if date == today else []),
        *(["end"] if date.isoweekday() >= _WEEK - 1 else []),
    ]
    named = date == today or date.day == 1
    shown = f'<span class="m">{date:%b}</span> {date.day}' if named else f"{date.day}"
    note = '<span class="vh">, today</span>' if date == today else ""
    found = collections.Counter(row.date.kind for row in by_day.get(day, ()))
    marks = "".join(
        f'<a class="{kind.tone}" href="#d-{day}"><span aria-hidden="true">{kind.mark}&nbsp;'
        f'{found[key]}</span><span class="vh">{_number(found[key], kind)}</span></a>'
        for key, kind in _KINDS.items()
        if found[key]
    )
    attribute = f' class="{" ".join(classes)}"' if classes else ""
    return f'<td{attribute}><span class="d">{shown}{note}</span>{marks}</td>'


def _number(number: int, kind: _Words) -> str:
    return f"{number} {kind.noun if number == 1 else _PLURALS[kind.noun]}"


# --- the days ---


def _late(rows: Sequence[_Row], now_ms: int, places: Places) -> Iterator[str]:
    """Yield what should have happened already, the oldest first."""
    for key, kind in _KINDS.items():
        found = [row for row in rows if row.date.kind is key]
        if not found:
            continue
        names = [
            f"{_whose(row, places)} {kind.late} {instant(row.date.at_ms, now_ms)}" for row in found
        ]
        items = "".join(f"<li>{_tag(kind)}<div>{one}</div></li>" for one in names)
        if len(names) > FEW:
            items = (
                f"<li>{_tag(kind)}<details><summary>{_number(len(names), kind)}, late</summary>"
                f"<ul>{items}</ul></details></li>"
            )
        yield f'<div class="day"><h3>Late: {_PLURALS[kind.noun]}</h3><ul>{items}</ul></div>'


def _agenda(by_day: Mapping[str, Sequence[_Row]], now_ms: int, places: Places) -> Iterator[str]:
    """Yield the days on which something happens; what is further off is folded away."""
    if not by_day:
        yield "<p>Nothing is due.</p>"
        return
    brief = sum(len(rows) for rows in by_day.values()) > LINES_MOST
    days = {day: _day(rows, now_ms, places, brief=brief) for day, rows in by_day.items()}
    last = day_of(now_ms + SOON_DAYS * DAY_MS)
    soon = [told for day, told in days.items() if day < last]
    later = [told for day, told in days.items() if day >= last]
    yield f"<h3>The next {SOON_DAYS} days</h3>"
    yield from soon or ["<p>Nothing is due.</p>"]
    if later:
        yield "<h3>After that</h3>"
    if len(later) > FEW:
        number = counted(sum(len(rows) for day, rows in by_day.items() if day >= last), "date")
        later = [f"<details><summary>{number}</summary>", *later, "</details>"]
    yield from later


def _day(rows: Sequence[_Row], now_ms: int, places: Places, *, brief: bool) -> str:
    """Return a day with a line for each date, or for those of a kind together."""
    if brief:
        kinds = {row.date.kind for row in rows}
        items = [_together(key, rows, places) for key in _KINDS if key in kinds]
    else:
        items = [_single(row, places) for row in rows]
    first_ms = rows[0].date.at_ms
    day = day_of(first_ms)
    return (
        f'<div class="day" id="d-{day}"><h4><time datetime="{day}">{day_words(day)}</time> '
        f'<span class="dim">{when(first_ms, now_ms)}</span></h4><ul>{"".join(items)}</ul></div>'
    )


def _together(key: DateKind, rows: Iterable[_Row], places: Places) -> str:
    kind = _KINDS[key]
    whose = [_whose(row, places) for row in rows if row.date.kind is key]
    names = folded(whose, _number(len(whose), kind))
    return f"<li>{_tag(kind)}<div>{names}</div></li>"


def _single(row: _Row, places: Places) -> str:
    clock = f'<span class="dim">{iso(row.date.at_ms)[_CLOCK]}</span>'
    note = f' <span class="dim">{text(row.date.note)}</span>' if row.date.note else ""
    whose = f"{clock} {_whose(row, places)}{note}"
    return f"<li>{_tag(_KINDS[row.date.kind])}<div>{whose}</div></li>"


def _tag(kind: _Words) -> str:
    return f'<span class="kind {kind.tone}">{kind.noun}</span>'


def _whose(row: _Row, places: Places) -> str:
    link = places.link(row.status, row.date.label)
    if row.date.kind is DateKind.OVERLAP and row.date.token_id is not None:
        return f"{link} <code>{text(short(row.date.token_id))}</code>"
    return link
