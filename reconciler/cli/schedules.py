"""Whether a schedule that applies meets the windows of a manifest; ``doctor`` asks.

    which schedule                                      is found
    --------------------------------------------------  --------------------------------
    --schedule CRON, which may be repeated              as it is given
    else that of a workflow in .github/workflows that   in the files
    is, or calls, tokens-rotate
    else                                                not at all: nothing is compared

The times are in UTC, as at GitHub. Only a cron of the plain kind is compared: numbers,
``*``, lists, ranges and steps in its minute, hour and day of the week, and ``*`` in the
other two fields.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from reconciler.documents import Check, Health
from reconciler.escape import counted
from reconciler.model import DAY_MS, HOUR_MS, MINUTE_MS, Manifest, Window
from reconciler.plan import is_open

WORKFLOWS = Path(".github/workflows")
ROTATES = "tokens-rotate"

_LOOK_DAYS = 14
_SEASONS_MS = (0, 182 * DAY_MS)
"""Half a year apart: a clock that is put forward shows another hour of UTC."""

_LARGEST_FILE = 1 << 20
_MINUTES, _HOURS, _WEEK = 60, 24, 7
_MONDAY_IN_CRON = 1


class Cron:
    """A schedule of the plain kind. ValueError for any other."""

    def __init__(self, text: str) -> None:
        fields = text.split()
        if len(fields) != 5 or fields[2:4] != ["*", "*"]:  # noqa: PLR2004  # the fields of a cron
            raise ValueError(f"{text!r} is not compared")
        self.minutes = _numbers(fields[0], _MINUTES - 1)
        self.hours = _numbers(fields[1], _HOURS - 1)
        self.days = {day % _WEEK for day in _numbers(fields[4], _WEEK)}

    def instants(self, from_ms: int) -> Iterator[int]:
        """Yield when it runs within two weeks."""
        first = from_ms // DAY_MS
        for day in range(first, first + _LOOK_DAYS):
            weekday = dt.date.fromordinal(_EPOCH_DAY + day).weekday()
            if (weekday + _MONDAY_IN_CRON) % _WEEK not in self.days:
                continue
            for hour in self.hours:
                for minute in self.minutes:
                    yield day * DAY_MS + hour * HOUR_MS + minute * MINUTE_MS


_EPOCH_DAY = dt.date(1970, 1, 1).toordinal()


def _numbers(field: str, largest: int) -> list[int]:
    """Return what a field stands for; ValueError for names and other kinds."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = ("0", "-", str(largest)) if span == "*" else span.partition("-")
        start, end = int(first), int(last) if last else largest if step else int(first)
        if not 0 <= start <= end <= largest:
            raise ValueError(f"{field!r} is out of its bounds")
        found |= set(range(start, end + 1, int(step or 1)))
    return sorted(found)


def schedule_checks(given: Sequence[str], manifest: Manifest, now_ms: int) -> Iterator[Check]:
    """Yield whether the schedules meet each window; nothing without a window."""
    windows = {spec.windows: spec.label for spec in reversed(manifest.tokens) if spec.windows}
    if not windows:
        return
    crons, odd = _crons(given or tuple(_in_workflows()))
    for text in odd:
        yield _warn(f"the schedule {text!r} is not compared with the windows", "")
    if not crons:
        return
    missed = [
        f"{' or '.join(w.text for w in several)} ({label})"
        for several, label in sorted(windows.items(), key=lambda pair: pair[1])
        if not all(_meets(crons, several, now_ms + ahead_ms) for ahead_ms in _SEASONS_MS)
    ]
    if missed:
        more = f" and {len(missed) - 3} more" if len(missed) > 3 else ""  # noqa: PLR2004
        told = f"the schedule never meets {'; '.join(missed[:3])}{more}"
        yield _warn(told, "let the apply run every hour")
    else:
        number = counted(len(windows), "window")
        yield Check(id="schedule", health=Health.OK, message=f"meets all windows ({number})")


def _warn(message: str, action: str) -> Check:
    return Check(id="schedule", health=Health.WARN, message=message, action=action)


def _meets(crons: Iterable[Cron], windows: tuple[Window, ...], from_ms: int) -> bool:
    return any(is_open(windows, at_ms) for cron in crons for at_ms in cron.instants(from_ms))


def _crons(texts: Iterable[str]) -> tuple[list[Cron], list[str]]:
    crons, odd = [], []
    for text in texts:
        try:
            crons.append(Cron(text))
        except ValueError:
            odd.append(text)
    return crons, odd


def _in_workflows() -> Iterator[str]:
    """Yield the schedules of workflows that rotate, as far as they can be read."""
    import yaml  # noqa: PLC0415  # as for every part of a command that is seldom needed

    for file in sorted((*WORKFLOWS.glob("*.yml"), *WORKFLOWS.glob("*.yaml"))):
        try:
            if file.stat().st_size > _LARGEST_FILE:
                continue
            text = file.read_text(encoding="utf-8")
            workflow = yaml.safe_load(text) if ROTATES in text or ROTATES in file.stem else None
        except (OSError, ValueError, yaml.YAMLError):
            continue
        if isinstance(workflow, dict):
            yield from _schedules(workflow)


def _schedules(workflow: dict[Any, Any]) -> Iterator[str]:
    """Yield a workflow's schedules; YAML 1.1 reads its key ``on`` as true."""
    on = workflow.get("on", workflow.get(True))
    rows = on.get("schedule") if isinstance(on, dict) else None
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict) and isinstance(row.get("cron"), str):
            yield row["cron"]
