"""Help: every command explains itself, at once and without needing anything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from reconciler import __version__
from reconciler.cli import entry
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
