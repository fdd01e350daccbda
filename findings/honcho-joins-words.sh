#!/bin/sh
# honcho takes the spaces out of a value in .env: SCOPES=trading delegated_signing is set as "tradingdelegated_signing".
#
# honcho is a clone of Foreman, and one expects what Foreman's port to Node and python-dotenv do: the value goes on to the end of the
# line, so both words are read as they stand. (A shell would refuse the line.) honcho cuts the line into tokens, and joins them without
# what stood between. A line with an empty value is left out, so ACCOUNT= does not clear what the environment has already, as it does
# with the other two. Nothing is said of either. Values in quotes are right. honcho 2.0.0, foreman 3.0.1 (npm), python-dotenv 1.2.4.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check honcho==2.0.0 'python-dotenv[cli]==1.2.4'
npm install --silent --no-audit --no-fund --prefix node foreman@3.0.1 > npm.log 2>&1
cat > .env <<'END'
SCOPES=trading delegated_signing
QUOTED="trading delegated_signing"
ACCOUNT=
KEY=ab+/cd==
END
cat > show.py <<'END'
import os

names = ("SCOPES", "QUOTED", "ACCOUNT", "KEY")
print({name: os.environ.get(name) for name in names})
END
asked() {
    env -u SCOPES -u QUOTED -u KEY ACCOUNT=old "$@" venv/bin/python show.py
}
by_honcho=$(asked venv/bin/honcho run)
by_foreman=$(asked node/node_modules/.bin/nf run | tail -n 1)
by_dotenv=$(asked venv/bin/dotenv run --)
echo "honcho:        $by_honcho"
echo "foreman (npm): $by_foreman"
echo "python-dotenv: $by_dotenv"
quoted="'QUOTED': 'trading delegated_signing'"
key="'KEY': 'ab+/cd=='"
test "$by_foreman" = "{'SCOPES': 'trading delegated_signing', $quoted, 'ACCOUNT': '', $key}"
test "$by_dotenv" = "$by_foreman"
test "$by_honcho" = "{'SCOPES': 'tradingdelegated_signing', $quoted, 'ACCOUNT': 'old', $key}"
