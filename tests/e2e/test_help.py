"""Help, and README, which must say what the program says: commands, exit codes, flags,
variables, keys of the manifest.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from reconciler import __version__
from reconciler.cli import commands as cli
from reconciler.cli import entry
from reconciler.errors import Exit
from reconciler.plan.planner import MAX_MISSING, MAX_REVOCATIONS, MAX_ROTATIONS
from reconciler.schema_files import load_schema
from tests.support.fleet import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
VARIABLE = re.compile(r"\b(?:LIMITLESS|VAULT|RECONCILER)_[A-Z_]+\b|\bNO_COLOR\b|\bFORCE_COLOR\b")


def commands_of(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    """The commands by how they are called, those of groups within it by both words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from ((f"{name} {below}", inner) for below, inner in commands_of(command))
        else:
            yield name, command


COMMANDS = dict(sorted(commands_of(cli.cli)))


def rows(heading: str) -> list[list[str]]:
    """The rows of README's table with this first column's heading."""
    table = README[README.index(f"\n| {heading} |") :].lstrip("\n").split("\n\n")[0]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in table.splitlines()[2:]
    ]


def quoted(text: str) -> list[str]:
    """What stands between backticks."""
    return re.findall(r"`([^`]+)`", text)


def options_of(command: click.Command) -> dict[str, click.Option]:
    """A command's options by each of their names."""
    return {
        name: param
        for param in command.params
        if isinstance(param, click.Option)
        for name in param.opts
    }


EVERY_OPTION = {name for command in COMMANDS.values() for name in options_of(command)} | {
    "--help",
    "--version",
}


def shown(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a help prints, exit code 0."""
    assert entry.run(arguments) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("columns", ["20", "40", "80", "200"])
def test_help_of_every_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    """Every command tells what it is for and explains each of its options, also on a
    narrow terminal, for -h and --help.
    """
    monkeypatch.setenv("COLUMNS", columns)
    for name, command in COMMANDS.items():
        text = shown([*name.split(), "--help"], capsys)
        assert text == shown([*name.split(), "-h"], capsys)
        assert text.startswith(f"Usage: reconciler {name}")
        assert all(option in text for option in options_of(command)), name
        assert command.help
        unexplained = [option for option, param in options_of(command).items() if not param.help]
        assert unexplained == [], name
    group = shown(["--help"], capsys)
    assert all(name.split()[0] in group for name in COMMANDS)


def test_help_needs_nothing_at_all() -> None:
    """No environment, no manifest, no terminal, an empty folder: help and version all
    the same, and neither is slow.
    """
    environ = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    for arguments in (["--help"], ["apply", "--help"], ["--version"]):
        argv = [sys.executable, "-m", "reconciler", *arguments]
        done = subprocess.run(
            argv, env=environ, cwd=os.sep, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), arguments
    assert done.stdout == f"reconciler {__version__}\n"


def test_help_loads_nothing_slow() -> None:
    """The command line's own module imports click and nothing of what a command needs
    (its first rule).
    """
    script = "import sys, reconciler.cli; print(sorted(sys.modules.keys() & {'httpx', 'hvac', 'yaml', 'jsonschema', 'rich'}))"
    environ = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_readme_names_every_command() -> None:
    """The table of commands is the program's list, and every option in it exists for
    that command.
    """
    told: dict[str, set[str]] = {}
    for first, second in rows("command"):
        for invocation in quoted(first):
            words = invocation.split()
            name = next(name for name in (" ".join(words[:2]), words[0]) if name in COMMANDS)
            told.setdefault(name, set()).update(re.findall(r"--[a-z-]+", f"{invocation} {second}"))
    assert sorted(told) == list(COMMANDS)
    for name, options in told.items():
        assert options <= options_of(COMMANDS[name]).keys() | (
            {"--observed"} if name == "observe" else set()
        ), name


def test_readme_names_every_exit_code() -> None:
    """README's table, and the line below --help, have exactly the program's codes."""
    assert [int(first) for first, _ in rows("exit")] == [int(code) for code in Exit]
    assert [int(code) for code in re.findall(r"(?:: |; |;\n)(\d+) ", cli.EXIT_CODES)] == [
        int(code) for code in Exit
    ]


def test_flags_in_readme_exist() -> None:
    """No flag in README is the program's that is not; those of other programs are told
    apart by their command.
    """
    own = "\n".join(
        line for line in README.splitlines() if "pip install" not in line and "vault kv" not in line
    )
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", own)) <= EVERY_OPTION


def test_guards_in_readme() -> None:
    """Each guard's flag is named, with the default that the program has, and plan and
    apply both know it.
    """
    text = README[README.index("Each guard has a flag") :].split("\n\n")[0]
    defaults = {name: int(number) for name, number in re.findall(r"`(--[a-z-]+)` \((\d+)\)", text)}
    assert defaults == {
        "--max-revocations": MAX_REVOCATIONS,
        "--max-rotations": MAX_ROTATIONS,
        "--max-missing": MAX_MISSING,
    }
    flags = {word.split()[0] for word in quoted(text)}
    for name in ("plan", "apply"):
        options = options_of(COMMANDS[name])
        assert flags <= options.keys()
        assert all(
            f"(default {number})" in str(options[flag].help) for flag, number in defaults.items()
        )
    others = {
        "--target",
        "--exclude",
        "--only",
        "--out",
        "--format",
        "--detailed-exitcode",
        "--observed",
    }
    others |= {"--base", "--comment", "--issue", "--reviewed"}
    assert options_of(COMMANDS["plan"]).keys() - others == flags, (
        "a guard that README does not name"
    )


def test_variables_in_readme() -> None:
    """Every variable that the program reads is in README, and README names none that it
    does not read.
    """
    read: set[str] = set()
    for path in sorted((ROOT / "reconciler").rglob("*.py")):
        if "sandbox" in path.parts or path.name in {"demo.py", "devserver.py"}:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, str)
                and VARIABLE.fullmatch(node.value)
            ):
                read.add(node.value)
    told = set(VARIABLE.findall(README[README.index("| variable |") :].split("\n\n")[0]))
    assert told == read


def test_manifest_keys_in_readme() -> None:
    """The table of the manifest's keys is the schema's."""
    schema = load_schema("tokens")
    token = (
        schema["$defs"]["token"]["properties"]
        if "$defs" in schema and "token" in schema["$defs"]
        else None
    )
    token = token or schema["properties"]["tokens"]["items"]["properties"]
    keys = {key for key in schema["properties"] if key not in {"vault", "defaults", "tokens"}}
    keys |= {f"vault.{key}" for key in ("mount", "prefix")}
    keys |= {f"defaults.{key}" for key in ("rotate_after", "overlap")}
    keys |= {f"tokens[].{key}" for key in token}
    assert {key for first, _ in rows("key") for key in quoted(first)} == keys
