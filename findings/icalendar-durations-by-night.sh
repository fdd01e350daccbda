#!/bin/sh
# iCalendar: of four readers none ends both an event of a day (P1D) and one of 24 hours (PT24H) right, when clocks are put back meanwhile.
#
# RFC 5545 (3.3.6) has days that follow the calendar and hours that are exact. icalendar, ics.py and ical.js count both on the clock, so
# PT3H takes four hours that night, and for ical.js PT1H takes none in spring; node-ical counts both exactly. Of a time that comes
# twice the first is meant (3.3.5); ical.js and node-ical take the second. The calendar defines its zone. icalendar 7.3.2, ics 0.7.3,
# ical.js 2.2.1, node-ical 0.27.2.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund --cache "$folder/cache" ical.js@2.2.1 node-ical@0.27.2
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check icalendar==7.3.2 ics==0.7.3 arrow==1.4.0 tzdata==2026.6
cat > read.mjs <<'END'
import ICAL from "ical.js";
import ical from "node-ical";
import fs from "node:fs";

const moments = ({ start, end }) => [start, end].map((time) => time.toISOString().slice(0, 16));
const found = { "ical.js": [], "node-ical": [] };
for (const text of JSON.parse(fs.readFileSync("calendars.json", "utf8"))) {
  const calendar = new ICAL.Component(ICAL.parse(text));
  ICAL.TimezoneService.register(calendar.getFirstSubcomponent("vtimezone"));
  const { startDate, endDate } = new ICAL.Event(calendar.getFirstSubcomponent("vevent"));
  found["ical.js"].push(moments({ start: startDate.toJSDate(), end: endDate.toJSDate() }));
  found["node-ical"].push(moments(Object.values(ical.sync.parseICS(text)).find(({ type }) => type === "VEVENT")));
}
console.log(JSON.stringify(found));
END
cat > ask.py <<'END'
import json
import subprocess
from datetime import UTC
from pathlib import Path

import ics
from icalendar import Calendar

HEAD = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//example//
BEGIN:VTIMEZONE
TZID:Europe/Berlin
BEGIN:STANDARD
DTSTART:19701025T030000
TZOFFSETFROM:+0200
TZOFFSETTO:+0100
RRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU
END:STANDARD
BEGIN:DAYLIGHT
DTSTART:19700329T020000
TZOFFSETFROM:+0100
TZOFFSETTO:+0200
RRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU
END:DAYLIGHT
END:VTIMEZONE
BEGIN:VEVENT
UID:1
DTSTAMP:20260101T000000Z
DTSTART;TZID=Europe/Berlin:"""
EVENTS = {  # start, duration: start and end in UTC as RFC 5545 has them
    ("20261024T120000", "P1D"): ("2026-10-24T10:00", "2026-10-25T11:00"),
    ("20261024T120000", "PT24H"): ("2026-10-24T10:00", "2026-10-25T10:00"),
    ("20261025T013000", "PT3H"): ("2026-10-24T23:30", "2026-10-25T02:30"),
    ("20260329T013000", "PT1H"): ("2026-03-29T00:30", "2026-03-29T01:30"),
    ("20261025T023000", "PT0S"): ("2026-10-25T00:30", "2026-10-25T00:30"),
}


def moments(*times):
    return [time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M") for time in times]


def by_icalendar(text):
    (event,) = Calendar.from_ical(text).walk("VEVENT")
    return moments(event.start, event.end)


def by_ics(text):
    (event,) = ics.Calendar(text).events
    return moments(event.begin, event.end)


calendars = [
    f"{HEAD}{start}\nDURATION:{duration}\nEND:VEVENT\nEND:VCALENDAR\n".replace("\n", "\r\n")
    for start, duration in EVENTS
]
Path("calendars.json").write_text(json.dumps(calendars))
found = {
    "icalendar": [by_icalendar(text) for text in calendars],
    "ics.py": [by_ics(text) for text in calendars],
    **json.loads(subprocess.run(["node", "read.mjs"], check=True, capture_output=True).stdout),
}
wrong = {}
for (start, duration), right in EVENTS.items():
    print(f"{start} in Berlin, {duration}: {right[0]} to {right[1]} in UTC")
    for name in found:
        seen = found[name].pop(0)
        if seen != list(right):
            wrong.setdefault(name, []).append(f"{duration} {' '.join(seen)}")
            print(f"    {name:9} {' to '.join(seen)}")
assert wrong == {
    "icalendar": ["PT24H 2026-10-24T10:00 2026-10-25T11:00", "PT3H 2026-10-24T23:30 2026-10-25T03:30"],
    "ics.py": ["PT24H 2026-10-24T10:00 2026-10-25T11:00", "PT3H 2026-10-24T23:30 2026-10-25T03:30"],
    "ical.js": [
        "PT24H 2026-10-24T10:00 2026-10-25T11:00",
        "PT3H 2026-10-24T23:30 2026-10-25T03:30",
        "PT1H 2026-03-29T00:30 2026-03-29T00:30",
        "PT0S 2026-10-25T01:30 2026-10-25T01:30",
    ],
    "node-ical": [
        "P1D 2026-10-24T10:00 2026-10-25T10:00",
        "PT0S 2026-10-25T01:30 2026-10-25T01:30",
    ],
}, wrong
END
TZ=UTC venv/bin/python ask.py
