"""A stand-in of GitHub's runner: it plays a workflow file step by step against the
stand-ins of GitHub's API and issuer.

Rules this module keeps:

1. The file is read from the commit that the event names, and so are the actions of the
   repository itself (``$/…``).
2. A key that this module does not know is a WorkflowError: what is not played is said.
3. A job gets a token with exactly its ``permissions`` (where the event is restricted,
   only to read), and the variables of OIDC with ``id-token: write`` alone. An
   environment lets a job through when its rules do and, if it has reviewers, one of
   them agrees.
4. Steps are real processes of bash in an environment that holds what the runner gives
   and nothing of this machine but PATH.
5. Jobs are played one after the other; a concurrency group is worked out and noted, and
   never waited for.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.delivery.played.commands import Log, Masks
from tests.delivery.played.expressions import Context, Strict, condition, fill, filled, value_of
from tests.delivery.played.hosting import Event, Hosted
from tests.delivery.played.steps import (
    Outcome,
    Scene,
    Scope,
    WorkflowError,
    inputs_of,
    known_keys,
    run_steps,
    status_functions,
)
from tests.support.github import GitHub
from tests.support.github_oidc import Issuer, job_claims
from tests.support.github_state import ACTIONS_BOT, Run

WORKFLOWS = ".github/workflows"
_WORKFLOW_KEYS = {"name", "run-name", "on", "permissions", "concurrency", "env", "jobs", "defaults"}
_JOB_KEYS = {
    *("name", "if", "needs", "runs-on", "timeout-minutes", "environment", "permissions", "env"),
    *("outputs", "concurrency", "steps", "uses", "with", "secrets", "strategy"),
}
_SCOPES = {
    *("contents", "issues", "pull-requests", "actions", "id-token", "checks", "statuses"),
    *("security-events", "packages"),
}
_LEVELS = ("none", "read", "write")
# GitHub's table "Context availability".
_AT_WORKFLOW = ("github", "inputs", "vars")
_AT_JOB_IF = ("github", "needs", "vars", "inputs")
_AT_JOB = (*_AT_JOB_IF, "strategy", "matrix")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An environment of the repository's settings: which refs may use it, and whether
    somebody has to agree.
    """

    branches: tuple[str, ...] = ("refs/heads/main",)
    reviewers: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class JobEnd:
    """How a job ended: ``result`` is success, failure or skipped.

    ``why`` is the reason where the job never began.
    """

    name: str
    result: str
    outputs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    steps: Mapping[str, Outcome] = dataclasses.field(default_factory=dict)
    log: Log = dataclasses.field(default_factory=lambda: Log(Masks()))
    summary: str = ""
    environment: str | None = None
    group: str | None = None
    permissions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    why: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A run of a workflow: its jobs by id, those of a called workflow as ``job/id``."""

    file: str
    run: Run
    jobs: Mapping[str, JobEnd]

    @property
    def result(self) -> str:
        """The result: failure as soon as one job failed."""
        return "failure" if "failure" in self.results().values() else "success"

    @property
    def log(self) -> str:
        """The log of all jobs as people read it."""
        return "\n".join(
            f"== {name}: {job.result} {job.why}\n{job.log.text}" for name, job in self.jobs.items()
        )

    def results(self) -> dict[str, str]:
        """Return how each job ended."""
        return {name: job.result for name, job in self.jobs.items()}

    def job(self, name: str) -> JobEnd:
        """Return the only job of this id, in the workflow or in one that it calls."""
        (found,) = (job for full, job in self.jobs.items() if full.rpartition("/")[2] == name)
        return found


@dataclasses.dataclass(kw_only=True)
class Stage:
    """Where workflows are played.

    ``approve`` is the reviewer, who is asked with the environment and the job's id.
    ``prepare`` stands for what a runner's image has installed: before an action of a
    repository runs, it gets the job's RUNNER_TEMP and the action's repository.
    ``elsewhere`` are other repositories whose workflows may be called.
    """

    github: GitHub
    issuer: Issuer
    hosted: Hosted
    folder: Path
    variables: Mapping[str, str]
    environments: Mapping[str, Environment]
    approve: Callable[[str, str], bool]
    prepare: Callable[[Path, Path], None]
    elsewhere: Mapping[str, Hosted] = dataclasses.field(default_factory=dict)
    played: list[Played] = dataclasses.field(default_factory=list)
    numbers: Iterator[int] = dataclasses.field(default_factory=itertools.count)

    def play(self, file: str, event: Event, *, again: Played | None = None) -> Played:
        """Play one workflow, whether the event would start it or not.

        ``again`` is a run whose failed jobs, and those that need them, are started
        again.
        """
        run = (
            again.run
            if again is not None
            else self.github.state.add_run(
                self.hosted.full_name,
                event=event.name,
                head_branch=event.head_branch,
                head_sha=event.head_sha,
                path=f"{WORKFLOWS}/{file}",
                name=file.removesuffix(".yml"),
                head_repository=event.head_repository,
                conclusion=None,
            )
        )
        workflow = read_workflow(self.hosted, event.sha, file)
        run.name = workflow.get("name", run.path)
        source = self.hosted, event.sha, file
        player = _Player(self, event, run, workflow, source=source)
        kept = player.start_again(again.jobs) if again is not None else {}
        ends = {**kept, **dict(player.jobs(inputs=_dispatch_inputs(workflow, event), allowed=None))}
        played = Played(file=file, run=run, jobs=ends)
        run.status, run.conclusion = "completed", played.result
        self.played.append(played)
        return played


def succeeded(ends: Mapping[str, JobEnd], workflow: Mapping[str, Any]) -> dict[str, JobEnd]:
    """Return the jobs that GitHub keeps when the failed ones are started again.

    A job that needs one of those is started again as well. Those of a called workflow
    are kept with the job that calls it.
    """
    kept: dict[str, JobEnd] = {}
    for name in (one for one in ends if one in workflow["jobs"]):
        needs = _needs(workflow["jobs"][name])
        if ends[name].result != "failure" and all(need in kept for need in needs):
            kept |= {one: end for one, end in ends.items() if f"{one}/".startswith(f"{name}/")}
    return kept


def read_workflow(hosted: Hosted, sha: str, file: str) -> dict[str, Any]:
    """Return a workflow of a commit, whose key ``on`` YAML 1.1 reads as true."""
    document = yaml.safe_load(hosted.show(sha, f"{WORKFLOWS}/{file}"))
    if True in document:
        document["on"] = document.pop(True)
    known_keys(document, _WORKFLOW_KEYS, file)
    return dict(document)


def _dispatch_inputs(workflow: Mapping[str, Any], event: Event) -> Strict:
    """Return what a person gave at the button, else the defaults; an input of a call
    is null.
    """
    on = workflow["on"] if isinstance(workflow["on"], dict) else {}
    declared = {**((on.get("workflow_call") or {}).get("inputs") or {})}
    found = Strict(dict.fromkeys(declared))
    if event.name == "workflow_dispatch":
        asked = ((on.get("workflow_dispatch") or {}).get("inputs")) or {}
        given = event.payload["inputs"]
        known_keys(given, asked.keys(), "the inputs of the button")
        for name, spec in asked.items():
            text = given.get(name, spec.get("default"))
            found[name] = text in {True, "true"} if spec.get("type") == "boolean" else text
    return found


class _Player:
    """One workflow of one run, or one that it calls."""

    def __init__(
        self,
        stage: Stage,
        event: Event,
        run: Run,
        workflow: Mapping[str, Any],
        *,
        source: tuple[Hosted, str, str],
    ) -> None:
        self._stage = stage
        self._event = event
        self._run = run
        self._workflow = workflow
        self._hosted, self._sha, self._file = source
        self._ends: dict[str, JobEnd] = {}
        self._attempt = "1"
        self._earlier: Mapping[str, JobEnd] = {}

    def start_again(self, earlier: Mapping[str, JobEnd]) -> dict[str, JobEnd]:
        """Begin a second attempt; return the jobs that it takes over from the first."""
        self._attempt, self._earlier = "2", earlier
        self._ends = succeeded(earlier, self._workflow)
        return dict(self._ends)

    def jobs(
        self, *, inputs: Mapping[str, Any], allowed: Mapping[str, str] | None
    ) -> Iterator[tuple[str, JobEnd]]:
        """Play all jobs in an order that keeps their needs.

        ``allowed`` are the permissions that the calling job has.
        """
        self._inputs = inputs
        values = self._values(_AT_WORKFLOW)
        self._group(self._workflow.get("concurrency"), Context(values))
        context = Context({**values, "secrets": Strict()})
        self._env = filled(self._workflow.get("env", {}), context)
        left = {k: v for k, v in self._workflow["jobs"].items() if k not in self._ends}
        while left:
            ready = [name for name, spec in left.items() if set(_needs(spec)) <= self._ends.keys()]
            if not ready:
                raise WorkflowError(
                    f"jobs that wait for each other or for one that is not there: {sorted(left)}"
                )
            spec = left.pop(ready[0])
            known_keys(spec, _JOB_KEYS, ready[0])
            for name, end in self._job(ready[0], spec, allowed):
                self._ends[name] = end
                yield name, end

    def _values(
        self, contexts: tuple[str, ...], needs: tuple[str, ...] = (), job: str = ""
    ) -> dict[str, Any]:
        everything = {
            "github": self._github(job),
            "inputs": self._inputs,
            "vars": self._stage.variables,
            "needs": Strict({name: self._need(name) for name in needs}),
            "strategy": {},
            "matrix": {},
        }
        return {name: everything[name] for name in contexts}

    def _need(self, name: str) -> dict[str, Any]:
        declared = self._workflow["jobs"][name].get("outputs", {})
        end = self._ends[name]
        return {"result": end.result, "outputs": Strict({**dict.fromkeys(declared), **end.outputs})}

    def _github(self, job: str) -> Strict:
        event, stage = self._event, self._stage
        entry = stage.hosted.entry
        owner = entry.full_name.partition("/")[0]
        return Strict(
            event=event.payload,
            event_name=event.name,
            event_path=str(stage.folder / f"event-{self._run.id}.json"),
            sha=event.sha,
            ref=event.ref,
            ref_name=event.ref.removeprefix("refs/heads/").removeprefix("refs/pull/"),
            ref_type="branch",
            head_ref=event.head_ref,
            base_ref=event.base_ref,
            repository=entry.full_name,
            repository_id=str(entry.id),
            repository_owner=owner,
            repository_owner_id=str(entry.owner_id),
            actor=event.actor,
            triggering_actor=event.actor,
            workflow=self._run.name,
            workflow_ref=f"{entry.full_name}/{self._run.path}@{event.ref}",
            workflow_sha=event.sha,
            run_id=str(self._run.id),
            run_number=str(self._run.number),
            run_attempt=self._attempt,
            job=job,
            server_url=stage.github.web,
            api_url=stage.github.url,
            token=None,
            workspace=None,
            action_path=None,
        )

    # --- a job ---

    def _job(
        self, name: str, spec: Mapping[str, Any], allowed: Mapping[str, str] | None
    ) -> Iterator[tuple[str, JobEnd]]:
        needs = tuple(_needs(spec))
        if not self._wanted(name, spec, needs):
            yield name, JobEnd(name=name, result="skipped")
            return
        permissions = self._permissions(name, spec, allowed)
        context = Context(self._values(_AT_JOB, needs, name))
        group = self._group(spec.get("concurrency"), context)
        if "strategy" in spec:
            yield from self._rows(name, spec, context, permissions)
            return
        if "uses" in spec:
            yield from self._called(name, spec, context, permissions)
            return
        if spec.get("runs-on") is None or "timeout-minutes" not in spec:
            raise WorkflowError(f"the job {name} has no runner or no timeout")
        environment = self._environment(spec.get("environment"), context)
        refusal = self._refusal(name, environment)
        if refusal:
            end = JobEnd(name=name, result="failure", environment=environment, why=refusal)
            yield name, dataclasses.replace(end, group=group)
            return
        if self._event.restricted:
            permissions = {scope: "read" for scope in permissions if scope != "id-token"}
        end = self._performed(name, spec, needs, permissions, environment)
        yield name, dataclasses.replace(end, group=group)

    def _wanted(self, name: str, spec: Mapping[str, Any], needs: tuple[str, ...]) -> bool:
        results = [self._ends[need].result for need in self._ancestors(needs)]
        functions = status_functions(failed="failure" in results)
        if any(self._ends[need].result != "success" for need in needs):
            functions["success"] = False
        return condition(
            spec.get("if", "success()"), Context(self._values(_AT_JOB_IF, needs, name), functions)
        )

    def _ancestors(self, needs: tuple[str, ...]) -> set[str]:
        found = set(needs)
        for need in needs:
            found |= self._ancestors(tuple(_needs(self._workflow["jobs"][need])))
        return found

    def _permissions(
        self, name: str, spec: Mapping[str, Any], allowed: Mapping[str, str] | None
    ) -> dict[str, str]:
        given = spec.get("permissions", self._workflow.get("permissions"))
        if (
            not isinstance(given, dict)
            or given.keys() - _SCOPES
            or set(given.values()) - {*_LEVELS}
        ):
            raise WorkflowError(f"the job {name} says nothing clear about its permissions")
        if allowed is not None:
            beyond = {
                scope
                for scope, level in given.items()
                if _LEVELS.index(level) > _LEVELS.index(allowed.get(scope, "none"))
            }
            if beyond:
                raise WorkflowError(
                    f"the job {name} asks for more than its caller has: {sorted(beyond)}"
                )
        return {scope: level for scope, level in given.items() if level != "none"}

    def _group(self, given: Any, context: Context) -> str | None:
        if given is None or isinstance(given, str):
            return fill(given, context) if given else None
        known_keys(given, {"group", "cancel-in-progress", "queue"}, "concurrency")
        cancels = value_of(given.get("cancel-in-progress"), context) is True
        if cancels and given.get("queue") == "max":
            raise WorkflowError("queue: max and cancel-in-progress exclude each other")
        return fill(given["group"], context)

    def _environment(self, given: Any, context: Context) -> str | None:
        if isinstance(given, dict):
            known_keys(given, {"name", "url", "deployment"}, "environment")
            given = given["name"]
        return fill(given, context) or None if given is not None else None

    def _refusal(self, job: str, environment: str | None) -> str:
        """Return why the environment stops the job; empty where it does not."""
        if environment is None:
            return ""
        if environment not in self._stage.environments:
            raise WorkflowError(
                f"GitHub would make the environment {environment!r} on the spot, without any rule"
            )
        rules = self._stage.environments[environment]
        if self._event.ref not in rules.branches:
            return (
                f"{self._event.ref} is not allowed to deploy to {environment} "
                "due to environment protection rules"
            )
        if rules.reviewers and not self._stage.approve(environment, job):
            return f"the deployment to {environment} was rejected"
        return ""

    def _performed(
        self,
        name: str,
        spec: Mapping[str, Any],
        needs: tuple[str, ...],
        permissions: Mapping[str, str],
        environment: str | None,
    ) -> JobEnd:
        stage = self._stage
        token = stage.github.issue_token(
            stage.hosted.full_name, login=ACTIONS_BOT, permissions=permissions
        )
        door = None
        if permissions.get("id-token") == "write":
            door = stage.issuer.open(self._claims(environment))
        scene = Scene(
            github=stage.github,
            repositories={stage.hosted.full_name: stage.hosted, **stage.elsewhere},
            source=(self._hosted, self._sha),
            event=self._event,
            run=self._run,
            facts=self._github(name),
            folder=stage.folder / f"{next(stage.numbers)}-{self._run.id}-{name}",
            token=token,
            permissions=permissions,
            door=door,
            prepare=stage.prepare,
        )
        values = self._values(_AT_JOB, needs, name)
        values["secrets"] = Strict({"GITHUB_TOKEN": token})
        env = self._env | filled(spec.get("env", {}), Context(values))
        scope = Scope(values=values, env=env)
        steps = run_steps(scene, scope, spec["steps"])
        outputs = filled(spec.get("outputs", {}), Context(scene.context_values(scope, env)))
        if door is not None:
            stage.issuer.close(door)
        return JobEnd(
            name=name,
            result="failure" if scene.failed else "success",
            outputs={
                key: "" if scene.log.masks.cover(text) else text for key, text in outputs.items()
            },
            steps=steps,
            log=scene.log,
            summary=scene.summary,
            environment=environment,
            permissions=permissions,
        )

    def _claims(self, environment: str | None) -> dict[str, str]:
        entry, event = self._stage.hosted.entry, self._event
        ref = event.ref if self._hosted is self._stage.hosted else self._sha
        return job_claims(
            repository=entry.full_name,
            repository_id=entry.id,
            owner_id=entry.owner_id,
            event_name=event.name,
            ref=event.ref,
            sha=event.sha,
            workflow=self._run.name,
            workflow_file=self._run.path,
            run_id=self._run.id,
            environment=environment,
            actor=event.actor,
            job_workflow_ref=f"{self._hosted.full_name}/{WORKFLOWS}/{self._file}@{ref}",
            head_ref=event.head_ref,
            base_ref=event.base_ref,
            private=entry.private,
        )

    # --- a called workflow ---

    def _rows(
        self, name: str, spec: Mapping[str, Any], context: Context, permissions: Mapping[str, str]
    ) -> Iterator[tuple[str, JobEnd]]:
        """Call a workflow for each row of a matrix; its jobs' ids are ``job[0]/id``."""
        strategy = spec["strategy"]
        known_keys(strategy, {"fail-fast", "matrix"}, "strategy")
        known_keys(strategy["matrix"], {"include"}, "matrix")
        if "uses" not in spec or strategy["fail-fast"] is not False:
            raise WorkflowError(f"the job {name} has a matrix that is not played")
        results = []
        for number, row in enumerate(strategy["matrix"]["include"]):
            at_row = context._replace(values={**context.values, "matrix": Strict(row)})
            for inner, end in self._called(f"{name}[{number}]", spec, at_row, permissions):
                yield inner, end
                results.append(end.result)
        yield name, JobEnd(name=name, result=_worst(results), permissions=permissions)

    def _called(
        self, name: str, spec: Mapping[str, Any], context: Context, permissions: Mapping[str, str]
    ) -> Iterator[tuple[str, JobEnd]]:
        if "secrets" in spec or "steps" in spec:
            raise WorkflowError(
                f"the job {name} calls a workflow and gives it secrets, or has steps of its own"
            )
        hosted, sha, file = self._place(spec["uses"])
        workflow = read_workflow(hosted, sha, file)
        declared = (workflow["on"].get("workflow_call") or {}).get("inputs") or {}
        given = {key: value_of(value, context) for key, value in spec.get("with", {}).items()}
        inputs = inputs_of(file, declared, given)
        player = _Player(self._stage, self._event, self._run, workflow, source=(hosted, sha, file))
        kept = {}
        if self._attempt != "1":
            inside = f"{name}/"
            kept = player.start_again(
                {
                    one[len(inside) :]: end
                    for one, end in self._earlier.items()
                    if one.startswith(inside)
                }
            )
        ends = {**kept, **dict(player.jobs(inputs=inputs, allowed=permissions))}
        for inner, end in ends.items():
            yield f"{name}/{inner}", end
        results = [end.result for end in ends.values()]
        yield name, JobEnd(name=name, result=_worst(results), permissions=permissions)

    def _place(self, uses: str) -> tuple[Hosted, str, str]:
        """Return repository, commit and file of a called workflow, which is named
        ``$/.github/workflows/x.yml`` or ``owner/name/.github/workflows/x.yml@commit``.
        """
        if uses.startswith(("$/", "./")):
            return self._hosted, self._sha, uses.rpartition("/")[2]
        path, _, ref = uses.partition("@")
        owner, name, *_, file = path.split("/")
        hosted = self._stage.elsewhere.get(f"{owner}/{name}")
        if hosted is None:
            raise WorkflowError(f"there is no repository for {uses}")
        return hosted, hosted.head(ref), file


def _worst(results: list[str]) -> str:
    return next(one for one in ("failure", "success", "skipped") if one in results)


def _needs(spec: Mapping[str, Any]) -> list[str]:
    needs = spec.get("needs", [])
    return [needs] if isinstance(needs, str) else list(needs)
