#!/bin/sh
# ical.js repeats RFC 5545's own examples "every 20th Monday of the year" and "Monday of week number 20" on every Monday.
#
# BYDAY=20MO and BYWEEKNO are read without an error and have no effect in a yearly rule (RFC 5545, 3.8.5.3). A date that does not
# exist has to be ignored (3.3.10); here the 31st of April becomes the 1st of May. rrule, beside it, has all three as the RFC does.
# The other way round, 90 minutes after 09:00 and again after 10:30 it is 12:00, as ical.js says; rrule says 12:30. ical.js 2.2.1,
# rrule 2.8.1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund --cache "$folder/cache" ical.js@2.2.1 rrule@2.8.1
cat > ask.mjs <<'END'
import assert from "node:assert/strict";
import ICAL from "ical.js";
import rrule from "rrule";

const first = (start, rule) => {
  const times = ICAL.Recur.fromString(rule).iterator(ICAL.Time.fromString(start));
  const compact = start.replaceAll(/[-:]/g, "");
  return {
    "ical.js": [1, 2, 3].map(() => times.next().toString().slice(0, 16)),
    rrule: rrule
      .rrulestr(`DTSTART:${compact}\nRRULE:${rule}`)
      .all((_, index) => index < 3)
      .map((time) => time.toISOString().slice(0, 16)),
  };
};

const cases = [
  ["1997-05-19T09:00:00Z", "FREQ=YEARLY;BYDAY=20MO"],
  ["1997-05-12T09:00:00Z", "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO"],
  ["2026-01-31T09:00:00Z", "FREQ=YEARLY;BYMONTH=1,4,7"],
  ["2026-03-02T09:00:00Z", "FREQ=MINUTELY;INTERVAL=90;BYHOUR=9,12"],
];
const found = cases.map(([start, rule]) => first(start, rule));
cases.forEach(([, rule], index) => {
  console.log(rule);
  for (const [name, times] of Object.entries(found[index])) console.log(`  ${name.padEnd(8)}`, ...times);
});
assert.deepEqual(found, [
  {
    "ical.js": ["1997-05-19T09:00", "1997-05-26T09:00", "1997-06-02T09:00"],
    rrule: ["1997-05-19T09:00", "1998-05-18T09:00", "1999-05-17T09:00"],
  },
  {
    "ical.js": ["1997-05-19T09:00", "1997-05-26T09:00", "1997-06-02T09:00"],
    rrule: ["1997-05-12T09:00", "1998-05-11T09:00", "1999-05-17T09:00"],
  },
  {
    "ical.js": ["2026-01-31T09:00", "2026-05-01T09:00", "2026-07-31T09:00"],
    rrule: ["2026-01-31T09:00", "2026-07-31T09:00", "2027-01-31T09:00"],
  },
  {
    "ical.js": ["2026-03-02T09:00", "2026-03-02T12:00", "2026-03-03T09:00"],
    rrule: ["2026-03-02T09:00", "2026-03-02T12:30", "2026-03-03T12:00"],
  },
]);
END
node ask.mjs
