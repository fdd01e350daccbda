"""The place where the story is played: a partner's repository on the stand-in of
GitHub, the sandbox of the exchange, and a real OpenBao.

Rules this module keeps:

1. The workflows, the action and Vault's policies and roles are the files of this
   repository, taken as a partner takes them: with the ids, addresses, mount and prefix
   that their README tells a partner to put in, and nothing else.
2. The runner's image has the program installed, and each run of the program is forked
   from a process that has it loaded. ``test_checks.py`` tests that the action installs
   it.
3. At the end, whatever people or programs could read is searched for every secret.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from reconciler.demo.openbao import OpenBaoServer
from reconciler.state.fleet import Fleet as Fleet_
from tests.delivery.played import fork_server
from tests.delivery.played.fork_server import CALL
from tests.delivery.played.hosting import Event, Hosted
from tests.delivery.played.policies import VAULT_FILES, policy_here
from tests.delivery.played.runner import WORKFLOWS, Environment, JobEnd, Played, Stage
from tests.support.fleet import ROOT, TIMEOUT_S, Fleet, Spec
from tests.support.github import GitHub
from tests.support.github_oidc import Issuer
from tests.support.github_state import ACTIONS_BOT, Artifact, Comment, Issue
from tests.support.openbao import operator

REPO, TOOL = "acme/tokens", "acme/reconciler"
SNAPSHOT = "tokens-snapshot"
_RELEASE = "0" * 40
_ROLE = re.compile(r"auth/jwt-github/role/(\S+) @(roles/github-\S+\.json)")
_VAULT_TOKEN = re.compile(r"\b(?:hvs|s|b)\.[A-Za-z0-9_-]{20,}")
_MARKER = re.compile(r"<!-- reconciler:[a-z]+ (\{.*\}) -->\n")

REVIEWED, UNATTENDED, PLAN = "tokens-apply-review", "tokens-apply", "tokens-plan"
ENVIRONMENTS = {
    PLAN: Environment(),
    UNATTENDED: Environment(),
    REVIEWED: Environment(reviewers=True),
}


class World:
    """A partner's world.

    ``fleet`` is what a person with root does; ``approve`` is the reviewer, who says yes
    until a test says otherwise.
    """

    def __init__(  # noqa: PLR0913  # all that a partner's repository talks to
        self,
        *,
        fleet: Fleet,
        openbao: OpenBaoServer,
        github: GitHub,
        issuer: Issuer,
        folder: Path,
        program: Path,
    ) -> None:
        self.fleet = fleet
        self._folder = folder
        self.github = github
        self.issuer = issuer
        self.hosted = Hosted(github, REPO, folder / "acme")
        self.asked: list[tuple[str, str]] = []
        self.approve: Callable[[], bool] = lambda: True
        self._openbao = openbao
        self._name = secrets.token_hex(4)
        self.identity_path = f"{fleet.mount}/{self._name}/identity"
        self.auth_mount = f"jwt-{self._name}"
        self._set_vault_up()
        (folder / "runner").mkdir()
        self.stage = Stage(
            github=github,
            issuer=issuer,
            hosted=self.hosted,
            folder=folder / "runner",
            variables={
                "VAULT_ADDR": openbao.address,
                "RECONCILER_VAULT_AUTH_MOUNT": self.auth_mount,
                "RECONCILER_VAULT_PREFIX": f"{fleet.mount}/{fleet.prefix}",
                "RECONCILER_IDENTITY_PATH": self.identity_path,
                "LIMITLESS_API_URL": fleet.sandbox.url,
            },
            environments=ENVIRONMENTS,
            approve=self._approve,
            prepare=functools.partial(install, program=program),
        )

    def _approve(self, environment: str, job: str) -> bool:
        self.asked.append((environment, job))
        return self.approve()

    # --- Vault, as its administrator sets it up once ---

    def _set_vault_up(self) -> None:
        readme = (VAULT_FILES / "README.md").read_text(encoding="utf-8")
        with operator(self._openbao) as client:
            for file in sorted((VAULT_FILES / "policies").glob("*.hcl")):
                client.sys.create_or_update_policy(
                    f"{file.stem}-{self._name}", self._here(file.read_text(encoding="utf-8"))
                )
            client.sys.enable_auth_method("jwt", path=self.auth_mount)
            config = {"oidc_discovery_url": self.issuer.url, "bound_issuer": self.issuer.url}
            client.write_data(f"auth/{self.auth_mount}/config", data=config)
            for role, file_name in _ROLE.findall(readme):
                client.write_data(
                    f"auth/{self.auth_mount}/role/{role}", data=self._role(VAULT_FILES / file_name)
                )

    def admit(self, other: Fleet) -> None:
        """Let the roles see to another fleet of the same mount, too."""
        with operator(self._openbao) as client:
            for file in sorted((VAULT_FILES / "policies").glob("*.hcl")):
                text = file.read_text(encoding="utf-8")
                both = f"{self._here(text)}\n{self._here(text, other.prefix)}"
                client.sys.create_or_update_policy(f"{file.stem}-{self._name}", both)

    def _here(self, policy: str, prefix: str | None = None) -> str:
        return policy_here(policy, self.fleet.mount, prefix or self.fleet.prefix, self._name)

    def _role(self, file: Path) -> dict[str, Any]:
        role: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        entry = self.hosted.entry
        role["bound_audiences"] = [self._openbao.address]
        role["bound_claims"] |= {
            "repository_id": str(entry.id),
            "repository_owner_id": str(entry.owner_id),
        }
        role["token_policies"] = [f"{policy}-{self._name}" for policy in role["token_policies"]]
        return role

    def token_of(self, policy: str) -> dict[str, str | None]:
        """Return the environment of a person who has this policy of the examples."""
        assert (VAULT_FILES / "policies" / f"{policy}.hcl").is_file(), policy
        with operator(self._openbao) as client:
            reply = client.auth.token.create(policies=[f"{policy}-{self._name}"], ttl="10m")
        return {"VAULT_TOKEN": str(reply["auth"]["client_token"])}

    # --- people ---

    def begin(self, *tokens: Spec, example: str | None = None) -> None:
        """Begin with these tokens in the manifest, all of them in place.

        With ``example``, a file of ``.github/examples/github``, the repository holds
        that file as ``tokens.yml`` beside the manifest, and the tool lies in a
        repository of its own.
        """
        self.fleet.begin(*tokens)
        if example is None:
            self.hosted.commit({**partner_files(), "tokens.yaml": self.manifest()})
            return
        workflow = {f"{WORKFLOWS}/tokens.yml": self.example(example)}
        self.hosted.commit({**workflow, "tokens.yaml": self.manifest()})

    def example(self, name: str) -> str:
        """Return an example, which calls the tool's repository: that is made here."""
        tool = Hosted(self.github, TOOL, self._folder / "tool", private=False)
        sha = tool.commit(partner_files())
        self.stage.elsewhere = {TOOL: tool}
        text = (ROOT / ".github" / "examples" / "github" / name).read_text(encoding="utf-8")
        assert _RELEASE in text
        return text.replace(_RELEASE, sha)

    def publish(self) -> None:
        """Publish a snapshot as the daily run does, without playing that run."""
        self.fleet.must("observe", "--out", "snapshot.json")
        content = (self.fleet.folder / "snapshot.json").read_bytes()
        run = self.github.state.add_run(
            REPO, event="schedule", head_branch="main", head_sha=self.hosted.head()
        )
        self.github.state.add_artifact(REPO, run, self.artifact, {"snapshot.json": content})

    @property
    def artifact(self) -> str:
        """The name of the fleet's snapshots."""
        place = f"{self.fleet.mount}/{self.fleet.prefix}"
        return f"{SNAPSHOT}-{Fleet_(api_url=self.fleet.sandbox.url, place=place).name}"

    def manifest(self, *tokens: Spec) -> str:
        """Return tokens.yaml of the fleet's folder, with these tokens if given."""
        if tokens:
            self.fleet.write(*tokens)
        return (self.fleet.folder / "tokens.yaml").read_text(encoding="utf-8")

    def hand_over(self) -> None:
        """Hand an identity token over, as a person who may do so."""
        self.fleet.must(
            "identity", "push", self.identity_path, environ=self.token_of("identity-push")
        )

    # --- what GitHub does ---

    def drift(self) -> Played:
        """Play the daily run."""
        return self.stage.play("tokens-drift.yml", self.hosted.scheduled("17 5 * * *"))

    def plan(self, event: Event) -> Played:
        """Play the run of a pull request."""
        return self.stage.play("tokens-plan.yml", event)

    def apply(self, event: Event) -> Played:
        """Play the run of a merge."""
        return self.stage.play("tokens-apply.yml", event)

    def propose(self, *tokens: Spec, **how: Any) -> tuple[int, Played]:
        """Open a pull request with these tokens; return its number and its plan."""
        event = self.hosted.open_pull({"tokens.yaml": self.manifest(*tokens)}, **how)
        return event.payload["number"], self.plan(event)

    def merged(self, number: int) -> Played:
        """Merge a pull request; return its apply."""
        return self.apply(self.hosted.merge_pull(number))

    # --- looking ---

    def marked(self, comment: Comment | Issue) -> dict[str, Any]:
        """Return what the marker of a text of ours says."""
        found = _MARKER.match(comment.body)
        assert found, comment.body[:200]
        facts: dict[str, Any] = json.loads(found[1])
        return facts

    def waiting_identity(self) -> str | None:
        """Return the identity token that lies in Vault, in any version."""
        path = self.identity_path.removeprefix(f"{self.fleet.mount}/")
        with self.fleet.store() as store:
            for version in range(store.read_meta(path).latest, 0, -1):
                found = store.read(path, version=version)
                if found.secret is not None:
                    return found.secret.reveal()
        return None

    def comments(self, number: int, login: str = ACTIONS_BOT) -> list[Comment]:
        """Return the comments of a pull request by this author."""
        return [
            one
            for one in self.hosted.entry.comments.values()
            if (one.number, one.login) == (number, login)
        ]

    def issues(self) -> list[Issue]:
        """Return the issues that are no pull requests."""
        return [
            one
            for one in self.hosted.entry.issues.values()
            if one.number not in self.hosted.entry.pulls
        ]

    def snapshots(self) -> list[Artifact]:
        """Return all snapshots that were published, oldest first."""
        return [
            one
            for one in self.hosted.entry.artifacts.values()
            if one.name.startswith(f"{SNAPSHOT}-")
        ]

    # --- what must hold at the end ---

    def assert_clean(self) -> None:
        """Assert that no secret stands where somebody could read it, that no text
        became a command, and that GitHub knows every call.
        """
        assert self.github.unknown == []
        old = [one for job in self._jobs() for one in job.log.annotations if one.old_form]
        assert old == [], "somebody's text became a command"
        assert set(self.issuer.asked) <= {self._openbao.address}, (
            "a token for Vault is for nobody else"
        )
        masked = {
            line for job in self._jobs() for line in job.log.raw if line.startswith("::add-mask::")
        }
        assert {f"::add-mask::{token}" for token in self.issuer.issued} <= masked, (
            "the log is told of each before it is used"
        )
        readable = "\n".join(self.readable())
        leaked = {secret[:6] for secret in self._secrets() if secret in readable}
        assert leaked == set(), "secrets where people can read them"
        assert not _VAULT_TOKEN.search(readable)

    def readable(self) -> Iterator[str]:
        """Yield all that people can read: logs (before masks are applied), summaries,
        outputs, the host's texts.
        """
        yield from self.github.state.texts()
        for job in self._jobs():
            yield from (line for line in job.log.raw if not line.startswith("::add-mask::"))
            yield from (job.log.text, job.summary, *job.outputs.values())
            yield from (text for step in job.steps.values() for text in step.outputs.values())

    def _jobs(self) -> Iterator[JobEnd]:
        for played in self.stage.played:
            yield from played.jobs.values()

    def _secrets(self) -> Iterator[str]:
        for secret in (*self.issuer.issued, *self.github.tokens()):
            yield secret
            yield urllib.parse.quote(secret, safe="")
            yield base64.b64encode(secret.encode()).decode()
        yield from self.fleet.secrets()


def partner_files() -> dict[str, str | None]:
    """Return what a partner's repository takes from this one; rule 2 brings the program
    itself.
    """
    places = [
        *(ROOT / ".github" / "workflows").glob("*.yml"),
        *(ROOT / ".github" / "actions").rglob("*.yml"),
    ]
    return {
        str(place.relative_to(ROOT)): place.read_text(encoding="utf-8") for place in sorted(places)
    }


def install(temp: Path, root: Path, program: Path) -> None:
    """Leave what the action's own installation leaves: the program in RUNNER_TEMP, and
    a note of its sources.
    """
    home = temp / "reconciler"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "reconciler").symlink_to(program)
    (home / "source").write_text(f"{root}\n", encoding="utf-8")


@contextlib.contextmanager
def serving_program() -> Iterator[Path]:
    """Yield the program as a file that ``fork_server.py`` runs."""
    with tempfile.TemporaryDirectory(prefix="reconciler-") as name:
        folder = Path(name)
        socket, call, program = folder / "socket", folder / "call.py", folder / "reconciler"
        call.write_text(CALL.format(path=str(socket)), encoding="utf-8")
        program.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -I -S "{call}" "$@"\n', encoding="utf-8"
        )
        program.chmod(0o755)
        server = subprocess.Popen(
            [sys.executable, str(Path(fork_server.__file__)), str(socket)],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "LANG": "C.UTF-8"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert server.stdout is not None
            assert server.stdout.readline() == "ready\n"
            yield program
        finally:
            server.communicate(timeout=TIMEOUT_S)
