"""The process files as values: workflows, the action, and what stands in them, each
with its place.

YAML 1.1 would read the key ``on`` as true; GitHub reads YAML 1.2, so the loader here
knows ``true`` and ``false`` only.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

TIMEOUT_S = 600
"""Of one program: far more than it takes, as a busy machine is no mistake of ours."""

ROOT = Path(__file__).parent.parent.parent
GITHUB = ROOT / ".github"
ACTION = GITHUB / "actions" / "reconciler" / "action.yml"
OUR_WORKFLOWS = tuple(sorted((GITHUB / "workflows").glob("*.yml")))
EXAMPLE_WORKFLOWS = tuple(sorted((GITHUB / "examples" / "github").glob("*.yml")))
WORKFLOWS = (*OUR_WORKFLOWS, *EXAMPLE_WORKFLOWS)
GITLAB = GITHUB / "examples" / "gitlab" / ".gitlab-ci.yml"
SEVERAL_GITLAB = GITLAB.parent / "several-manifests.gitlab-ci.yml"
CRONJOB = GITHUB / "examples" / "kubernetes" / "cronjob.yaml"
INDEXED_JOB = CRONJOB.parent / "indexed-job.yaml"

OWN_ACTION = re.compile(r"(?:\$|acme/reconciler)/\.github/actions/reconciler(?:@[0-9a-f]{40})?")
OWN_WORKFLOW = re.compile(
    r"(?:\$|acme/reconciler)/\.github/workflows/([a-z-]+\.yml)(?:@[0-9a-f]{40})?"
)
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)


class _Loader(yaml.SafeLoader):
    """SafeLoader with the booleans of YAML 1.2."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"true|false"), list("tf"))


@functools.cache
def load(path: Path) -> Any:
    """Return a YAML file's only document."""
    return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  # a SafeLoader


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step and where it stands; ``job`` is empty in a composite action."""

    path: Path
    job: str
    number: int
    spec: Mapping[str, Any]

    def __str__(self) -> str:
        place = f"{self.path.relative_to(ROOT)}: {self.job or 'action'}"
        return f"{place}, step {self.number} ({self.spec.get('name', '')})"

    @property
    def uses(self) -> str:
        """What the step uses; empty where it runs a script."""
        return str(self.spec.get("uses", ""))

    @property
    def is_ours(self) -> bool:
        """Whether the step uses our own action."""
        return OWN_ACTION.fullmatch(self.uses) is not None

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The step's ``with``."""
        given: Mapping[str, Any] = self.spec.get("with", {})
        return given

    @property
    def argv(self) -> tuple[str, ...]:
        """What our action gives the program: the words of ``command``, then a line each
        of ``arguments``.
        """
        lines = str(self.inputs.get("arguments", "")).splitlines()
        return (*str(self.inputs.get("command", "")).split(), *(line for line in lines if line))


def performed(
    argv: Sequence[str | Path], cwd: Path = ROOT, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program, in our environment unless ``environ`` is another."""
    return subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        cwd=cwd,
        env=environ,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def act(name: str, workspace: Path, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Do one step of the action, as a runner would."""
    (script,) = (step.spec["run"] for step in steps(ACTION) if step.spec["name"] == name)
    argv = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return performed(argv, workspace, environ)


def jobs(path: Path) -> Mapping[str, Mapping[str, Any]]:
    """Return a workflow's jobs by id."""
    found: Mapping[str, Mapping[str, Any]] = load(path)["jobs"]
    return found


def steps(path: Path) -> tuple[Step, ...]:
    """Return every step of a workflow or a composite action, in order."""
    if path == ACTION:
        return _steps(path, "", load(path)["runs"]["steps"])
    return tuple(
        step
        for name, job in jobs(path).items()
        for step in _steps(path, name, job.get("steps", ()))
    )


def _steps(path: Path, job: str, specs: Any) -> tuple[Step, ...]:
    return tuple(
        Step(path=path, job=job, number=number, spec=spec) for number, spec in enumerate(specs, 1)
    )


def steps_of_all() -> tuple[Step, ...]:
    """Return every step that we ship."""
    return tuple(step for path in (*WORKFLOWS, ACTION) for step in steps(path))


def scripts_of_all() -> dict[str, str]:
    """Return every shell script in the files by its place: ``run:`` of GitHub and
    ``script:`` of GitLab.
    """
    found = {str(step): str(step.spec["run"]) for step in steps_of_all() if "run" in step.spec}
    for name, job in gitlab_jobs().items():
        found[f"{GITLAB.relative_to(ROOT)}: {name}"] = "\n".join(job.get("script", ()))
    return {place: script for place, script in found.items() if script}


def gitlab_jobs() -> dict[str, dict[str, Any]]:
    """Return GitLab's jobs, each with what it extends merged in; templates, which start
    with a point, are left out.
    """
    document = load(GITLAB)
    globals_ = {"stages", "workflow", "variables", "default", "include"}
    return {
        name: _extended(document, spec)
        for name, spec in document.items()
        if name not in globals_ and name[0] != "."
    }


def _extended(document: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    base = _extended(document, document[spec["extends"]]) if "extends" in spec else {}
    for key, entry in spec.items():
        both = isinstance(entry, dict) and isinstance(base.get(key), dict)
        base[key] = {**base[key], **entry} if both else entry
    return base


def expressions(text: str) -> tuple[str, ...]:
    """Return what stands between ``${{`` and ``}}``."""
    return tuple(found.strip() for found in EXPRESSION.findall(text))


def texts(spec: Any) -> Iterator[str]:
    """Yield every string in a document, keys included."""
    if isinstance(spec, dict):
        for key, entry in spec.items():
            yield from texts(key)
            yield from texts(entry)
    elif isinstance(spec, (list, tuple)):
        for entry in spec:
            yield from texts(entry)
    elif isinstance(spec, str):
        yield spec


def table(text: str, heading: str) -> list[list[str]]:
    """Return the cells of the Markdown table whose first column has this heading."""
    rows = text[text.index(f"| {heading} |") :].split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
