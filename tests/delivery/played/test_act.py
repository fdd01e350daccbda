"""The workflows on nektos/act, a runner that somebody else wrote, without containers:
installed by the action itself, against the sandbox and a real OpenBao.

act is no judge: it is further from GitHub's runner than the stand-in beside this file.
It agrees or not on what a step is, what a called workflow gets, and what is skipped.
What is patched, and why:

1. ``queue: max`` goes, and ``$/`` becomes ``./``: act knows neither.
2. Of actions/checkout and actions/upload-artifact it runs stand-ins, which need no
   network.

There is no stand-in of GitHub's API here, because act says where that is: what is to be
posted becomes a notice.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.delivery.files import ROOT, performed
from tests.delivery.played.hosting import git
from tests.delivery.played.world import World, partner_files
from tests.support.fleet import Spec
from tests.support.github_oidc import job_claims

pytestmark = pytest.mark.act

ACT = ROOT / ".venv-act" / "bin" / "act"
BOT: Spec = {"label": "bot", "overlap": "1h"}
PATCHES = (
    (re.compile(r"^ +queue: max\n", re.MULTILINE), ""),
    (re.compile(r"uses: \$/"), "uses: ./"),
)
SOURCES = ("reconciler", "schemas", "requirements.txt")
CHECKOUT = """
name: checkout
inputs: {path: {default: .}, ref: {}, persist-credentials: {}}
runs:
  using: composite
  steps:
    - shell: bash
      env: {PLACE: "${{ inputs.path }}"}
      run: mkdir -p "$PLACE" && git archive HEAD | tar -x -C "$PLACE"
"""
UPLOAD = """
name: upload
inputs: {name: {}, path: {}, retention-days: {}, overwrite: {}, if-no-files-found: {}}
runs:
  using: composite
  steps:
    - shell: bash
      env: {NAME: "${{ inputs.name }}", FILE: "${{ inputs.path }}"}
      run: if [ -e "$FILE" ]; then mkdir -p "$KEPT/$NAME" && cp "$FILE" "$KEPT/$NAME/"; fi
"""


def patched(text: str) -> str:
    """Return a workflow or an action as act can read it."""
    for pattern, instead in PATCHES:
        text = pattern.sub(instead, text)
    return text


class Act:
    """A partner's repository on this machine, and what act makes of its workflows."""

    def __init__(self, world: World, folder: Path) -> None:
        assert ACT.exists(), "run `make act`, which makes the environment of act"
        self.world, self.kept = world, folder / "kept"
        self._folder, self._home = folder / "repository", folder / "home"
        folder.mkdir()
        for place in (self._folder, self._home):
            place.mkdir()
        for name, text in partner_files().items():
            if Path(name).name.startswith(("tokens-", "action")):
                assert text is not None
                self._write(name, patched(text))
        self._write("tokens.yaml", world.manifest())
        for name in SOURCES:
            performed(["cp", "-r", ROOT / name, self._folder])
        self._write(".gitignore", "__pycache__/\n")
        self._make("repository")
        git(self._folder, "remote", "add", "origin", "https://github.com/acme/tokens.git")
        self._actions = {
            "checkout": self._action(folder, "checkout", CHECKOUT),
            "upload-artifact": self._action(folder, "upload-artifact", UPLOAD),
        }

    def _write(self, name: str, text: str) -> None:
        place = self._folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")

    def _make(self, name: str) -> None:
        folder = self._folder.parent / name
        git(folder, "init", "--quiet", "--initial-branch=main")
        git(folder, "add", "--all")
        git(folder, "commit", "--quiet", "--message", "all")

    def _action(self, folder: Path, name: str, text: str) -> str:
        (folder / name).mkdir()
        (folder / name / "action.yml").write_text(text, encoding="utf-8")
        self._make(name)
        workflow = ROOT / ".github" / "workflows" / "tokens-change.yml"
        pin = re.search(rf"actions/{name}@[0-9a-f]{{40}}", workflow.read_text("utf-8"))
        assert pin
        return f"https://github.com/{pin[0]}={folder / name}"

    def play(self, event: str, workflow: str, environment: str = "") -> str:
        """Play a workflow; return its log. It must succeed."""
        event_file, env_file = self._home / "event.json", self._home / "env"
        pull = {"number": 1, "base": {"ref": "main"}, "head": {"sha": "a" * 40}}
        event_file.write_text(json.dumps({"pull_request": pull} if event else {}), "utf-8")
        door = self.world.issuer.open(self._claims(environment)).environ() if environment else {}
        lines = [f"{name}={text}" for name, text in {**door, "KEPT": str(self.kept)}.items()]
        env_file.write_text("\n".join(lines), encoding="utf-8")
        argv = [str(ACT), event, "--workflows", f".github/workflows/{workflow}"]
        argv += ["--platform", "ubuntu-24.04=-self-hosted", "--container-daemon-socket", "-"]
        argv += ["--defaultbranch", "main", "--eventpath", str(event_file)]
        argv += ["--env-file", str(env_file)]
        for place in self._actions.values():
            argv += ["--local-repository", place]
        for name, text in self.world.stage.variables.items():
            argv += ["--var", f"{name}={text}"]
        path = "/usr/local/bin:/usr/bin:/bin"
        done = performed(argv, self._folder, {"PATH": path, "HOME": str(self._home)})
        assert done.returncode == 0, done.stdout + done.stderr
        self.world.fleet.outputs.append(done.stdout + done.stderr)
        return done.stdout

    def _claims(self, environment: str) -> dict[str, str]:
        entry = self.world.hosted.entry
        return job_claims(
            repository=entry.full_name,
            repository_id=entry.id,
            owner_id=entry.owner_id,
            event_name="schedule",
            ref="refs/heads/main",
            sha="a" * 40,
            workflow="tokens",
            workflow_file=".github/workflows/tokens.yml",
            run_id=1,
            environment=environment,
            actor="octocat",
            job_workflow_ref="acme/tokens/.github/workflows/tokens.yml@refs/heads/main",
            head_ref="",
            base_ref="",
            private=True,
        )


def test_act_plays_the_workflows(world: World, tmp_path: Path) -> None:
    """The daily run logs in, compares and keeps a snapshot named by the fleet; the
    clean-up goes through the called workflow, and its planning jobs are skipped; a pull
    request is validated, and passes the gate without a snapshot.
    """
    world.fleet.begin(BOT)
    act = Act(world, tmp_path / "act")
    log = act.play("schedule", "tokens-drift.yml", "tokens-plan")
    assert "nothing to do" in log, log
    assert [place.name for place in act.kept.iterdir()] == [world.artifact]
    log = act.play("schedule", "tokens-rotate.yml", "tokens-apply")
    assert "applied 0, failed 0, held 0, not tried 0" in log, log
    assert not re.search(r"/(plan|approve|apply|publish the snapshot) *\]", log), log
    log = act.play("pull_request", "tokens-plan.yml")
    assert "2 tokens, valid" in log, log
    assert "There is no plan" in log, log
    assert re.search(r"tokens-gate.*Job succeeded", log), log
    printed = "\n".join(world.fleet.outputs)
    assert world.issuer.issued
    assert [token[:6] for token in world.issuer.issued if token in printed] == []
    world.issuer.issued.clear()  # act keeps its commands to itself: no mask is to be seen
