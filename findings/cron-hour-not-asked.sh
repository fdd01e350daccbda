#!/bin/sh
# cron (npm) runs "0 0 * * *" in Cairo at 23:00 as well, once a year, and "15 1-3 * * *" in Havana at 00:15.
#
# One expects each time to fit the expression, as with croner. It happens where clocks are put back at midnight or at one o'clock, and
# on Lord Howe, where they are moved by half an hour: there the job of 02:30 runs at 01:30, twice, before it runs at 02:30. CronJob
# takes its times from the same function. cron 4.4.0, croner 11.0.1; the zones are those of the machine's Node.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund --cache "$folder/cache" cron@4.4.0 croner@11.0.1
cat > ask.mjs <<'END'
import assert from "node:assert/strict";
import { CronTime } from "cron";
import { Cron } from "croner";

const cases = [
  ["0 0 * * *", "Africa/Cairo", "2026-10-29T12:00:00Z"],
  ["15 1-3 * * *", "America/Havana", "2026-11-01T03:00:00Z"],
  ["30 2 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z"],
];
const byCron = (rule, zone, start) => {
  const times = [];
  for (let date = new Date(start); times.length < 3; ) {
    date = new CronTime(rule, zone).getNextDateFrom(date, zone).toJSDate();
    times.push(date);
  }
  return times;
};
const byCroner = (rule, zone, start) => new Cron(rule, { timezone: zone }).nextRuns(3, new Date(start));
const shown = (zone, times) => {
  const clock = new Intl.DateTimeFormat("en-GB", { timeZone: zone, day: "2-digit", hour: "2-digit", minute: "2-digit" });
  return times.map((time) => clock.format(time));
};
const found = cases.map(([rule, zone, start]) => ({
  cron: shown(zone, byCron(rule, zone, start)),
  croner: shown(zone, byCroner(rule, zone, start)),
}));
console.log("Node", process.version, "zones", process.versions.tz);
cases.forEach(([rule, zone], index) => {
  console.log(rule, zone);
  for (const [name, times] of Object.entries(found[index])) console.log(`  ${name.padEnd(7)}`, times.join("   "));
});
assert.deepEqual(found, [
  { cron: ["29, 23:00", "30, 00:00", "31, 00:00"], croner: ["30, 00:00", "31, 00:00", "01, 00:00"] },
  { cron: ["01, 00:15", "01, 01:15", "01, 02:15"], croner: ["01, 01:15", "01, 02:15", "01, 03:15"] },
  { cron: ["05, 01:30", "05, 01:30", "05, 02:30"], croner: ["05, 02:30", "06, 02:30", "07, 02:30"] },
]);
END
node ask.mjs
