"""What no checker of others knows about the process files: our own rules of security,
and that files, program and pages agree.

tests/delivery/README.md says which test holds which rule.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from reconciler import load_schema
from reconciler.cli import commands as cli
from reconciler.manifest import ManifestError, Pins, load_manifest
from reconciler.state.secret import OUR_FIELDS
from tests.delivery.files import (
    ACTION,
    CRONJOB,
    EXPRESSION,
    GITHUB,
    GITLAB,
    INDEXED_JOB,
    OUR_WORKFLOWS,
    OWN_ACTION,
    OWN_WORKFLOW,
    ROOT,
    WORKFLOWS,
    Step,
    act,
    expressions,
    gitlab_jobs,
    jobs,
    load,
    performed,
    scripts_of_all,
    steps,
    steps_of_all,
    table,
    texts,
)

ACTIONS_OF_OTHERS = {
    "actions/attest",
    "actions/checkout",
    "actions/download-artifact",
    "actions/setup-python",
    "actions/upload-artifact",
    "pypa/gh-action-pypi-publish",
}
PIN = re.compile(r"uses: (?P<action>[^@ ]+)@(?P<sha>[0-9a-f]{40}) # (?P<version>v\d+\.\d+\.\d+)")
SECRET_LIKE = re.compile(
    r"secret|token|passw|credential|jwt|identity|(?:^|[^a-z])key(?:$|[^a-z])", re.IGNORECASE
)
VAULT_EXAMPLES = GITHUB / "examples" / "vault"
ACTION_PAGE = ACTION.parent / "README.md"
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted(GITHUB.rglob("*.md")),
)
OWN = re.compile(r"\s*(?:- )?uses: \$/\.github/(?:actions/reconciler|workflows/tokens-change\.yml)")
WRITERS = "tokens-write"


def named(path: Path) -> str:
    """Return a file's name, for the ids of tests."""
    return path.name


def job_ids(paths: tuple[Path, ...]) -> list[tuple[Path, str]]:
    """Return every job of these workflows."""
    return [(path, job) for path in paths for job in jobs(path)]


def role_of(path: Path, job: str) -> str | None:
    """Return the role that a job asks of Vault."""
    role: str | None = jobs(path)[job].get("env", {}).get("RECONCILER_VAULT_ROLE")
    assert role is None or "VAULT_ADDR" in env_of(path, job)
    return role


def env_of(path: Path, job: str) -> dict[str, str]:
    """Return the variables of a job, those of its workflow among them."""
    return {**load(path).get("env", {}), **jobs(path)[job].get("env", {})}


def may_write(path: Path) -> bool:
    """Return whether a job of the workflow, or of one beside it that it calls, may."""
    called = {spec["uses"].rpartition("/")[2] for spec in jobs(path).values() if "uses" in spec}
    beside = [one for one in OUR_WORKFLOWS if one.name in called and path in OUR_WORKFLOWS]
    return any(role_of(path, job) == "tokens-apply" for job in jobs(path)) or any(
        may_write(one) for one in beside
    )


def triggers_of(path: Path) -> set[str]:
    """Return what starts a workflow of ours, itself or through those that call it."""
    found = set(load(path)["on"])
    for caller, job in job_ids(OUR_WORKFLOWS):
        called = OWN_WORKFLOW.fullmatch(jobs(caller)[job].get("uses", ""))
        found |= triggers_of(caller) if called and called[1] == path.name else set()
    return found - {"workflow_call"}


each_workflow = pytest.mark.parametrize("path", WORKFLOWS, ids=named)
each_job = pytest.mark.parametrize(
    ("path", "job"),
    [pytest.param(*one, id=f"{one[0].name}-{one[1]}") for one in job_ids(WORKFLOWS)],
)


# Permissions, credentials and other people's code.


@each_workflow
def test_permissions(path: Path) -> None:
    """A workflow permits nothing on top; each job says what it may do, and each line of
    that says what for.
    """
    assert load(path)["permissions"] == {}
    lines = path.read_text(encoding="utf-8").splitlines()
    tree = yaml.compose(path.read_text(encoding="utf-8"))
    assert tree is not None
    for name, job in _children(_child(tree, "jobs")):
        for permission, level in _children(_child(job, "permissions")):
            assert level.value in {"read", "write"}
            line = lines[level.start_mark.line]
            assert re.fullmatch(rf" +{permission}: {level.value} # to [a-z].+", line), (
                f"{name}: {line}"
            )


def _children(node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    assert isinstance(node, yaml.MappingNode)
    return ((key.value, entry) for key, entry in node.value)


def _child(node: yaml.Node, key: str) -> yaml.Node:
    return dict(_children(node))[key]


@each_workflow
def test_no_dangerous_trigger_or_inheritance(path: Path) -> None:
    """Workflows have no trigger that runs with the repository's rights on somebody
    else's words, no stored secret and no blanket permission.
    """
    triggers = load(path)["on"]
    assert not {"pull_request_target", "workflow_run", "issue_comment"} & set(
        [triggers] if isinstance(triggers, str) else triggers
    )
    text = path.read_text(encoding="utf-8")
    assert not re.search(
        r"secrets\b|write-all|read-all|allow-unsafe", re.sub(r"#.*|vars\b.*secret", "", text)
    )


def test_actions_are_pinned() -> None:
    """Of others only five of GitHub's own and the one of PyPI's, each at one commit
    everywhere with its version beside it; ours by ``$/``.
    """
    pinned: dict[str, set[tuple[str, str]]] = {}
    for path in (*WORKFLOWS, ACTION):
        for line in path.read_text(encoding="utf-8").splitlines():
            if not re.match(r"\s*(?:- )?uses:", line):
                continue
            if OWN.fullmatch(line):
                assert path in OUR_WORKFLOWS
                continue
            pin = PIN.fullmatch(line.strip().removeprefix("- "))
            assert pin, f"{path.name}: {line}"
            pinned.setdefault(pin["action"], set()).add((pin["sha"], pin["version"]))
    others = {
        action: pins for action, pins in pinned.items() if not action.startswith("acme/reconciler/")
    }
    assert others.keys() == ACTIONS_OF_OTHERS
    assert [action for action, pins in others.items() if len(pins) > 1] == []
    assert {pin for action in pinned.keys() - others.keys() for pin in pinned[action]} == {
        ("0" * 40, "v0.1.0")
    }


@pytest.mark.parametrize("step", steps_of_all(), ids=str)
def test_steps(step: Step) -> None:
    """No script has an expression in it, whose value would be code; and no checkout
    leaves its token behind.
    """
    assert "${{" not in str(step.spec.get("run", ""))
    assert "${{" not in str(step.spec.get("shell", ""))
    if step.uses.startswith("actions/checkout@"):
        assert step.inputs["persist-credentials"] is False


@each_job
def test_identity_only_in_an_environment(path: Path, job: str) -> None:
    """A job may prove who it is only in an environment, whose rules then hold, and
    nothing else asks for Vault.

    A job that calls a workflow of ours passes the right on to jobs with an environment,
    and never for a pull request.
    """
    spec = jobs(path)[job]
    proves = spec["permissions"].get("id-token") == "write"
    if "uses" in spec:
        called = OWN_WORKFLOW.fullmatch(spec["uses"])
        assert called
        assert proves == any(
            "id-token" in one["permissions"]
            for one in jobs(GITHUB / "workflows" / called[1]).values()
        )
        assert not proves or "pull_request" not in spec["if"]
    else:
        releases = spec.get("environment") == "release"  # who it is, is for PyPI then
        assert proves == (role_of(path, job) is not None or releases)
        assert not proves or "environment" in spec


def test_pull_requests_hold_no_credential() -> None:
    """What a pull request starts has no environment, no identity and no address of
    Vault: it can be edited there.
    """
    for path in WORKFLOWS:
        if "pull_request" not in load(path)["on"]:
            continue
        assert "VAULT_ADDR" not in load(path).get("env", {})
        for name, spec in jobs(path).items():
            elsewhere = re.search(
                r"event_name == 'push'|event\.schedule ==", str(spec.get("if", ""))
            ) or _needs(spec)
            if not elsewhere or path.name == "tokens-plan.yml":
                assert "id-token" not in spec["permissions"], name
                assert not {"environment", "secrets"} & spec.keys(), name
                told = json.dumps(spec).replace("vars.RECONCILER_VAULT_PREFIX", "the pin")
                assert "VAULT" not in told, name


def _needs(spec: Mapping[str, Any]) -> list[str]:
    needs = spec.get("needs", [])
    return [needs] if isinstance(needs, str) else list(needs)


@each_workflow
def test_nothing_secret_is_asked_for(path: Path) -> None:
    """Inputs are shown and kept by GitHub, so none is made for a secret."""
    triggers = load(path)["on"]
    for trigger in ("workflow_dispatch", "workflow_call"):
        given = (
            (triggers[trigger] or {}) if isinstance(triggers, dict) and trigger in triggers else {}
        )
        assert not given.keys() - {"inputs"}
        for name, spec in given.get("inputs", {}).items():
            assert not SECRET_LIKE.search(f"{name} {spec['description']}"), name


def test_the_action_asks_for_nothing_secret() -> None:
    """The action takes a command, its arguments and a Python."""
    assert not any(SECRET_LIKE.search(name) for name in load(ACTION)["inputs"])


# Who may write, and when.


@each_job
def test_writers_take_turns(path: Path, job: str) -> None:
    """Every job with the role that writes is in one group, where nobody is cancelled or
    dropped, and nobody else is in it.

    A job that waits for its reviewers holds its group, so the reviewers' environment is
    in a job that can do nothing.
    """
    spec = jobs(path)[job]
    writes = role_of(path, job) == "tokens-apply"
    commands = {
        step.argv[0] for step in steps(path) if step.job == job and step.is_ours and step.argv
    }
    assert writes == bool(
        commands & {"apply", "rotate", "rollback", "bootstrap", "adopt", "verify"}
    )
    group = spec.get("concurrency")
    assert (group is not None) == writes
    if group is not None:
        assert group["group"].startswith(WRITERS)
        assert {**group, "group": WRITERS} == {
            "group": WRITERS,
            "cancel-in-progress": False,
            "queue": "max",
        }
    assert (spec.get("environment") == "tokens-apply") == writes
    assert (spec.get("environment") == "tokens-plan") == (role_of(path, job) == "tokens-plan")
    if spec.get("environment") == "tokens-apply-review":
        assert (spec["permissions"], spec.get("env"), job) == ({}, None, "approve")


def test_groups_of_workflows() -> None:
    """A pull request's newer push ends the older run; whatever may write is never ended
    by another run.
    """
    for path in WORKFLOWS:
        if set(load(path)["on"]) == {"workflow_call"}:
            assert "concurrency" not in load(path), "its callers have groups"
            continue
        cancels = load(path)["concurrency"]["cancel-in-progress"]
        if may_write(path):
            assert cancels in (False, "${{ github.event_name == 'pull_request' }}"), path
    plan = load(GITHUB / "workflows" / "tokens-plan.yml")["concurrency"]
    assert plan["cancel-in-progress"] is True
    assert "github.event.pull_request.number" in plan["group"]


def test_callers_grant_what_is_needed() -> None:
    """A called workflow gets exactly the permissions that its jobs ask for: with less
    GitHub would not start it at all.
    """
    found = set()
    for path, job in job_ids(WORKFLOWS):
        spec = jobs(path)[job]
        called = OWN_WORKFLOW.fullmatch(spec.get("uses", ""))
        if called is None:
            continue
        found.add(called[1])
        asked: dict[str, str] = {}
        for one in jobs(GITHUB / "workflows" / called[1]).values():
            for name, level in one["permissions"].items():
                asked[name] = max(level, asked.get(name, ""))  # "write" comes after "read"
        assert spec["permissions"] == asked, job
        inputs = load(GITHUB / "workflows" / called[1])["on"]["workflow_call"]["inputs"]
        needed = {name for name, about in inputs.items() if about.get("required")}
        assert needed <= spec.get("with", {}).keys() <= inputs.keys()
    assert found == {path.name for path in OUR_WORKFLOWS if path.name.startswith("tokens-")}


def test_jobs_reach_vault_alike() -> None:
    """All jobs that reach Vault have the same variables, and the audience is Vault's
    address.
    """
    seen = [env_of(path, job) for path, job in job_ids(OUR_WORKFLOWS) if role_of(path, job)]
    assert len({frozenset(env) for env in seen}) == 1
    assert all(env["RECONCILER_VAULT_AUDIENCE"] == env["VAULT_ADDR"] for env in seen)


@pytest.mark.parametrize(
    ("validate", "plan", "passes"),
    [
        ("success", "success", True),
        ("success", "skipped", True),
        ("success", "failure", False),
        ("success", "cancelled", False),
        ("failure", "skipped", False),
        ("cancelled", "skipped", False),
        ("skipped", "skipped", False),
    ],
)
# a column of the table
def test_gate(validate: str, plan: str, passes: bool) -> None:  # noqa: FBT001
    """The required check ends whatever happened, and passes only when the manifest was
    validated and no plan failed.
    """
    gate = jobs(GITHUB / "workflows" / "tokens-plan.yml")["gate"]
    assert (gate["if"], gate["needs"]) == ("always()", ["validate", "plan"])
    (step,) = gate["steps"]
    assert step["env"] == {
        "VALIDATE": "${{ needs.validate.result }}",
        "PLAN": "${{ needs.plan.result }}",
    }
    argv = ["bash", "-e", "-c", step["run"]]
    done = performed(argv, environ={"VALIDATE": validate, "PLAN": plan})
    assert (done.returncode == 0) is passes


# Vault's side.


def vault_roles(kind: str) -> dict[Path, dict[str, Any]]:
    """Return the example roles for one kind of identity."""
    return {
        path: json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(VAULT_EXAMPLES.glob(f"roles/{kind}-*.json"))
    }


@pytest.mark.parametrize(
    ("kind", "who"),
    [
        ("github", {"repository_id", "repository_owner_id"}),
        ("gitlab", {"project_id", "namespace_id"}),
    ],
)
def test_vault_roles_are_bound(kind: str, who: set[str]) -> None:
    """Roles are bound to numbers that nobody can take over, and to an environment, but
    never to the subject.
    """
    roles = vault_roles(kind)
    assert len(roles) > 1
    for path, role in roles.items():
        claims = role["bound_claims"]
        assert who | {"environment"} <= claims.keys(), path.name
        assert role["bound_audiences"], path.name
    for path in VAULT_EXAMPLES.rglob("*"):
        if path.is_file() and path.suffix != ".md":
            assert not re.search(r"bound_subject|\"sub\"", path.read_text(encoding="utf-8")), (
                path.name
            )


def installed_roles() -> dict[tuple[str, str], dict[str, Any]]:
    """Return each role that the page for Vault installs, by its mount and name."""
    text = (VAULT_EXAMPLES / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"auth/([a-z-]+)/role/([a-z-]+) @(\S+)", text)
    return {
        (mount, name): json.loads((VAULT_EXAMPLES / file).read_text(encoding="utf-8"))
        for mount, name, file in found
    }


def test_vault_admits_our_jobs() -> None:
    """The example roles let in every job of the workflows: by the role's name, the
    environment and what started it.
    """
    roles = installed_roles()
    for path, job in job_ids(OUR_WORKFLOWS):
        name = role_of(path, job)
        if name is None:
            continue
        claims = next(
            role["bound_claims"]
            for (mount, one), role in roles.items()
            if one == name and "github" in mount
        )
        assert jobs(path)[job]["environment"] in _listed(claims["environment"])
        triggers = triggers_of(path)
        assert triggers
        assert triggers <= set(_listed(claims.get("event_name", list(triggers))))


def _listed(claim: str | list[str]) -> list[str]:
    return [claim] if isinstance(claim, str) else claim


def test_vault_admits_gitlab_and_the_cluster() -> None:
    """The roles that GitLab's jobs and the CronJob ask for are installed where they
    look, for their environment or account.
    """
    roles = installed_roles()
    for name, job in gitlab_jobs().items():
        variables = job.get("variables", {})
        if "RECONCILER_VAULT_ROLE" in variables:
            role = roles[
                variables["RECONCILER_VAULT_AUTH_MOUNT"], variables["RECONCILER_VAULT_ROLE"]
            ]
            assert job["environment"]["name"] in _listed(role["bound_claims"]["environment"]), name
    account, cron = yaml.safe_load_all(CRONJOB.read_text(encoding="utf-8"))
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    variables = {one["name"]: one["value"] for one in pod["containers"][0]["env"]}
    role = roles[variables["RECONCILER_VAULT_AUTH"], variables["RECONCILER_VAULT_ROLE"]]
    (token,) = (
        one["projected"]["sources"][0]["serviceAccountToken"]
        for one in pod["volumes"]
        if "projected" in one
    )
    assert account["metadata"]["name"] == pod["serviceAccountName"]
    assert pod["serviceAccountName"] in role["bound_service_account_names"]
    assert account["metadata"]["namespace"] in role["bound_service_account_namespaces"]
    assert token["audience"] == role["audience"]


# GitLab and Kubernetes.


def test_gitlab_jobs() -> None:
    """In GitLab too, identities are for environments and never for merge requests,
    writers are in one group, and artifacts are not public.
    """
    found = gitlab_jobs()
    for name, job in found.items():
        conditions = [rule["if"] for rule in job["rules"]]
        reaches = "id_tokens" in job
        writes = any("reconciler apply" in line for line in job["script"])
        assert reaches == ("environment" in job), name
        assert not reaches or not any("merge_request" in one for one in conditions), name
        assert not reaches or all(
            "schedule" in one or "CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH" in one
            for one in conditions
        ), name
        group = "tokens-write-$RECONCILER_VAULT_PREFIX"
        assert job.get("resource_group") == (group if writes else None), name
        assert writes == (job.get("environment", {}).get("name") == "tokens-apply"), name
        kept = job.get("artifacts", {})
        assert (
            not {"paths", "terraform"} & {*kept, *kept.get("reports", {})}
            or kept["access"] == "developer"
        ), name
    reports = {key for job in found.values() for key in job.get("artifacts", {}).get("reports", {})}
    assert reports == {"codequality", "terraform"}


def test_waits_fit_their_jobs() -> None:
    """A run that waits for another one's lease is not ended by its own job before."""
    waits = re.compile(r"--wait=(\d+)")
    text = CRONJOB.read_text(encoding="utf-8")
    _, cron = yaml.safe_load_all(text)
    deadline_s = cron["spec"]["jobTemplate"]["spec"]["activeDeadlineSeconds"]
    assert [int(found) for found in waits.findall(text)] == [300, 300]
    assert deadline_s >= 2 * 300
    for name, job in gitlab_jobs().items():
        waited = [int(found) for line in job["script"] for found in waits.findall(line)]
        assert not waited or (max(waited), job["timeout"]) == (900, "1 hour"), name
        assert sum(waited) * 2 <= 3600, name
    seen = 0
    for path, job_id in job_ids(WORKFLOWS):
        spec = jobs(path)[job_id]
        waited = [int(found) for found in waits.findall("\n".join(texts(spec)))]
        assert sum(waited) * 2 <= spec.get("timeout-minutes", 0) * 60, f"{path.name}: {job_id}"
        seen += len(waited)
    assert seen == len(["apply", "cleanup", "rotate", "by-action"]), "each was looked at"


@pytest.mark.parametrize("path", [CRONJOB, INDEXED_JOB], ids=named)
def test_cronjob_is_confined(path: Path) -> None:
    """A CronJob never overlaps or repeats itself, and its container has no right that
    it does not need.
    """
    *_, cron = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    job = cron["spec"]["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    repeats = job["backoffLimit" if path == CRONJOB else "backoffLimitPerIndex"]
    assert (cron["spec"]["concurrencyPolicy"], repeats, pod["restartPolicy"]) == (
        "Forbid",
        0,
        "Never",
    )
    assert cron["spec"]["startingDeadlineSeconds"] > 0
    assert job["activeDeadlineSeconds"] > 0
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert re.fullmatch(r"\S+@sha256:[0-9a-f]{64}", container["image"])
    sources = re.findall(
        r"^COPY (\S+)", (CRONJOB.parent / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert all((ROOT / source).exists() for source in sources)


# The files and the program.


def invocations() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield every call of the program in the files: its place and its arguments, with a
    word instead of each expression or variable.
    """
    for step in steps_of_all():
        if step.is_ours and step.argv:
            for only in ("config", "rotation") if "inputs.only" in str(step.spec) else ("",):
                argv = (re.sub(r"\$\{\{ inputs\.only \}\}", only, one) for one in step.argv)
                yield str(step), tuple(EXPRESSION.sub("word", one) for one in argv)
    for place, script in scripts_of_all().items():
        if place.startswith(str(ACTION.relative_to(ROOT))):
            continue  # it passes on what it is given
        for line in script.splitlines():
            for call in re.findall(r"(?:^|-m )reconciler ([^|&;>]+)", line.strip()):
                yield place, tuple(re.sub(r"\$\{?\w+\}?", "word", one) for one in shlex.split(call))
    for path in (CRONJOB, INDEXED_JOB):
        *_, cron = yaml.safe_load_all(path.read_text(encoding="utf-8"))
        (container,) = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
        yield path.name, tuple(container["args"])
    for hook in load(ROOT / ".pre-commit-hooks.yaml"):
        yield ".pre-commit-hooks.yaml", tuple(hook["entry"].split()[1:])


@pytest.mark.parametrize(("place", "argv"), tuple(invocations()))
def test_the_program_takes_every_call(place: str, argv: tuple[str, ...]) -> None:
    """The program knows each command, option and choice that a file gives it."""
    command: click.Command = cli.cli
    arguments = list(argv)
    while isinstance(command, click.Group):
        assert arguments[0] in command.commands, place
        command = command.commands[arguments.pop(0)]
    try:
        command.make_context("reconciler", arguments)
    except click.UsageError as error:
        pytest.fail(f"{place}: reconciler {shlex.join(argv)}: {error.format_message()}")


@pytest.mark.parametrize("step", [step for step in steps_of_all() if "uses" in step.spec], ids=str)
def test_inputs_exist(step: Step) -> None:
    """Whatever a step gives to our action is an input of it, and the command is one of
    the program's.
    """
    if step.is_ours:
        assert step.inputs.keys() <= load(ACTION)["inputs"].keys()
        assert step.argv[0] in cli.cli.commands
    else:
        assert not OWN_ACTION.match(step.uses)


@each_job
def test_references(path: Path, job: str) -> None:
    """Every expression speaks of something that is there: needed jobs, earlier steps,
    their outputs, variables, inputs.

    GitHub reads what is not there as empty, and says nothing.
    """
    document, spec = load(path), jobs(path)[job]
    own = {name: entry for name, entry in spec.items() if name not in {"steps", "outputs"}}
    outputs = load(ACTION)["outputs"].keys()
    triggers = document["on"]
    inputs = ((triggers.get("workflow_call") or {}) if isinstance(triggers, dict) else {}).get(
        "inputs", {}
    )
    for text in _conditions_and_expressions({**own, "steps": spec.get("steps", [])}):
        for needed, what, output in re.findall(
            r"\bneeds\.([\w-]+)\.(result|outputs)(?:\.([\w-]+))?", text
        ):
            assert needed in _needs(spec), text
            assert what == "result" or output in jobs(path)[needed]["outputs"], text
        assert (
            set(re.findall(r"\benv\.(\w+)", text))
            <= document.get("env", {}).keys() | spec.get("env", {}).keys()
        ), text
        assert set(re.findall(r"\binputs\.([\w-]+)", text)) <= set(inputs), text
    known: dict[str, Step] = {}
    for step in (one for one in steps(path) if one.job == job):
        for text in _conditions_and_expressions(step.spec):
            assert set(re.findall(r"\bsteps\.([\w-]+)", text)) <= known.keys(), f"{step}: {text}"
        known |= {str(step.spec["id"]): step} if "id" in step.spec else {}
    for text in _conditions_and_expressions(spec.get("outputs", {})):
        for step_id, output in re.findall(r"\bsteps\.([\w-]+)\.outputs\.([\w-]+)", text):
            assert (
                output in outputs
                if known[step_id].is_ours
                else f"{output}=" in known[step_id].spec["run"]
            ), text


def _conditions_and_expressions(spec: Any) -> Iterator[str]:
    for text in texts(spec):
        yield from expressions(text)
    for one in [spec, *spec.get("steps", [])]:
        if "if" in one:
            yield str(one["if"])


@each_workflow
def test_conditions(path: Path) -> None:
    """A condition is one expression: text around ``${{ }}`` would make it a string,
    which is always true.
    """
    for spec in [*jobs(path).values(), *(step.spec for step in steps(path))]:
        condition = str(spec.get("if", "")).strip()
        assert "${{" not in condition or re.fullmatch(
            r"\$\{\{(?:(?!\$\{\{).)*\}\}", condition, re.DOTALL
        ), condition


def test_the_action_gives_the_arguments_as_they_are(tmp_path: Path) -> None:
    """Each line reaches the program as one argument, whatever is in it: nothing is
    expanded, split or run.
    """
    program = tmp_path / "reconciler" / "bin" / "reconciler"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$#" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    lines = [
        *("--out=a b", "$(touch escaped)", "`touch escaped`", "*", "'\"; touch escaped #"),
        *("--x=$HOME", "  leading", "\\n", "--", "ü"),
    ]
    environ = {
        "PATH": os.environ["PATH"],
        "RUNNER_TEMP": str(tmp_path),
        "COMMAND": "github snapshot",
        "ARGUMENTS": "\n".join([*lines, "", ""]),
    }
    done = act("run", tmp_path, environ)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [str(len(lines) + 2), "github", "snapshot", *lines]
    assert not (tmp_path / "escaped").exists()


# The files and the pages.


def test_the_page_of_the_action() -> None:
    """The page's tables are the action's inputs and outputs, word for word, and each
    output is one of the step that runs the program.
    """
    action, page = load(ACTION), ACTION_PAGE.read_text(encoding="utf-8")
    told = {
        name.strip("`"): (default.strip("`"), text) for name, default, text in table(page, "input")
    }
    assert told == {
        name: (str(one.get("default", "")), one["description"])
        for name, one in action["inputs"].items()
    }
    told_outputs = {name.strip("`"): text for name, text in table(page, "output")}
    assert told_outputs == {name: one["description"] for name, one in action["outputs"].items()}
    assert all(
        one["value"] == f"${{{{ steps.run.outputs.{name} }}}}"
        for name, one in action["outputs"].items()
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_snippets_are_of_the_files(page: Path) -> None:
    """Where a page shows lines of a workflow, a file has these very lines, one after
    the other.
    """
    shown = re.findall(
        r"^```ya?ml\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    files = [
        _unindented(path.read_text(encoding="utf-8")) for path in (*WORKFLOWS, GITLAB, CRONJOB)
    ]
    for snippet in shown:
        if re.search(r"\b(?:uses|run|script): ", snippet):
            assert any(_unindented(snippet) in text for text in files), (
                f"{page.name}:\n{textwrap.dedent(snippet)}"
            )


def _unindented(text: str) -> str:
    return "\n" + "".join(f"{line.strip()}\n" for line in text.splitlines())


def test_variables_are_explained() -> None:
    """Every variable of the repository that a workflow reads is in the page on
    settings, and that page names no other.
    """
    page = (GITHUB / "examples" / "github" / "README.md").read_text(encoding="utf-8")
    told = {name for first, _ in table(page, "variable") for name in re.findall(r"`(\w+)`", first)}
    read = {
        name
        for path in WORKFLOWS
        for text in texts(load(path))
        for name in re.findall(r"\bvars\.(\w+)", text)
    }
    assert told == read
    environments = {name.strip("`") for name, *_ in table(page, "environment")}
    used = {jobs(path)[job].get("environment") for path, job in job_ids(WORKFLOWS)} - {None}
    assert environments == used - {"release"}
    assert "the environment `release`" in (ROOT / "docs" / "releasing.md").read_text("utf-8")


def test_every_named_test_exists() -> None:
    """The table beside this file has all 25 rules, and names tests that are there."""
    page = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\d+) \|", page, re.MULTILINE) == [
        str(number) for number in range(1, 26)
    ]
    short = {"files": "delivery/test_files.py", "checks": "delivery/test_checks.py"}
    named = re.findall(r"`([\w/.]+)::(test_\w+)`", page)
    assert len(named) > len(short) * 10
    for file, name in named:
        text = (ROOT / "tests" / short.get(file, file)).read_text(encoding="utf-8")
        assert re.search(rf"^def {name}\(", text, re.MULTILINE), f"{file}::{name}"


# The manifest is data from a pull request.

HEAD = {
    "version": 1,
    "manager": "m",
    "vault": {"mount": "secret", "prefix": "tokens"},
    "tokens": [{"label": "m"}],
}


@pytest.mark.parametrize(
    "mistake",
    [
        {"vault": {**HEAD["vault"], key: "x"}}  # type: ignore[dict-item]  # a mapping, as the line above shows
        for key in (
            "address",
            "addr",
            "url",
            "role",
            "auth",
            "auth_mount",
            "namespace",
            "token",
            "ca_cert",
            "skip_verify",
        )
    ]
    + [
        {key: "x"}
        for key in (
            "vault_addr",
            "api_url",
            "identity_command",
            "exec",
            "plugins",
            "include",
            "environment",
            "proxy",
        )
    ]
    + [
        {"tokens": [{"label": "m", "path": path}]}
        for path in (
            "../other",
            "/etc",
            "a/../../b",
            "a//b",
            "_ledger",
            ".hidden",
            "a/./b",
            "https://x",
        )
    ]
    + [
        {"tokens": [{"label": "m", key: "x"}]}
        for key in ("command", "exec", "address", "role", "mount", "secret")
    ]
    + [
        {"vault": {"mount": "secret", "prefix": prefix}}
        for prefix in ("../tokens", "/tokens", "tokens/../..")
    ],
    ids=json.dumps,
)
def test_a_manifest_can_choose_nobody(tmp_path: Path, mistake: dict[str, object]) -> None:
    """A manifest that names a helper, an address, a role, a CA or a place outside its
    prefix is refused.
    """
    file = tmp_path / "tokens.yaml"
    file.write_text(json.dumps(HEAD), encoding="utf-8")
    assert load_manifest([file]).manifest.prefix == "tokens"
    file.write_text(json.dumps({**HEAD, **mistake}), encoding="utf-8")
    with pytest.raises(ManifestError):
        load_manifest([file])


def test_a_pinned_prefix_holds(tmp_path: Path) -> None:
    """Whoever runs the pipeline pins mount and prefix, and a manifest with others is
    refused.
    """
    file = tmp_path / "tokens.yaml"
    file.write_text(json.dumps(HEAD), encoding="utf-8")
    assert load_manifest([file], pins=Pins(vault_prefix="secret/tokens"))
    with pytest.raises(ManifestError):
        load_manifest([file], pins=Pins(vault_prefix="secret/others"))


def test_the_schema_has_no_place_for_more() -> None:
    """Every key of the manifest is known here, and every object in the schema is
    closed. Further names are free, and carry values of the secret only.
    """
    schema = load_schema("tokens")
    objects = [schema, *schema["properties"].values(), *schema["$defs"].values()]
    shapes = [one for one in objects if "properties" in one]
    assert all(one["additionalProperties"] is False for one in shapes)
    assert {key for one in shapes for key in one["properties"]} == {
        *("version", "profile_id", "manager", "vault", "defaults", "tokens"),
        *("mount", "prefix", "rotate_after", "rotate_before", "overlap", "window"),
        *("hold_until", "hold_reason", "owner", "reserve", "reserve_age"),
        *("label", "was", "description", "scopes", "path", "protect", "fields"),
    }
    (names,) = (one for one in objects if "propertyNames" in one)
    assert set(names["additionalProperties"]["enum"]) == OUR_FIELDS
