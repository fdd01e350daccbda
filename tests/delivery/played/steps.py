"""The steps of a job: shells, the three actions of GitHub's that we use, and composite
actions of a repository's own.

Rules this module keeps:

1. A step reads in an expression what GitHub lets it read: ``vars``, ``secrets`` and
   ``needs`` don't reach into an action.
2. An action of GitHub's is known by its name and does what its documentation says for
   the inputs that the workflows give it; another action or input is a WorkflowError.
3. Everything that a step prints goes through the log, where commands are obeyed and
   masks applied.
4. What a step leaves in its files is read as ``FileCommandManager.cs`` of
   actions/runner reads it, and a checkout is what actions/checkout makes.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import yaml

from tests.delivery.played.commands import (
    SUMMARY_BYTES_MAX,
    CommandError,
    Log,
    Masks,
    lines_of,
    read_pairs,
)
from tests.delivery.played.expressions import Context, Strict, condition, fill, filled, value_of
from tests.delivery.played.hosting import Event, Hosted, git
from tests.support.github import GitHub
from tests.support.github_oidc import Door
from tests.support.github_state import Artifact, Repository, Run

STEP_TIMEOUT_S = 120
_STEP_KEYS = {
    *("name", "id", "if", "uses", "with", "run", "shell", "env"),
    *("continue-on-error", "working-directory"),
}
_SHELLS = {
    None: ("bash", "-e"),
    "bash": ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail"),
}
_CHECKOUT = {"repository", "ref", "path", "persist-credentials"}
_UPLOAD = {"name", "path", "if-no-files-found", "retention-days", "overwrite"}
_DOWNLOAD = {"name", "path"}


class WorkflowError(Exception):
    """A file that GitHub would refuse, or something in it that is not played."""


class StepFailedError(Exception):
    """A step that ends with failure: its sentence goes to the log, its outputs stay."""

    def __init__(self, sentence: str, outputs: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.outputs = outputs or {}


def known_keys(found: Iterable[str], known: AbstractSet[str], where: str) -> None:
    """Raise a WorkflowError for a key that is not played."""
    unknown = set(found) - known
    if unknown:
        raise WorkflowError(f"{where}: {sorted(map(str, unknown))} is not played")


def inputs_of(where: str, declared: Mapping[str, Any], given: Mapping[str, Any]) -> Strict:
    """Return every declared input as it was given, else its default; WorkflowError for
    one that nobody declared, or that is required and missing.
    """
    known_keys(given, declared.keys(), where)
    missing = {name for name, about in declared.items() if about.get("required")} - given.keys()
    if missing:
        raise WorkflowError(f"{where} needs {sorted(missing)}")
    defaults = {name: about.get("default", "") for name, about in declared.items()}
    return Strict({**defaults, **given})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a step ended; ``conclusion`` is success too where the step was to be
    continued from.
    """

    outcome: str
    conclusion: str
    outputs: Mapping[str, str]

    def context(self) -> dict[str, Any]:
        """Return the step as expressions see it."""
        return {"outcome": self.outcome, "conclusion": self.conclusion, "outputs": self.outputs}


@dataclasses.dataclass(kw_only=True)
class Scope:
    """What the steps of one list share: those of a job, or of a composite action within
    it.
    """

    values: Mapping[str, Any]
    env: Mapping[str, str]
    steps: Strict = dataclasses.field(default_factory=Strict)
    action_path: Path | None = None


@dataclasses.dataclass(kw_only=True)
class Scene:
    """A job on its runner: folders, token, log, and what its steps have left for the
    later ones.
    """

    github: GitHub
    repositories: Mapping[str, Hosted]
    source: tuple[Hosted, str]
    event: Event
    run: Run
    facts: Strict
    folder: Path
    token: str
    permissions: Mapping[str, str]
    door: Door | None
    prepare: Callable[[Path, Path], None]
    failed: bool = False
    summary: str = ""
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    path: list[str] = dataclasses.field(default_factory=list)
    log: Log = dataclasses.field(default_factory=lambda: Log(Masks()))

    def __post_init__(self) -> None:
        self.workspace, self.temp = self.folder / "workspace", self.folder / "temp"
        for place in (self.workspace, self.temp, self.folder / "home"):
            place.mkdir(parents=True)
        event_path = Path(self.facts["event_path"])
        event_path.write_text(json.dumps(self.event.payload), encoding="utf-8")
        for secret in (self.token, *([self.door.token] if self.door else [])):
            self.log.masks.add(secret)

    def context_values(self, scope: Scope, env: Mapping[str, str]) -> dict[str, Any]:
        """Return the contexts of a step."""
        facts = {
            "token": self.token,
            "workspace": str(self.workspace),
            "action_path": str(scope.action_path or ""),
        }
        return {
            **scope.values,
            "steps": scope.steps,
            "env": env,
            "runner": Strict(
                os="Linux", arch="X64", temp=str(self.temp), environment="github-hosted", debug=""
            ),
            "job": Strict(status="failure" if self.failed else "success"),
            "github": Strict({**self.facts, **facts}),
        }

    def environ(
        self, scope: Scope, env: Mapping[str, str], files: Mapping[str, Path]
    ) -> dict[str, str]:
        """Return all variables that a process of a step sees."""
        facts = {
            f"GITHUB_{name.upper()}": text
            for name, text in self.facts.items()
            if isinstance(text, str)
        }
        return {
            "PATH": os.pathsep.join([*reversed(self.path), os.environ["PATH"]]),
            "HOME": str(self.folder / "home"),
            "LANG": "C.UTF-8",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            **facts,
            "GITHUB_WORKSPACE": str(self.workspace),
            **({"GITHUB_ACTION_PATH": str(scope.action_path)} if scope.action_path else {}),
            "RUNNER_OS": "Linux",
            "RUNNER_ARCH": "X64",
            "RUNNER_TEMP": str(self.temp),
            "RUNNER_ENVIRONMENT": "github-hosted",
            **(self.door.environ() if self.door else {}),
            **env,
            **{name: str(path) for name, path in files.items()},
        }


def run_steps(scene: Scene, scope: Scope, specs: Sequence[Mapping[str, Any]]) -> dict[str, Outcome]:
    """Perform all steps in order; return what each became, by its id or its number."""
    ends: dict[str, Outcome] = {}
    failed_here = False
    for number, spec in enumerate(specs):
        known_keys(spec, _STEP_KEYS, spec.get("name", f"step {number}"))
        name = spec.get("id", str(number))
        functions = status_functions(failed=scene.failed or failed_here)
        env = {**scope.env, **scene.env}
        values = scene.context_values(scope, env)
        seen = {key: value for key, value in values.items() if key != "secrets"}
        if condition(spec.get("if", "success()"), Context(seen, functions)):
            env |= filled(spec.get("env", {}), Context(values))
            end = _performed(scene, scope, spec, env)
        else:
            end = Outcome(outcome="skipped", conclusion="skipped", outputs={})
        ends[name] = end
        if "id" in spec:
            scope.steps[name] = end.context()
        failed_here = failed_here or end.conclusion == "failure"
    if scope.action_path is None:
        scene.failed = scene.failed or failed_here
    return ends


def status_functions(*, failed: bool) -> dict[str, bool]:
    """Return what the status functions answer; nobody cancels anything here."""
    return {"success": not failed, "failure": failed, "always": True, "cancelled": False}


def _performed(
    scene: Scene, scope: Scope, spec: Mapping[str, Any], env: Mapping[str, str]
) -> Outcome:
    context = Context(scene.context_values(scope, env))
    scene.log.take(f"> {fill(spec.get('name') or spec.get('uses') or 'run', context)}")
    act = _shell if "run" in spec else _action
    try:
        outputs = act(scene, scope, spec, env)
    except (StepFailedError, CommandError) as error:
        scene.log.take(f"::error::{error}")
        go_on = value_of(spec.get("continue-on-error", False), context) is True
        outputs = error.outputs if isinstance(error, StepFailedError) else {}
        conclusion = "success" if go_on else "failure"
        return Outcome(outcome="failure", conclusion=conclusion, outputs=outputs)
    return Outcome(outcome="success", conclusion="success", outputs=outputs)


# --- a shell ---


def _shell(
    scene: Scene, scope: Scope, spec: Mapping[str, Any], env: Mapping[str, str]
) -> Mapping[str, str]:
    if scope.action_path is not None and "shell" not in spec:
        raise WorkflowError("a step of a composite action needs a shell")
    context = Context(scene.context_values(scope, env))
    name = f"{len(scene.log.raw)}"
    script = scene.folder / f"{name}.sh"
    script.write_text(fill(spec["run"], context), encoding="utf-8")
    files = {
        f"GITHUB_{kind.upper()}": scene.folder / f"{name}.{kind}"
        for kind in ("output", "env", "path", "step_summary", "state")
    }
    for file in files.values():
        file.touch()
    where = scene.workspace / fill(spec.get("working-directory", ""), context)
    done = subprocess.run(
        [*_SHELLS[spec.get("shell")], str(script)],
        cwd=where,
        env=scene.environ(scope, env, files),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=STEP_TIMEOUT_S,
        check=False,
    )
    scene.log.outputs.clear()
    for line in lines_of(done.stdout.decode(errors="replace")):
        scene.log.take(line)
    outputs = _left(scene, files)
    if done.returncode != 0:
        raise StepFailedError(f"Process completed with exit code {done.returncode}.", outputs)
    return outputs


def _left(scene: Scene, files: Mapping[str, Path]) -> dict[str, str]:
    """Take what a step wrote into the files that it was given; return its outputs."""
    written = {name: file.read_bytes().decode() for name, file in files.items()}
    scene.env |= read_pairs(written["GITHUB_ENV"])
    for folder in filter(None, lines_of(written["GITHUB_PATH"])):
        scene.path = [*(one for one in scene.path if one != folder), folder]
    summary = files["GITHUB_STEP_SUMMARY"].stat().st_size
    if summary > SUMMARY_BYTES_MAX:
        scene.log.take(
            "::error::$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of "
            f"{SUMMARY_BYTES_MAX // 1024}k, got {summary // 1024}k."
        )
    else:
        scene.summary += scene.log.masks.hide(written["GITHUB_STEP_SUMMARY"])
    return scene.log.outputs | read_pairs(written["GITHUB_OUTPUT"])


# --- actions ---


def _action(
    scene: Scene, scope: Scope, spec: Mapping[str, Any], env: Mapping[str, str]
) -> Mapping[str, str]:
    context = Context(scene.context_values(scope, env))
    given = filled(spec.get("with", {}), context)
    uses = str(spec["uses"])
    if uses.startswith("$/"):
        hosted, sha = scene.source
        return _composite(scene, _fetched(scene, hosted, sha), uses.removeprefix("$/"), given, env)
    path, _, ref = uses.partition("@")
    owner, name, *rest = path.split("/")
    elsewhere = scene.repositories.get(f"{owner}/{name}")
    if elsewhere is not None:
        root = _fetched(scene, elsewhere, elsewhere.head(ref))
        return _composite(scene, root, "/".join(rest), given, env)
    if path not in _ACTIONS:
        raise WorkflowError(f"the action {uses} is not played")
    act, known = _ACTIONS[path]
    known_keys(given, known, path)
    return act(scene, given)


def _fetched(scene: Scene, hosted: Hosted, sha: str) -> Path:
    """Put a repository aside for its actions as the runner does: outside of the
    workspace, at the commit that was asked for, without ``.git``.
    """
    place = scene.folder / "actions" / hosted.full_name.replace("/", "-") / sha
    if not place.exists():
        _clone(hosted, sha, place)
        shutil.rmtree(place / ".git")
        scene.prepare(scene.temp, place)
    return place


def _clone(hosted: Hosted, sha: str, place: Path) -> None:
    """Check a commit out as a repository of its own that has nothing but it; what lay
    there before and is not of the commit is gone.
    """
    if (place / ".git").exists():
        git(place, "clean", "-ffdxq")
    else:
        shutil.rmtree(place, ignore_errors=True)
        git(hosted.bare, "init", "-q", str(place))
        git(place, "remote", "add", "origin", str(hosted.bare))
    git(place, "fetch", "-q", "--depth=1", "origin", sha)
    git(place, "checkout", "-q", "--force", "--detach", sha)


def _composite(
    scene: Scene, root: Path, path: str, given: Mapping[str, str], env: Mapping[str, str]
) -> Mapping[str, str]:
    folder = root / path
    action = yaml.safe_load((folder / "action.yml").read_text(encoding="utf-8"))
    if action["runs"]["using"] != "composite":
        raise WorkflowError(f"{path} is no composite action")
    inputs = inputs_of(path, action.get("inputs", {}), given)
    values = {"inputs": inputs, "strategy": {}, "matrix": {}}
    scope = Scope(values=values, env=env, action_path=folder)
    ends = run_steps(scene, scope, action["runs"]["steps"])
    told = {name: about["value"] for name, about in action.get("outputs", {}).items()}
    outputs = Strict(filled(told, Context(scene.context_values(scope, env))))
    if any(end.conclusion == "failure" for end in ends.values()):
        raise StepFailedError("a step of the action failed", outputs)
    return outputs


def _checkout(scene: Scene, given: Mapping[str, str]) -> dict[str, str]:
    if "contents" not in scene.permissions and _entry(scene).private:
        raise StepFailedError(
            "fatal: repository not found: the job has no permission `contents: read`"
        )
    if given.get("persist-credentials") != "false":
        raise WorkflowError("a checkout keeps the token")
    hosted = scene.repositories[given.get("repository") or _entry(scene).full_name]
    ref = given.get("ref") or scene.event.sha
    sha = hosted.head(ref)
    _clone(hosted, sha, scene.workspace / given.get("path", ""))
    return {"ref": ref, "commit": sha}


def _entry(scene: Scene) -> Repository:
    return scene.github.state.repositories[scene.event.payload["repository"]["full_name"]]


def _upload(scene: Scene, given: Mapping[str, str]) -> dict[str, str]:
    name, path = given.get("name", "artifact"), scene.workspace / given["path"]
    found = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    if not found:
        wish = given.get("if-no-files-found", "warn")
        sentence = f"No files were found with the provided path: {given['path']}."
        if wish == "error":
            raise StepFailedError(sentence)
        scene.log.take(f"::warning::{sentence}" if wish == "warn" else sentence)
        return {}
    entry, same = _entry(scene), _artifacts(scene, name)
    if same and given.get("overwrite") != "true":
        raise StepFailedError(
            "Failed to CreateArtifact: (409) Conflict: "
            "an artifact with this name already exists on the run"
        )
    for one in same:
        del entry.artifacts[one.id]
    root = path.parent if path.is_file() else path
    files = {str(file.relative_to(root)): file.read_bytes() for file in found}
    artifact = scene.github.state.add_artifact(entry.full_name, scene.run, name, files)
    return {"artifact-id": str(artifact.id)}


def _download(scene: Scene, given: Mapping[str, str]) -> dict[str, str]:
    found = _artifacts(scene, given["name"])
    if not found:
        raise StepFailedError(
            f"Unable to download artifact(s): Artifact not found for name: {given['name']}"
        )
    place = scene.workspace / given.get("path", "")
    with zipfile.ZipFile(io.BytesIO(found[-1].content)) as archive:
        archive.extractall(place)
    return {"download-path": str(place)}


def _artifacts(scene: Scene, name: str) -> list[Artifact]:
    """Return the artifacts of this run that have the name."""
    everything = _entry(scene).artifacts.values()
    return [one for one in everything if one.run is scene.run and one.name == name]


_ACTIONS: Mapping[str, tuple[Callable[..., dict[str, str]], AbstractSet[str]]] = {
    "actions/checkout": (_checkout, _CHECKOUT),
    "actions/upload-artifact": (_upload, _UPLOAD),
    "actions/download-artifact": (_download, _DOWNLOAD),
}
