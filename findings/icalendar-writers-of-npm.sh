#!/bin/sh
# Calendars of two writers on npm: a link with a comma comes back with a backslash in it, and a name with quotes is refused or lost.
#
# ical-generator escapes a URL as if it were text; an address has no escapes (RFC 5545, 3.3.13), so ical.js and vobject give a link
# with backslashes, while icalendar takes them away. ics writes a quote within CN="..." as \", which 3.2 rules out and RFC 6868 gives
# another form for: vobject refuses the calendar, icalendar drops the organizer, and ical.js has half a name. ical-generator 11.1.2,
# ics 3.12.0, ical.js 2.2.1, icalendar 7.3.2, vobject 0.9.9.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund --cache "$folder/cache" ical-generator@11.1.2 ics@3.12.0 ical.js@2.2.1
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check icalendar==7.3.2 vobject==0.9.9
cat > write.mjs <<'END'
import fs from "node:fs";
import ICAL from "ical.js";
import generator from "ical-generator";
import * as ics from "ics";

const url = "https://example.com/map?at=52.5,13.4;zoom=9";
const start = new Date("2026-10-01T09:00:00Z");
const calendar = generator();
calendar.createEvent({ id: "1", start, summary: "Meeting", url });
const { value } = ics.createEvent({
  uid: "2",
  start: start.getTime(),
  duration: { hours: 1 },
  title: "Meeting",
  organizer: { name: 'Robert "Bob" Roe', email: "bob@example.com" },
});
for (const [name, text] of [["link", calendar.toString()], ["name", value]]) {
  fs.writeFileSync(`${name}.ics`, text);
  const event = new ICAL.Component(ICAL.parse(text)).getFirstSubcomponent("vevent");
  const organizer = event.getFirstProperty("organizer");
  console.log(organizer ? organizer.getParameter("cn") : event.getFirstPropertyValue("url"));
}
END
cat > read.py <<'END'
import sys
from pathlib import Path

import icalendar
import vobject

LINK = "https://example.com/map?at=52.5,13.4;zoom=9"
ESCAPED = LINK.replace(",", r"\,").replace(";", r"\;")


def by_icalendar(file, key):
    (event,) = icalendar.Calendar.from_ical(Path(file).read_bytes()).walk("VEVENT")
    return str(event[key]) if key in event else "nothing"


def by_vobject(file, key):
    try:
        return getattr(vobject.readOne(Path(file).read_bytes().decode()).vevent, key).value
    except vobject.base.ParseError:
        return "refused"


found = {
    ("link", "ical.js"): sys.argv[1],
    ("link", "vobject"): by_vobject("link.ics", "url"),
    ("link", "icalendar"): by_icalendar("link.ics", "url"),
    ("name", "ical.js"): sys.argv[2],
    ("name", "vobject"): by_vobject("name.ics", "organizer"),
    ("name", "icalendar"): by_icalendar("name.ics", "organizer"),
}
for (what, name), seen in found.items():
    print(f"{what} read by {name:10} {seen}")
assert list(found.values()) == [ESCAPED, ESCAPED, LINK, "Robert \\", "refused", "nothing"], found
END
node write.mjs > seen
venv/bin/python read.py "$(sed -n 1p seen)" "$(sed -n 2p seen)"
