#!/bin/sh
# Day.js writes a negative duration as -PT1M30S and reads that, its own text, as 90 seconds forward: the sign is lost without an error.
#
# One expects that duration(duration(x).toISOString()) is x again, as with moment, whose interface it follows. Signs within are read
# but not written: PT-1H30M is half an hour back, and is told as -PT1H30M, an hour and a half back, and so as an hour and a half
# forward to its next reader. A comma before the fraction, which ISO 8601 allows, makes PT1,5S nothing at all. dayjs 1.11.23,
# moment 2.31.0.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund --cache "$folder/cache" dayjs@1.11.23 moment@2.31.0
cat > ask.mjs <<'END'
import assert from "node:assert/strict";
import dayjs from "dayjs";
import duration from "dayjs/plugin/duration.js";
import moment from "moment";

dayjs.extend(duration);
const found = {};
for (const [name, library] of Object.entries({ dayjs, moment })) {
  const readAgain = (value) => {
    const first = library.duration(value);
    const text = first.toISOString();
    return [first.asSeconds(), text, library.duration(text).asSeconds()];
  };
  found[name] = [-90_000, "PT-1H30M", "PT1,5S"].map(readAgain);
  console.log(name);
  for (const [before, text, after] of found[name]) console.log(`  ${before} s is written as ${text}, read as ${after} s`);
}
assert.deepEqual(found, {
  dayjs: [[-90, "-PT1M30S", 90], [-1800, "-PT1H30M", 5400], [0, "P0D", 0]],
  moment: [[-90, "-PT1M30S", -90], [-1800, "-PT30M", -1800], [1.5, "PT1.5S", 1.5]],
});
END
node ask.mjs
