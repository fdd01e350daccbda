#!/bin/sh
# iso8601-duration takes the part of a text that it understands and forgets the rest: P1Y0.5D is a year, and -PT1H an hour.
#
# Its README has P0.5D as an example of a fraction that is allowed; P0.5D is refused, as only hours, minutes and seconds may have one.
# Its pattern has no ends, so what stands before or after the part that fits is passed over: beside a year, the half day is, and the
# sign, which the README calls "not yet supported". One expects RangeError, as for P0.5D, or the value, which tinyduration gives.
# iso8601-duration 2.1.4, tinyduration 3.4.1.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund --cache "$folder/cache" iso8601-duration@2.1.4 tinyduration@3.4.1
cat > ask.mjs <<'END'
import assert from "node:assert/strict";
import { parse, toSeconds } from "iso8601-duration";
import tiny from "tinyduration";

const read = (text) => {
  try {
    return Object.fromEntries(Object.entries(parse(text)).filter(([, value]) => value !== 0));
  } catch (error) {
    return error.name;
  }
};
const shown = (value) => JSON.stringify(value).padEnd(14);
const found = {};
for (const text of ["P0.5D", "P1Y0.5D", "P4W1.5D", "-PT1H"]) {
  found[text] = read(text);
  console.log(text.padEnd(9), shown(found[text]), "tinyduration:", JSON.stringify(tiny.parse(text)));
}
assert.deepEqual(found, {
  "P0.5D": "RangeError",
  "P1Y0.5D": { years: 1 },
  "P4W1.5D": { weeks: 4 },
  "-PT1H": { hours: 1 },
});
assert.equal(toSeconds(parse("-PT1H")), 3600);
END
node ask.mjs
