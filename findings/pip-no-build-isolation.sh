#!/bin/sh
# pip reads the variable PIP_NO_BUILD_ISOLATION the other way round: "1" keeps the isolation, "0" takes it away.
#
# `--no-build-isolation` stores false, and so does every variable of an option that begins with "no": its value is taken for what is
# stored. The package here needs a build backend that is installed already; within the isolation pip would download it, and
# --no-index lets it download nothing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pip==25.3 hatchling==1.27.0
mkdir package
cat > package/pyproject.toml <<'END'
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "surprise"
version = "1"
END
touch package/surprise.py
for value in 1 0; do
    if PIP_NO_BUILD_ISOLATION=$value venv/bin/pip wheel --quiet --no-index --no-deps --wheel-dir wheels ./package > log 2>&1; then
        echo "PIP_NO_BUILD_ISOLATION=$value: built with what is installed (without isolation)"
    else
        echo "PIP_NO_BUILD_ISOLATION=$value: $(sed -n 's/.*ERROR: \(No matching distribution.*\)/\1/p' log | head -n 1)"
    fi
done
