#!/bin/sh
# dotenv-stringify (npm) writes a quote within a value as \", which dotenv reads back with its backslash. Node itself cuts the value there.
#
# "Objects stringified using this package will be parsable by dotenv.parse()", says its README, and one expects to get back what was
# given. dotenv knows no backslash before a quote: say "hi" comes back as say \"hi\", and nothing is said. `node --env-file` ends the
# value at that quote: say \. A value that is JSON text is written as it is, so a text in quotes of its own loses them, and a tab comes
# back as a backslash and a t. dotenv-stringify 3.0.1, dotenv 18.0.10, Node 20.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund dotenv-stringify@3.0.1 dotenv@18.0.10 > npm.log 2>&1
cat > ask.js <<'END'
const assert = require("node:assert")
const { execFileSync } = require("node:child_process")
const fs = require("node:fs")
const dotenv = require("dotenv")
const stringify = require("dotenv-stringify")

const byNode = (file) =>
  execFileSync(process.execPath, [`--env-file=${file}`, "-p", "process.env.VALUE"], { encoding: "utf8" }).slice(0, -1)

console.log(`Node ${process.version}`)
const seen = {}
for (const value of ["it's #1", 'say "hi"', '"quoted"', "a\tb"]) {
  fs.writeFileSync("written.env", stringify({ VALUE: value }) + "\n")
  seen[value] = [dotenv.parse(fs.readFileSync("written.env")).VALUE, byNode("written.env")]
  console.log(`${JSON.stringify(value)} is written as ${fs.readFileSync("written.env", "utf8").trim()}`)
  console.log(`  dotenv: ${seen[value][0]}`)
  console.log(`  node:   ${seen[value][1]}`)
}
assert.deepStrictEqual(seen, {
  "it's #1": ["it's #1", "it's #1"],
  'say "hi"': ['say \\"hi\\"', "say \\"],
  '"quoted"': ["quoted", "quoted"],
  "a\tb": ["a\\tb", "a\\tb"],
})
END
env -u VALUE node ask.js
