"""The process files and the packages pass the checkers of those who own their formats,
offline.

Some checkers pass over what they can't read and report success, so each is shown a file
with a mistake as well.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from reconciler import __version__
from tests.delivery.conftest import Tool
from tests.delivery.files import (
    ACTION,
    CRONJOB,
    EXAMPLE_WORKFLOWS,
    GITHUB,
    GITLAB,
    INDEXED_JOB,
    ROOT,
    SEVERAL_GITLAB,
    WORKFLOWS,
    act,
    performed,
    scripts_of_all,
    steps,
)
from tests.delivery.played.hosting import git

ZIZMOR = (
    *("--offline", "--strict-collection", "--no-config", "--no-progress"),
    *("--persona", "pedantic"),
)
ISSUES = GITHUB / "ISSUE_TEMPLATE"
SCHEMAS = {
    "vendor.github-workflows": WORKFLOWS,
    "custom.github-workflows-require-timeout": tuple(
        path for path in WORKFLOWS if path.name != "by-reusable-workflow.yml"
    ),
    "vendor.github-actions": (ACTION,),
    "vendor.dependabot": (GITHUB / "dependabot.yml",),
    "vendor.github-issue-forms": (ISSUES / "bug.yml", ISSUES / "idea.yml"),
    "vendor.github-issue-config": (ISSUES / "config.yml",),
    "vendor.gitlab-ci": (GITLAB, SEVERAL_GITLAB),
}
ASK_SCHEMAS = """
import json, sys
from check_jsonschema.cli import main
from click.testing import CliRunner
done = [CliRunner().invoke(main, argv) for argv in json.loads(sys.argv[1])]
print(json.dumps([(one.exit_code, one.output) for one in done]))
"""
BY_COMMAND_LINE = GITHUB / "examples" / "github" / "by-command-line.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
SOURCES = (
    *("reconciler", "schemas", "pyproject.toml", "README.md", "LICENSE", "tokens.yaml"),
    ".pre-commit-hooks.yaml",
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the tree's sources, with no trace of this checkout."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built by the locked build backend."""
    folder = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory"]
    done = performed([*argv, folder], sources)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


def wrong(folder: Path, original: Path, right: str, mistake: str) -> Path:
    """Return a copy of a file with a mistake in it."""
    text = original.read_text(encoding="utf-8")
    assert right in text
    copy = folder / original.name
    copy.write_text(text.replace(right, mistake), encoding="utf-8")
    return copy


def test_zizmor_finds_nothing(tool: Tool) -> None:
    """At its most pedantic, zizmor reads every workflow, action, dependabot.yml and
    example, and finds nothing.
    """
    done = tool("zizmor", *ZIZMOR, GITHUB, *EXAMPLE_WORKFLOWS)
    assert done.returncode == 0, done.stdout + done.stderr
    for path in (*WORKFLOWS, ACTION, GITHUB / "dependabot.yml"):
        assert f"completed {path}" in done.stderr


@pytest.mark.parametrize(
    ("right", "mistake", "code"),
    [
        ("$/.github/", "./.github/", 12),
        (" # to download the newest snapshot", "", 12),
        ("jobs:", "nonsense:", 1),
    ],
    ids=["not by commit", "unexplained permission", "unreadable"],
)
def test_zizmor_would_find(tool: Tool, tmp_path: Path, right: str, mistake: str, code: int) -> None:
    """The same call fails for a workflow with a mistake (11 to 14: how grave), and for
    one that it can't read (1).
    """
    mistaken = wrong(tmp_path, GITHUB / "workflows" / "tokens-plan.yml", right, mistake)
    assert tool("zizmor", *ZIZMOR, mistaken).returncode == code


def test_schemas(tool: Tool, tmp_path: Path) -> None:
    """Each file has the shape that its reader asks for, and a job without a timeout
    would be found.

    Jobs that call a workflow can have no timeout; the called ones do. All schemas are
    asked in one process.
    """
    untimed = wrong(tmp_path, GITHUB / "workflows" / "ci.yml", "    timeout-minutes: 30\n", "")
    calls = [["--builtin-schema", schema, *map(str, paths)] for schema, paths in SCHEMAS.items()]
    calls.append(["--builtin-schema", "custom.github-workflows-require-timeout", str(untimed)])
    done = tool("python", "-I", "-c", ASK_SCHEMAS, json.dumps(calls))
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [(code, told) for code, told in answers[:-1] if code != 0] == []
    assert len(answers) == len(calls)
    assert answers[-1][0] == 1


@pytest.mark.parametrize("path", [CRONJOB, INDEXED_JOB], ids=lambda path: path.name)
def test_cronjob(tool: Tool, tmp_path: Path, path: Path) -> None:
    """Kubernetes takes the CronJobs and refuses one without its template."""
    mistaken = wrong(tmp_path, path, "jobTemplate:", "template:")
    done = tool("kubernetes-validate", "--strict", path, mistaken)
    told = [
        line.split(" ", 2)
        for line in (done.stdout + done.stderr).splitlines()
        if "cronjob/tokens-drift" in line
    ]
    assert [(level, file) for level, file, _ in told] == [
        ("INFO", str(path)),
        ("ERROR", str(mistaken)),
    ]


def test_shell_scripts(tool: Tool, tmp_path: Path) -> None:
    """The scripts in the files pass shellcheck, and one that forgets its quotes does
    not.
    """
    findings = {path.name: path.read_text("utf-8") for path in (ROOT / "findings").glob("*.sh")}
    scripts = {**scripts_of_all(), **findings, "wrong": "rm $1"}
    files = {tmp_path / f"{number}.bash": place for number, place in enumerate(scripts)}
    for file, place in files.items():
        file.write_text(f"#!/bin/bash\n{scripts[place]}\n", encoding="utf-8")
    done = tool("shellcheck", "--format", "json", *files)
    assert [(files[Path(found["file"])], found["code"]) for found in json.loads(done.stdout)] == [
        ("wrong", 2086)
    ], done.stdout
    assert len(files) > len(WORKFLOWS)


def test_pre_commit_hook(tool: Tool, sources: Path, tmp_path: Path) -> None:
    """pre-commit takes the hook from the tree, installs our package and validates the
    manifest with it.

    The hook's environment finds its packages here and not at the registry: what is
    proven is the hook and our package.
    """
    assert tool("pre-commit", "validate-manifest", HOOKS).returncode == 0
    tree = Path(shutil.copytree(sources, tmp_path / "tree"))
    for command in ("init --quiet", "add --all", "commit --quiet --message all"):
        git(tree, *command.split())
    environ = {
        "PRE_COMMIT_HOME": str(tmp_path / "home"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "PYTHONPATH": sysconfig.get_path("purelib"),
        "PIP_NO_DEPS": "1",
        "PIP_NO_INDEX": "1",
        # pip reads switches that begin with "no" the other way round
        "PIP_NO_BUILD_ISOLATION": "0",
    }
    argv = ("try-repo", tree, "tokens-validate", "--all-files", "--verbose")
    done = tool("pre-commit", *argv, cwd=tree, environ=environ)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tokens.yaml: 8 tokens, valid" in done.stdout


def test_wheel(tool: Tool, wheel: Path) -> None:
    """The wheel holds every module and schema, nothing beside them, and a description
    that PyPI would render.
    """
    assert wheel.name == f"reconciler-{__version__}-py3-none-any.whl"
    done = tool("twine", "check", "--strict", wheel)
    assert done.returncode == 0, done.stdout
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"reconciler/schemas/{path.name}" for path in (ROOT / "schemas").iterdir()} <= names
    assert {name.split("/")[0] for name in names} == {
        "reconciler",
        f"reconciler-{__version__}.dist-info",
    }
    assert "reconciler/py.typed" in names
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "reconciler").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}


def locked(name: str) -> dict[str, str]:
    """Return what a file of requirements locks: versions by name, each with hashes."""
    text = (ROOT / name).read_text(encoding="utf-8")
    found = dict(
        re.findall(r"^([a-z0-9-]+)==([^ ]+) [^\n]*\\\n    --hash=sha256:", text, re.MULTILINE)
    )
    assert len(found) == len(re.findall(r"^[^ #]", text, re.MULTILINE))
    return found


def test_the_lock_of_the_build() -> None:
    """requirements-build.txt holds the build backend and all that it needs, and nothing
    else, at the versions that the wheel is built with here.

    So an installation from a checkout downloads nothing that is not locked by hash.
    """
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = [Requirement(one) for one in project["build-system"]["requires"]]
    needed: set[str] = set()
    while wanted:
        name = canonicalize_name(wanted.pop().name)
        if name not in needed:
            needed.add(name)
            found = [Requirement(one) for one in importlib.metadata.requires(name) or ()]
            wanted += [one for one in found if one.marker is None or one.marker.evaluate()]
    build = locked("requirements-build.txt")
    assert build.keys() >= needed
    every = {f"{name}=={version}" for name, version in locked("tests/requirements.txt").items()}
    assert {f"{name}=={version}" for name, version in build.items()} <= every
    assert {name: importlib.metadata.version(name) for name in needed} == {
        name: build[name] for name in needed
    }


def test_bill_of_materials(tool: Tool) -> None:
    """A CycloneDX bill of materials can be made of what users install: each locked
    dependency with its version and hashes.
    """
    project = ("--pyproject", ROOT / "pyproject.toml", "--validate")
    done = tool("cyclonedx-py", "requirements", ROOT / "requirements.txt", *project)
    assert done.returncode == 0, done.stderr
    bill = json.loads(done.stdout)
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "reconciler")
    locked = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    listed = {f"{part['name']}=={part['version']}" for part in bill["components"]}
    assert listed == set(re.findall(r"^[a-z0-9-]+==[^ ]+", locked, re.MULTILINE | re.IGNORECASE))


def test_the_action_installs(sources: Path, tmp_path: Path) -> None:
    """The action puts on the PATH the program of its own commit, whatever lies in the
    workspace; its folders may hold a blank.

    A virtual environment, the locked dependencies from the registry, no build; and the
    second time nothing of that.
    """
    root = Path(shutil.copytree(sources, tmp_path / "the action"))
    shutil.copy(ROOT / "requirements.txt", root)
    workspace, home, added = tmp_path / "workspace", tmp_path / "a temp", tmp_path / "path"
    packages = ("reconciler/__init__.py", "pip/__init__.py", "venv/__init__.py")
    for name in (*packages, "yaml.py", "sitecustomize.py"):
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        mine = "raise SystemExit('the workspace was imported')\n"
        (workspace / name).write_text(mine, encoding="utf-8")
    shutil.copy(ROOT / "tokens.yaml", workspace)
    environ = {
        **os.environ,
        "RUNNER_TEMP": str(home),
        "GITHUB_PATH": str(added),
        "GITHUB_ACTION_PATH": str(root / ACTION.parent.relative_to(ROOT)),
        "PYTHON": sys.executable,
        "PYTHONPATH": str(workspace),
        "COMMAND": "validate",
        "ARGUMENTS": "tokens.yaml",
    }
    home.mkdir()
    Path(environ["GITHUB_ACTION_PATH"]).mkdir(parents=True)
    pythons = (("install", sys.executable), ("install", "/bin/false"), ("run", "/bin/false"))
    for name, python in pythons:
        done = act(name, workspace, {**environ, "PYTHON": python})
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "tokens.yaml: 8 tokens, valid\n"
    (folder,) = set(added.read_text(encoding="utf-8").splitlines())
    assert [path.name for path in Path(folder).iterdir()] == ["reconciler"]


def test_by_command_line_runs_nothing_of_the_workspace(sources: Path, tmp_path: Path) -> None:
    """The plain steps install the tool by hash before the manifest is there, without
    a download for the build; modules that lie beside the manifest are not looked at.
    """
    checkouts = [step for step in steps(BY_COMMAND_LINE) if step.uses]
    assert [step.inputs.get("repository") for step in checkouts] == ["acme/reconciler", None]
    scripts = [str(step.spec["run"]) for step in steps(BY_COMMAND_LINE) if not step.uses]
    assert [step.number for step in steps(BY_COMMAND_LINE) if step.uses] == [1, len(scripts) + 1]
    tool = Path(shutil.copytree(sources, tmp_path / "tool"))
    for name in ("requirements.txt", "requirements-build.txt"):
        shutil.copy(ROOT / name, tool)
    workspace, temp = tmp_path / "workspace", tmp_path / "a temp"
    for name in ("reconciler", "pip", "venv", "yaml", "sitecustomize", "click"):
        (workspace / name).mkdir(parents=True)
        mine = "raise SystemExit('the workspace was imported')\n"
        (workspace / name / "__init__.py").write_text(mine, encoding="utf-8")
    shutil.copy(ROOT / "tokens.yaml", workspace)
    temp.mkdir()
    environ = {**os.environ, "RUNNER_TEMP": str(temp)}
    path = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    for place, script in [*((tool, one) for one in scripts[:-1]), (workspace, scripts[-1])]:
        done = performed(["bash", "-e", "-c", script], place, {**environ, "PATH": path})
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "tokens.yaml: 8 tokens, valid"


def test_the_action_refuses_an_old_python(tmp_path: Path) -> None:
    """A Python that is too old, or none, is told in one sentence."""
    environ = {
        "PATH": os.environ["PATH"],
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_ACTION_PATH": str(ACTION.parent),
    }
    done = act("install", tmp_path, {**environ, "PYTHON": "false"})
    sentence = (
        "::error title=reconciler::false is no Python 3.11 or newer: name one in the input python\n"
    )
    assert (done.returncode, done.stdout) == (1, sentence)


@pytest.mark.parametrize(
    ("folder", "packages"),
    [("adapters/sdk_ts", 2), ("delivery/expressions", 1), ("delivery/pipelines", 3)],
)
def test_a_lock_of_npm_names_hashes_and_no_addresses(folder: str, packages: int) -> None:
    """Every package is locked by the hash of its content, and none by the place where
    it was found.
    """
    text = (ROOT / "tests" / folder / "package-lock.json").read_text(encoding="utf-8")
    locked = {name: fields for name, fields in json.loads(text)["packages"].items() if name}
    assert len(locked) >= packages
    hashes = (fields.get("integrity", "") for fields in locked.values())
    assert all(found.startswith("sha512-") for found in hashes)
    assert [name for name, fields in locked.items() if "resolved" in fields] == []
