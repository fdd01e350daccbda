#!/bin/sh
# cron-schedule (npm) runs "0 0 * * 5L", the last Friday of a month elsewhere, on every Friday, and "1#1" on every Monday.
#
# It does not know L, # and W, and one expects an error, as for "L" alone. Of each part it takes the digits at its beginning and leaves
# the rest, so only what begins with a letter is refused: MON#1 is, 1#1 is the same day and is not. "5/15", from the fifth minute
# every fifteen for its peers that take it, loses its step too. cron-schedule 6.0.0; croner 11.0.1 knows the first three,
# cron-parser 5.10.6 the fourth.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund --cache "$folder/cache" cron-schedule@6.0.0 croner@11.0.1 cron-parser@5.10.6
cat > ask.mjs <<'END'
import assert from "node:assert/strict";
import { CronExpressionParser } from "cron-parser";
import { parseCronExpression } from "cron-schedule";
import { Cron } from "croner";

const from = new Date("2026-11-30T00:00:00Z");
const shown = (dates) => dates.map((date) => date.toISOString().slice(5, 16)).join(" ");
const byPeer = (rule) => {
  if (!rule.startsWith("5/")) return new Cron(rule, { timezone: "UTC" }).nextRuns(3, from);
  const dates = CronExpressionParser.parse(rule, { currentDate: from, tz: "UTC" });
  return [1, 2, 3].map(() => dates.next().toDate());
};
const found = {};
for (const rule of ["0 0 * * 5L", "0 0 * * 1#1", "0 0 16W * *", "5/15 * * * *"]) {
  const dates = [];
  for (let date = from; dates.length < 3; dates.push(date)) date = parseCronExpression(rule, { timezone: "UTC" }).getNextDate(date);
  found[rule] = [shown(dates), shown(byPeer(rule))];
  console.log(rule.padEnd(13), found[rule][0], "  a peer:", found[rule][1]);
}
for (const rule of ["0 0 L * *", "0 0 * * MON#1"]) {
  assert.throws(() => parseCronExpression(rule));
  console.log(rule.padEnd(13), "refused");
}
assert.deepEqual(found, {
  "0 0 * * 5L": ["12-04T00:00 12-11T00:00 12-18T00:00", "12-25T00:00 01-29T00:00 02-26T00:00"],
  "0 0 * * 1#1": ["12-07T00:00 12-14T00:00 12-21T00:00", "12-07T00:00 01-04T00:00 02-01T00:00"],
  "0 0 16W * *": ["12-16T00:00 01-16T00:00 02-16T00:00", "12-16T00:00 01-15T00:00 02-16T00:00"],
  "5/15 * * * *": ["11-30T00:05 11-30T01:05 11-30T02:05", "11-30T00:05 11-30T00:20 11-30T00:35"],
});
END
TZ=UTC node ask.mjs
