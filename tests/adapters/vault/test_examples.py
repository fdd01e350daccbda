"""The files and commands of .github/examples/vault, exactly as they are: run against a
real OpenBao, and logged in through.

Only the issuers differ: in place of GitHub's, GitLab's and a cluster's keys, the server
is told a key of these tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import hvac
import pytest

from reconciler.demo.openbao import OpenBaoServer, _binary
from reconciler.errors import VaultRefusedError
from reconciler.sandbox import Sandbox, SandboxConfig
from reconciler.vault.settings import settings_from_environment
from reconciler.vault.store import SecretStore
from tests.adapters.vault.doors import authority
from tests.adapters.vault.issuers import (
    CLUSTER,
    GITHUB,
    GITLAB,
    github,
    pod_claims,
    review,
    token_of,
)
from tests.e2e.test_policies import Rule, policies, rules_in, without
from tests.support.fleet import ROOT, Fleet
from tests.support.loopback import LoopbackServer
from tests.support.openbao import jwt_public_key, new_token, operator

EXAMPLES = ROOT / ".github" / "examples" / "vault"
ROLES = {
    path.stem: json.loads(path.read_text(encoding="utf-8"))
    for path in sorted((EXAMPLES / "roles").glob("*.json"))
}
POLICIES = {
    path.stem: rules_in(re.sub(r"#.*", "", path.read_text(encoding="utf-8")))
    for path in sorted((EXAMPLES / "policies").glob("*.hcl"))
}
PLACE = "secret/limitless/identity"
BOT = {"label": "bot", "path": "prod/bot"}
_COMMANDS = re.compile(r"```sh\n(.*?)```", re.DOTALL)
_ROLE_USED = re.compile(r"RECONCILER_VAULT_ROLE:?\s+(?:value:\s+)?([\w-]+)")
_MINUTES = re.compile(r"(\d+)m")
_SELF = {("auth/token/revoke-self", ("update",)), ("auth/token/lookup-self", ("read",))}


class Way(NamedTuple):
    """How jobs of one kind log in: the mount, the issuer, and what its tokens always
    say.
    """

    mount: str
    issuer: str
    always: Mapping[str, object]


WAYS = {
    "github": Way(
        "jwt-github",
        GITHUB,
        {"sub": "repo:acme@1/app@2:…", "run_id": "1", "sha": "c0ffee", "actor_id": "7"},
    ),
    "gitlab": Way(
        "jwt-gitlab",
        GITLAB,
        {"sub": "project_path:…", "pipeline_id": "1", "job_id": "2", "user_id": "7"},
    ),
    "kubernetes": Way("kubernetes", CLUSTER, {}),
}


class Installed:
    """A server on which the README's commands were run; its jobs."""

    def __init__(self, server: OpenBaoServer) -> None:
        self.server = server

    def claims(self, role: str) -> dict[str, object]:
        """What the identity token of the right job says."""
        settings, way = ROLES[role], WAYS[role.partition("-")[0]]
        if way.mount == "kubernetes":
            accounts, namespaces = (
                settings["bound_service_account_names"],
                settings["bound_service_account_namespaces"],
            )
            return pod_claims(accounts[0], namespaces[0], settings["audience"])
        bound = {
            name: value[0] if isinstance(value, list) else value
            for name, value in settings["bound_claims"].items()
        }
        return {**way.always, **bound, "aud": settings["bound_audiences"][0]}

    def job(self, role: str, folder: Path, **claims: object) -> dict[str, str]:
        """The environment of a job whose identity token says these claims instead; one
        given as None it does not have.
        """
        kind, _, right = role.partition("-")
        way = WAYS[kind]
        token = token_of(way.issuer, self.claims(role), **claims)
        environ = {
            "VAULT_ADDR": self.server.address,
            "RECONCILER_VAULT_AUTH": "kubernetes" if kind == "kubernetes" else "jwt",
            "RECONCILER_VAULT_AUTH_MOUNT": way.mount,
            "RECONCILER_VAULT_ROLE": f"tokens-{right}",
        }
        if kind != "kubernetes":
            return {**environ, "VAULT_ID_TOKEN": token}
        (folder / "token").write_text(token, encoding="ascii")
        return {**environ, "VAULT_JWT_FILE": str(folder / "token")}


def commands() -> list[str]:
    """The README's commands, block by block."""
    return _COMMANDS.findall((EXAMPLES / "README.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """A server of its own, set up by the README's commands with the real command line,
    under the name of Vault's too.
    """
    folder = tmp_path_factory.mktemp("examples")
    copy = shutil.copytree(EXAMPLES, folder / "vault")
    (folder / "bin").mkdir()
    for name in ("vault", "bao"):
        (folder / "bin" / name).symlink_to(_binary())
    with ExitStack() as stack:
        server = stack.enter_context(OpenBaoServer())
        cluster = stack.enter_context(LoopbackServer(review)).url
        with operator(server) as client:
            cluster_config = {
                "kubernetes_ca_cert": authority(client),
                "disable_local_ca_jwt": True,
                "kubernetes_host": cluster,
            }
        for name in ("github", "gitlab"):
            config = json.loads((copy / "config" / f"{name}.json").read_text(encoding="utf-8"))
            assert config.pop("oidc_discovery_url") == config["bound_issuer"] == WAYS[name].issuer
            local = {**config, "jwt_validation_pubkeys": [jwt_public_key()]}
            (copy / "config" / f"{name}.json").write_text(json.dumps(local), encoding="utf-8")
        (copy / "config" / "kubernetes.json").write_text(
            json.dumps(cluster_config), encoding="utf-8"
        )
        environ = {
            "PATH": f"{folder / 'bin'}:{os.defpath}",
            "HOME": str(folder),
            "BAO_ADDR": server.address,
            "BAO_TOKEN": server.root_token.reveal(),
        }
        done = subprocess.run(
            ["/bin/sh", "-eux", "-c", "\n".join(commands())],
            cwd=copy,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done
        yield Installed(server)


@pytest.fixture
def fleet(tmp_path: Path, installed: Installed) -> Iterator[Fleet]:
    """A fleet at the mount and prefix that the policies are written for, which is new
    to each test.
    """
    with Sandbox(config=SandboxConfig(limits=False)) as sandbox:
        fleet = Fleet(tmp_path, sandbox, installed.server, "secret")
        yield fleet
        fleet.outputs[:] = [
            line
            for text in fleet.outputs
            for line in text.splitlines()
            if not line.startswith("::add-mask::")
        ]
        fleet.assert_no_leak()
        with fleet.store() as store, fleet.operator() as client:
            for path in [*store.list_paths("limitless", limit=100)]:
                client.secrets.kv.v2.delete_metadata_and_all_versions(path, mount_point="secret")


# --- the files ---


def test_all_files_are_installed() -> None:
    """Every policy, role and configuration is in a command, and every command names a
    file that is there.
    """
    text = "\n".join(commands())
    named = set(re.findall(r"@?((?:policies|roles|config)/[\w.-]+)", text))
    there = {
        str(path.relative_to(EXAMPLES))
        for path in EXAMPLES.rglob("*")
        if path.suffix in {".hcl", ".json"}
    }
    assert named == there


def test_the_pipelines_use_the_roles_that_there_are() -> None:
    """Every role that a workflow or an example names is made by a command."""
    files = [path for path in (ROOT / ".github").rglob("*") if path.suffix in {".yml", ".yaml"}]
    used = {role for path in files for role in _ROLE_USED.findall(path.read_text(encoding="utf-8"))}
    made = set(re.findall(r"/role/(\S+) @", "\n".join(commands())))
    assert used <= made == {"tokens-apply", "tokens-plan"}


def test_no_role_is_bound_to_a_subject() -> None:
    """GitHub changed what it writes there, and names can be taken over: the jobs are
    known by ids, environment and branch.
    """
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    for path in [*(ROOT / ".github").rglob("*"), *pages]:
        if path.is_file():
            assert "bound_subject" not in path.read_text(encoding="utf-8"), path
    for name, needed in (
        ("github", {"repository_id", "repository_owner_id", "environment", "ref"}),
        ("gitlab", {"project_id", "namespace_id", "environment", "ref", "ref_protected"}),
    ):
        roles = [role for role_name, role in ROLES.items() if role_name.startswith(name)]
        assert len(roles) == 2
        for role in roles:
            assert needed <= role["bound_claims"].keys()
            assert role["bound_claims_type"] == "string"
            assert role["bound_audiences"]
            assert role["user_claim"] in needed


def test_every_login_is_short_and_can_end_itself() -> None:
    """At most a quarter of an hour, without the default policy, revocable, and allowed
    to revoke itself.
    """
    for name, role in ROLES.items():
        assert role["token_no_default_policy"] is True, name
        assert role["token_type"] == "service", name
        assert all(
            int(_MINUTES.fullmatch(role[key]).group(1)) <= 15  # type: ignore[union-attr]
            for key in ("token_ttl", "token_max_ttl")
        ), name
        rules = {tuple(rule) for policy in role["token_policies"] for rule in POLICIES[policy]}
        assert rules >= _SELF, name


@pytest.mark.parametrize("name", policies())
def test_the_policies_are_those_of_the_page(name: str) -> None:
    """The page on installing shows the same rules; the files add only what a token
    without a default policy needs.
    """
    assert {tuple(rule) for rule in POLICIES[name]} == {
        tuple(rule) for rule in policies()[name]
    } | (_SELF if name in {"reconciler-apply", "reconciler-plan"} else set())
    text = (EXAMPLES / "policies" / f"{name}.hcl").read_text(encoding="utf-8")
    assert len(re.findall(r"^path ", text, re.MULTILINE)) == len(POLICIES[name])


# --- the roles ---


@pytest.mark.parametrize("role", ROLES)
def test_the_right_job_gets_in(installed: Installed, tmp_path: Path, role: str) -> None:
    """With just the role's policies and for minutes; afterwards the token is dead."""
    masked: list[str] = []
    settings = settings_from_environment(installed.job(role, tmp_path))
    with operator(installed.server) as client:
        with SecretStore.connect(settings, mount="secret", mask=masked.append) as store:
            store.check_mount()
            data = client.auth.token.lookup(masked[-1])["data"]
        assert (data["policies"], data["type"]) == (
            sorted(ROLES[role]["token_policies"]),
            "service",
        )
        assert data["ttl"] <= 15 * 60
        with pytest.raises(hvac.exceptions.Forbidden):
            client.auth.token.lookup(masked[-1])


def wrong_claims() -> Iterator[Any]:
    """Each claim that a role is bound to, once with another value and once missing."""
    for name, role in ROLES.items():
        if name.startswith("kubernetes"):
            account, namespace = (
                role["bound_service_account_names"][0],
                role["bound_service_account_namespaces"][0],
            )
            changes = {
                "another account": pod_claims("default", namespace, role["audience"]),
                "another namespace": pod_claims(account, "default", role["audience"]),
                "another audience": {"aud": ["https://kubernetes.default.svc"]},
            }
        else:
            changes = {
                "expired": {"exp": 1},
                "another iss": {"iss": "https://issuer.example"},
                "no iss": {"iss": None},
            }
            for claim in (*role["bound_claims"], "aud"):
                changes |= {f"another {claim}": {claim: "another"}, f"no {claim}": {claim: None}}
        yield from (
            pytest.param(name, change, id=f"{name}: {what}") for what, change in changes.items()
        )


@pytest.mark.parametrize(("role", "change"), list(wrong_claims()))
def test_any_other_job_does_not(
    installed: Installed, tmp_path: Path, role: str, change: dict[str, object]
) -> None:
    """One claim that differs, or is missing, is enough to be refused; the sentence
    shows what the token says.
    """
    settings = settings_from_environment(installed.job(role, tmp_path, **change))
    with pytest.raises(VaultRefusedError, match=r"Vault refuses the login at auth/.*\(it says "):
        SecretStore.connect(settings, mount="secret")


# --- the policies ---


def test_the_roles_are_enough_for_the_whole_story(
    fleet: Fleet, installed: Installed, tmp_path: Path
) -> None:
    """A person hands over, GitHub's jobs with two roles bootstrap, apply, plan and
    observe; the plan role rotates nothing.
    """
    apply_claims, plan_claims = installed.claims("github-apply"), installed.claims("github-plan")
    audience = str(apply_claims["aud"])
    identity = fleet.environ["LIMITLESS_IDENTITY_TOKEN"]
    with operator(installed.server) as client, ExitStack() as jobs:
        person = {"VAULT_TOKEN": token_with(client, POLICIES["identity-push"])}
        common = {
            "RECONCILER_VAULT_AUTH": "jwt",
            "RECONCILER_VAULT_AUTH_MOUNT": "jwt-github",
            "RECONCILER_VAULT_AUDIENCE": audience,
            "LIMITLESS_IDENTITY_TOKEN": None,
        }
        applying = {
            **common,
            "RECONCILER_VAULT_ROLE": "tokens-apply",
            **jobs.enter_context(github(apply_claims, [])),
        }
        planning = {
            **common,
            "RECONCILER_VAULT_ROLE": "tokens-plan",
            **jobs.enter_context(github(plan_claims, [])),
        }
        before = set(client.list("auth/token/accessors")["data"]["keys"])
        fleet.write(BOT)
        for command in (("bootstrap",), ("apply", "--yes")):
            fleet.must(
                "identity", "push", PLACE, environ={**person, "LIMITLESS_IDENTITY_TOKEN": identity}
            )
            fleet.must(*command, "--identity-vault", PLACE, environ=applying)
        for looking in (["plan"], ["status"], ["observe", "--out", "observed.json"]):
            fleet.must(*looking, environ=planning)
        fleet.must("apply", "--only", "cleanup", "--yes", environ=applying)
        fleet.must("verify", environ=applying)
        meddling = {**planning, "LIMITLESS_IDENTITY_TOKEN": identity}
        said = fleet.refused(1, "rotate", "--target", "bot", "--yes", environ=meddling)
        assert '"update" on secret/data/limitless/tokens/_ledger' in said
        assert set(client.list("auth/token/accessors")["data"]["keys"]) == before
    fleet.assert_whole()


def token_with(client: Any, rules: tuple[Rule, ...]) -> str:
    """A token that may do exactly this."""
    return new_token(
        client, {rule.path: list(rule.capabilities) for rule in rules}, no_default_policy=True
    )


def test_planning_with_a_signer_of_its_own_reads_no_secret(
    fleet: Fleet, installed: Installed
) -> None:
    """With LIMITLESS_TOKEN_ID and LIMITLESS_TOKEN_SECRET set, the ledger and the
    metadata are all that plans read.
    """
    fleet.begin(BOT)
    signer = fleet.sandbox.state.derive_by_hand("for planning")
    rules = tuple(
        rule for rule in POLICIES["reconciler-plan"] if not rule.path.endswith("/reconciler")
    )
    assert len(rules) == len(POLICIES["reconciler-plan"]) - 1
    with operator(installed.server) as client:
        environ = {
            "VAULT_TOKEN": token_with(client, rules),
            "LIMITLESS_TOKEN_ID": signer.token_id,
            "LIMITLESS_TOKEN_SECRET": signer.secret,
        }
    with fleet.untouched():
        fleet.must("observe", "--out", "observed.json", environ=environ)
        fleet.must("plan", environ=environ)
        unset = {"LIMITLESS_TOKEN_ID": None, "LIMITLESS_TOKEN_SECRET": None}
        assert '"read" on secret/data/limitless/tokens/reconciler' in fleet.refused(
            1, "plan", environ={**environ, **unset}
        )


def capabilities_of_the_hand_over() -> Iterator[tuple[str, int, str]]:
    """Each capability of each rule of both policies."""
    for name in ("identity-push", "identity-take"):
        for number, rule in enumerate(POLICIES[name]):
            for capability in rule.capabilities:
                yield name, number, capability


@pytest.mark.parametrize(("name", "number", "capability"), list(capabilities_of_the_hand_over()))
def test_each_capability_of_the_hand_over_is_needed(
    fleet: Fleet, installed: Installed, name: str, number: int, capability: str
) -> None:
    """Without it handing over, or taking, fails and names it; nothing is derived."""
    rules = POLICIES[name]
    lame = tuple(without(rules, number, capability))
    fleet.begin()
    fleet.write(BOT)
    identity = {"LIMITLESS_IDENTITY_TOKEN": fleet.environ["LIMITLESS_IDENTITY_TOKEN"]}
    with operator(installed.server) as client:
        if name == "identity-push":
            said = push_twice(fleet, token_with(client, lame), identity)
        else:
            fleet.must("identity", "push", PLACE, environ=identity)
            token = token_with(client, (*POLICIES["reconciler-apply"], *lame))
            taking = {"VAULT_TOKEN": token, "LIMITLESS_IDENTITY_TOKEN": None}
            said = fleet.refused(1, "apply", "--yes", "--identity-vault", PLACE, environ=taking)
    assert re.search(rf'"{capability}"[^:;]* on {rules[number].path}', said), said


def push_twice(fleet: Fleet, token: str, identity: Mapping[str, str]) -> str:
    """The first hand-over makes the path, the second finds it: the sentence of the one
    that fails.
    """
    environ = {**identity, "VAULT_TOKEN": token}
    first = fleet.attempt("identity", "push", PLACE, environ=environ)
    if first.code:
        return first.refusal(1)
    return fleet.refused(1, "identity", "push", PLACE, environ=environ)
