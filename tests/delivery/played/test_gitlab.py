"""The GitLab example, run by gitlab-ci-local: its parser of rules and needs, real
shells, the sandbox, and an OpenBao with the example's roles for GitLab.

What is GitLab's own is played here:

1. The identity token of a job, signed for its environment.
2. The snapshot that a merge request takes from the default branch. gitlab-ci-local
   knows no `needs: project`, so that need is cut out, and the file lies there already.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from reconciler.demo.openbao import OpenBaoServer
from reconciler.sandbox import Sandbox, SandboxConfig
from tests.delivery.files import GITLAB, SEVERAL_GITLAB, performed
from tests.delivery.played.hosting import git
from tests.delivery.played.policies import VAULT_FILES, policy_here
from tests.support.fleet import Fleet, Spec
from tests.support.github_oidc import Issuer
from tests.support.node import node_with
from tests.support.openbao import operator

PACKAGE = Path(__file__).parent.parent / "pipelines"
RUNNER = PACKAGE / "node_modules" / "gitlab-ci-local" / "dist" / "index.js"
BOT: Spec = {"label": "bot", "overlap": "1h"}
NEW: Spec = {"label": "new", "overlap": "1h"}
PROJECT_NEED = re.compile(r"    - project: .*\n(?:      .*\n)+")
ENDS = re.compile(r"^ (PASS|WARN|FAIL) +([\w-]+(?:: \[\w+)?)", re.MULTILINE)
ROWS = ("production", "staging")
ADDRESSES = ("https://api.limitless.exchange", "https://staging.limitless.example")
ENVIRONMENTS = ("tokens-plan", "tokens-apply")


def role_of(environment: str) -> dict[str, Any]:
    """Return the example's role for the jobs of an environment."""
    name = f"gitlab-{environment.removeprefix('tokens-')}.json"
    role: dict[str, Any] = json.loads((VAULT_FILES / "roles" / name).read_text("utf-8"))
    return role


class Pipeline:
    """A partner's project at GitLab. ``played`` is all that its jobs printed."""

    def __init__(
        self, fleets: Sequence[Fleet], openbao: OpenBaoServer, issuer: Issuer, bin_: Path
    ) -> None:
        self.fleets, self.openbao, self.issuer = fleets, openbao, issuer
        self.fleet = fleet = fleets[0]
        self.folder, self.home = fleet.folder / "project", fleet.folder / "home"
        self.played: list[str] = []
        self._name = secrets.token_hex(4)
        self._bin = bin_
        self.identity_path = f"{fleet.mount}/{self._name}/identity"
        self._set_vault_up()
        (self.home / ".gitlab-ci-local").mkdir(parents=True)
        self.folder.mkdir()
        text, cut = PROJECT_NEED.subn("", GITLAB.read_text(encoding="utf-8"))
        assert cut == 1, "one need of another pipeline's artifact"
        if len(fleets) == 1:
            (self.folder / GITLAB.name).write_text(text, encoding="utf-8")
        else:
            (self.folder / "tokens.gitlab-ci.yml").write_text(text, encoding="utf-8")
            (self.folder / GITLAB.name).write_text(self._rows(), encoding="utf-8")
        git(self.folder, "init", "--quiet", "--initial-branch=main")
        git(self.folder, "remote", "add", "origin", "https://gitlab.example/acme/tokens.git")
        self.commit()

    def _rows(self) -> str:
        """Return the example for several manifests, with the fleets of this test."""
        text = SEVERAL_GITLAB.read_text(encoding="utf-8")
        for fleet, row, address in zip(self.fleets, ROWS, ADDRESSES, strict=True):
            assert f"secret/limitless/{row}" in text
            text = text.replace(f"secret/limitless/{row}", f"{fleet.mount}/{fleet.prefix}")
            text = text.replace(address, fleet.sandbox.url)
        return text

    def _set_vault_up(self) -> None:
        with operator(self.openbao) as client:
            client.sys.enable_auth_method("jwt", path=f"jwt-{self._name}")
            config = {"oidc_discovery_url": self.issuer.url, "bound_issuer": self.issuer.url}
            client.write_data(f"auth/jwt-{self._name}/config", data=config)
            for file in sorted((VAULT_FILES / "policies").glob("*.hcl")):
                text = file.read_text(encoding="utf-8")
                text = "\n".join(
                    policy_here(text, one.mount, one.prefix, self._name) for one in self.fleets
                )
                client.sys.create_or_update_policy(f"{file.stem}-{self._name}", text)
            for name in ENVIRONMENTS:
                role = role_of(name)
                role["bound_audiences"] = [self.openbao.address]
                role["token_policies"] = [f"{one}-{self._name}" for one in role["token_policies"]]
                client.write_data(f"auth/jwt-{self._name}/role/{name}", data=role)

    def take_role_away(self, name: str) -> None:
        """Delete a role, as a mistake of Vault's administrator."""
        with operator(self.openbao) as client:
            client.delete(f"auth/jwt-{self._name}/role/{name}")

    def hand_over(self) -> None:
        """Hand an identity token over, as a person may."""
        self.fleet.must("identity", "push", self.identity_path)

    def commit(self) -> None:
        """Commit the manifests to the default branch."""
        for fleet, row in zip(self.fleets, ROWS, strict=False):
            place = self.folder if len(self.fleets) == 1 else self.folder / row
            place.mkdir(exist_ok=True)
            shutil.copy(fleet.folder / "tokens.yaml", place)
        git(self.folder, "add", "--all")
        git(self.folder, "commit", "--quiet", "--allow-empty", "--message", "tokens")

    def _token(self, environment: str) -> str:
        claims = {
            **role_of(environment)["bound_claims"],
            "pipeline_id": "1",
            "job_id": "2",
            "user_id": "3",
        }
        return self.issuer.issue(claims, self.openbao.address)

    def play(self, source: str, *jobs: str) -> dict[str, str]:
        """Run a pipeline of this source, or some of its jobs; return how each ended."""
        one = {
            "RECONCILER_VAULT_PREFIX": f"{self.fleet.mount}/{self.fleet.prefix}",
            "LIMITLESS_API_URL": self.fleet.sandbox.url,
        }
        variables = {
            **(one if len(self.fleets) == 1 else {}),
            "VAULT_ADDR": self.openbao.address,
            "RECONCILER_VAULT_AUTH_MOUNT": f"jwt-{self._name}",
            "RECONCILER_IDENTITY_PATH": self.identity_path,
            "VAULT_ID_TOKEN": {"values": {name: self._token(name) for name in ENVIRONMENTS}},
        }
        told = self.home / ".gitlab-ci-local" / "variables.yml"
        told.write_text(yaml.safe_dump({"global": variables}), encoding="utf-8")
        argv = [node_with(PACKAGE), str(RUNNER), "--force-shell-executor", "--no-color"]
        argv += ["--ignore-predefined-vars=CI_PIPELINE_SOURCE"]
        argv += ["--variable", f"CI_PIPELINE_SOURCE={source}", *jobs]
        if source == "merge_request_event":
            argv += ["--unset-variable", "CI_COMMIT_BRANCH"]  # as GitLab has it there
        argv += ["--no-json-schema-validation"] if self.played else []  # once is enough
        path = f"{self._bin}{os.pathsep}{os.environ['PATH']}"
        done = performed(argv, self.folder, {"PATH": path, "HOME": str(self.home)})
        self.played.append(done.stdout + done.stderr)
        self.fleet.outputs.append(self.played[-1])
        return {job.rstrip(): end for end, job in ENDS.findall(done.stdout)}

    @property
    def log(self) -> str:
        """What the last pipeline printed."""
        return self.played[-1]


@pytest.fixture
def tools(tmp_path: Path, program: Path) -> Path:
    """Return a folder with what the runner's image has installed."""
    node_with(PACKAGE)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "reconciler").symlink_to(program)
    # It copies the project for containers, of which there are none here.
    (bin_ / "rsync").write_text("#!/bin/sh\n", encoding="utf-8")
    (bin_ / "rsync").chmod(0o755)
    return bin_


@pytest.fixture
def fleets(tmp_path: Path, openbao: OpenBaoServer, vault_mount: str) -> Iterator[list[Fleet]]:
    """Yield two fleets in place, each of its own exchange; no secret is printed."""
    config = SandboxConfig(limits=False)
    with Sandbox(config=config) as first, Sandbox(config=config) as second:
        made = []
        for sandbox, row in ((first, ROWS[0]), (second, ROWS[1])):
            (tmp_path / row).mkdir()
            made.append(Fleet(tmp_path / row, sandbox, openbao, vault_mount, f"limitless/{row}"))
            made[-1].begin(BOT)
        yield made
        for fleet in made:
            fleet.assert_no_leak()


@contextlib.contextmanager
def project(fleets: Sequence[Fleet], openbao: OpenBaoServer, tools: Path) -> Iterator[Pipeline]:
    """Yield the project of these fleets; at the end no token of a job is in any log."""
    with Issuer() as issuer:
        made = Pipeline(fleets, openbao, issuer, tools)
        yield made
        log = "\n".join(made.played)
        assert [token[:6] for token in issuer.issued if token in log] == []


@pytest.fixture
def pipeline(fleets: list[Fleet], openbao: OpenBaoServer, tools: Path) -> Iterator[Pipeline]:
    """Yield the project of one fleet."""
    with project(fleets[:1], openbao, tools) as made:
        yield made


def test_a_change_goes_from_a_merge_request_to_vault(pipeline: Pipeline) -> None:
    """The schedule publishes the snapshot; a merge request validates and plans from it
    without a credential; the default branch plans, and applies by the button.
    """
    ends = pipeline.play("schedule")
    assert ends == {"clean-up": "PASS", "publish-snapshot": "PASS", "drift": "PASS"}, pipeline.log
    pipeline.fleet.write(BOT, NEW)
    pipeline.commit()
    ends = pipeline.play("merge_request_event")
    assert ends == {"validate": "PASS", "plan-merge-request": "PASS"}, pipeline.log
    assert json.loads((pipeline.folder / "changes-tokens.json").read_text("utf-8"))["create"] == 1
    assert json.loads((pipeline.folder / "codequality-tokens.json").read_text("utf-8"))

    with pipeline.fleet.untouched():
        assert pipeline.play("push") == {"validate": "PASS", "plan": "PASS"}, pipeline.log
    pipeline.hand_over()
    assert pipeline.play("push", "apply") == {"apply": "PASS"}, pipeline.log
    assert json.loads((pipeline.folder / "report-tokens.json").read_text("utf-8"))["exit_code"] == 0
    pipeline.fleet.assert_whole()
    assert pipeline.play("schedule", "drift") == {"drift": "PASS"}, pipeline.log


def test_the_schedule_on_a_bad_day(pipeline: Pipeline) -> None:
    """A token that only a person can make fails the comparison, which says so; clean-up
    runs all the same, though nothing can read any more.
    """
    pipeline.fleet.write(BOT, NEW)
    pipeline.commit()
    ends = pipeline.play("schedule")
    assert (ends["drift"], ends["clean-up"]) == ("FAIL", "PASS"), pipeline.log
    assert "new" in pipeline.log
    pipeline.take_role_away("tokens-plan")
    ends = pipeline.play("schedule")
    assert ends == {"drift": "FAIL", "publish-snapshot": "FAIL", "clean-up": "PASS"}, pipeline.log


def test_several_manifests(fleets: list[Fleet], openbao: OpenBaoServer, tools: Path) -> None:
    """A row for each: drift of one shows at its own job, there are two snapshots, and
    each apply takes the plan of its row.
    """
    with project(fleets, openbao, tools) as pipeline:
        fleets[1].write(BOT, NEW)
        pipeline.commit()
        ends = pipeline.play("schedule")
        assert ends["drift: [production"] == "PASS", pipeline.log
        assert ends["drift: [staging"] == "FAIL", pipeline.log
        assert len(list(pipeline.folder.glob("snapshot-*.json"))) == len(ROWS)
        assert pipeline.play("push")["plan: [staging"] == "PASS", pipeline.log
        fleets[1].must("identity", "push", pipeline.identity_path)
        ends = pipeline.play("push", "apply")
        assert set(ends.values()) == {"PASS"}, pipeline.log
        for fleet in fleets:
            fleet.assert_whole()
