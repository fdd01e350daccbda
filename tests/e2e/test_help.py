"""Help: every command explains itself, at once and without needing anything."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import click
import pytest

from reconciler import __version__
from reconciler.cli import commands as cli
from reconciler.cli import entry
from reconciler.cli.commands.explained import EXPLAINED
from reconciler.errors import Exit
from tests.support.pages import COMMANDS, ROOT, options_of


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


def test_help_names_the_environment_and_an_example(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command has an example that it takes; each variable stands in the page about
    the environment.
    """
    monkeypatch.setenv("COLUMNS", "100")
    page = (ROOT / "docs" / "install.md").read_text()
    for name, command in COMMANDS.items():
        variables, example = EXPLAINED[name]
        text = shown([*name.split(), "--help"], capsys)
        assert f"\nExample:\n  {example}\n" in text
        assert ("\nEnvironment:\n" in text) == bool(variables)
        names = [one for names, _ in variables for one in names.split(", ")]
        assert [one for one in names if one not in text or one not in page] == []
        words = shlex.split(example.partition(" < ")[0])
        assert words[: 1 + len(name.split())] == ["reconciler", *name.split()]
        command.make_context(name, words[1 + len(name.split()) :]).close()


@pytest.mark.parametrize("arguments", [[], ["identity"], ["github"]], ids=str)
def test_a_group_without_a_command_shows_its_help(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    """In lines, as --help does, on standard error; it is a usage error all the same."""
    assert entry.run(arguments) == Exit.USAGE
    out, err = capsys.readouterr()
    assert (out, err) == ("", shown([*arguments, "--help"], capsys))


@pytest.mark.parametrize("group", [cli.cli, cli.identity, cli.github], ids=lambda g: g.name)
def test_the_list_of_commands_cuts_no_summary(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, group: click.Group
) -> None:
    """Each is a whole sentence of at most 50 characters, so it fits at 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    summaries = {name: c.get_short_help_str(limit=1000) for name, c in group.commands.items()}
    assert {name: text for name, text in summaries.items() if len(text) > 50} == {}
    text = shown(["--help"] if group is cli.cli else [str(group.name), "--help"], capsys)
    assert all(f"  {summary}\n" in text for summary in summaries.values())


def test_a_range_is_told_where_it_has_two_ends(capsys: pytest.CaptureFixture[str]) -> None:
    """As numbers; nobody needs to be told that a count is no less than zero."""
    for name in COMMANDS:
        assert "x>=" not in shown([*name.split(), "--help"], capsys)
    assert "60 to 3600" in " ".join(shown(["identity", "push", "--help"], capsys).split())


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
    slow = {"httpx", "hvac", "yaml", "jsonschema", "rich"}
    script = f"import sys, reconciler.cli; print(sorted(sys.modules.keys() & {slow}))"
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
