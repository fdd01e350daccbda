#!/bin/sh
# `import httpx` loads rich and pygments as well, wherever both and click happen to be installed: httpx/__init__.py imports the module
# of its command line, and passes over an ImportError only.
#
# So a program that uses rich for something else pays for it at each start, though it never calls httpx' command line. Without
# pygments the import ends at once, so `pip install httpx` alone does not show it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check httpx==0.28.1 click==8.3.1
cat > count.py <<'END'
import sys

before = set(sys.modules)
import httpx  # noqa: E402

new = set(sys.modules) - before
print(len(new), sum(name.split(".")[0] in {"rich", "pygments"} for name in new), httpx.__version__)
END
alone=$(venv/bin/python count.py)
venv/bin/pip install --quiet --disable-pip-version-check rich==14.2.0
beside=$(venv/bin/python count.py)
echo "modules, of rich and pygments, httpx: $alone"
echo "the same with rich installed:         $beside"
test "$(echo "$alone" | cut -d ' ' -f 2)" -eq 0
test "$(echo "$beside" | cut -d ' ' -f 2)" -gt 50
