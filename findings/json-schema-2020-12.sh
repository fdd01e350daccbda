#!/bin/sh
# ajv and @cfworker/json-schema both name draft 2020-12 as theirs; a keyword of it that is there to refuse refuses nothing.
#
# ajv takes each item as evaluated once a schema has `contains`, so `unevaluatedItems: false` beside it never fails; in 2020-12 it is
# the items that `contains` fits, and no others. @cfworker/json-schema has no $dynamicRef, and passes over it without a word, so
# neither a tree nor a schema is judged below its first level (the meta-schema of 2020-12 is made of it). No strict mode warns.
# jsonschema-rs judges each as the draft does. ajv 8.20.0, @cfworker/json-schema 4.1.6, jsonschema-rs 0.61.2.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
echo '{"private": true}' > package.json
npm install --silent --no-audit --no-fund --cache "$folder/cache" ajv@8.20.0 @cfworker/json-schema@4.1.6
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check jsonschema-rs==0.61.2
cat > cases.json <<'END'
[
  [{
    "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "array",
    "contains": {"type": "integer"}, "unevaluatedItems": false
  }, [[1, 2], [1, "extra"]]],
  [{
    "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/tree", "$dynamicAnchor": "node",
    "type": "object", "properties": {"child": {"$dynamicRef": "#node"}}, "additionalProperties": false
  }, [{"child": {"child": {}}}, {"child": {"chlid": {}}}]]
]
END
cat > judge.mjs <<'END'
import fs from "node:fs";
import { Validator } from "@cfworker/json-schema";
import Ajv from "ajv/dist/2020.js";

const judged = { ajv: [], "@cfworker/json-schema": [] };
for (const [schema, values] of JSON.parse(fs.readFileSync("cases.json", "utf8"))) {
  const byAjv = new Ajv.default({ strict: true }).compile(schema);
  judged.ajv.push(values.map((value) => byAjv(value)));
  judged["@cfworker/json-schema"].push(values.map((value) => new Validator(schema, "2020-12").validate(value).valid));
}
console.log(JSON.stringify(judged));
END
cat > compare.py <<'END'
import json
import sys
from pathlib import Path

import jsonschema_rs

cases = json.loads(Path("cases.json").read_text())
judged = {
    "jsonschema-rs": [
        [jsonschema_rs.Draft202012Validator(schema).is_valid(value) for value in values]
        for schema, values in cases
    ],
    **json.loads(sys.argv[1]),
}
for name, (items, tree) in judged.items():
    print(f"{name:22} unevaluatedItems: {items}  $dynamicRef: {tree}")
assert judged == {
    "jsonschema-rs": [[True, False], [True, False]],
    "ajv": [[True, True], [True, False]],
    "@cfworker/json-schema": [[True, False], [True, True]],
}, judged
END
venv/bin/python compare.py "$(node judge.mjs)"
