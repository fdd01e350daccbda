#!/bin/sh
# icalendar: a time with an offset, such as what fromisoformat makes of 2026-01-01T12:00:00+01:00, is written so that its offset is lost.
#
# One expects a moment in UTC, or a zone that the calendar defines. It becomes TZID="UTC+01:00", a name that no list of zones has, and
# add_missing_timezones() defines nothing for it. The library itself reads it back as a time without a zone, that is noon wherever the
# reader is. The second of the two hours 02:00 to 03:00 on the night on which clocks are put back (fold=1) is read back as the first,
# an hour early, so an event from the one half past two to the other takes no time. With times in UTC both are right. icalendar 7.3.2.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check icalendar==7.3.2 tzdata==2026.6
cat > ask.py <<'END'
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from icalendar import Calendar, Event


def written_and_read(*times):
    calendar, event = Calendar(), Event()
    calendar.add("prodid", "-//example//")
    calendar.add("version", "2.0")
    for name, time in zip(("dtstart", "dtend"), times, strict=False):
        event.add(name, time)
    calendar.add_component(event)
    calendar.add_missing_timezones()
    text = calendar.to_ical().decode()
    (found,) = Calendar.from_ical(text).walk("VEVENT")
    return text, found


noon = datetime.fromisoformat("2026-01-01T12:00:00+01:00")
text, event = written_and_read(noon)
(line,) = [line for line in text.splitlines() if line.startswith("DTSTART")]
print(f"{noon.isoformat()} is written as {line}, read as {event['dtstart'].dt!r}")
assert line == 'DTSTART;TZID="UTC+01:00":20260101T120000' and "VTIMEZONE" not in text
assert event["dtstart"].dt == datetime(2026, 1, 1, 12) and event["dtstart"].dt.tzinfo is None
_, event = written_and_read(noon.astimezone(UTC))
assert event["dtstart"].dt == noon

berlin = ZoneInfo("Europe/Berlin")
first = datetime(2026, 10, 25, 2, 30, tzinfo=berlin)
second = first.replace(fold=1)
assert (second.astimezone(UTC) - first.astimezone(UTC)).total_seconds() == 3600
_, event = written_and_read(first, second)
took = event["dtend"].dt.astimezone(UTC) - event["dtstart"].dt.astimezone(UTC)
print("an event of an hour on the night of two half past twos is read as one of", took)
assert took.total_seconds() == 0
END
venv/bin/python ask.py
