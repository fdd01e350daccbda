#!/bin/sh
# yamlfix formats the text within a block (|) as if it were YAML: "- debug: off" becomes "- debug: false", and "issue #2" "issue  # 2".
#
# A formatter leaves values as they are; its README says that it keeps comments and makes true or false of yes, no, on and off. It goes
# over the lines of a file by pattern, so the words of a script, a mail or an embedded file change too, and blank lines between them
# go. In a list within brackets the quotes around "no" and "on" go as well: PyYAML reads what was a text as false and true then.
# yamlfix 1.19.1, PyYAML 6.0.3.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check yamlfix==1.19.1 PyYAML==6.0.3
cat > before.yaml <<'END'
---
options: |
  - debug: off
notice: |
  fixed with issue #2

  nothing else
states: ["no", "on"]
END
cp before.yaml after.yaml
venv/bin/yamlfix after.yaml > log 2>&1
cat > compare.py <<'END'
from pathlib import Path

import yaml

before, after = (yaml.safe_load(Path(f"{name}.yaml").read_text()) for name in ("before", "after"))
for key in before:
    print(f"{key:8} {before[key]!r} is made {after[key]!r}")
assert before == {
    "options": "- debug: off\n",
    "notice": "fixed with issue #2\n\nnothing else\n",
    "states": ["no", "on"],
}, before
assert after == {
    "options": "- debug: false\n",
    "notice": "fixed with issue  # 2\nnothing else\n",
    "states": [False, True],
}, after
END
venv/bin/python compare.py
