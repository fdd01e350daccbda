"""Completion in real shells, by the lines of docs/install.md.

Where a shell is not here: by what its script would ask of the program.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.pages import DOCS

MANIFEST = """\
version: 1
manager: reconciler
vault: {mount: secret, prefix: limitless}
tokens: [{label: reconciler}, {label: bots/a}, {label: bots/b}, {label: web}]
"""
ASKS = {
    "bash": """
{line}
COMP_WORDS=(reconciler {words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_reconciler_completion reconciler
printf '%s\\n' "${{COMPREPLY[@]}}"
""",
    "zsh": """
compdef() {{ :; }}
_describe() {{ print -rl -- ${{completions_with_descriptions%%:*}} }}
compadd() {{ print -rl -- $completions }}
{line}
words=(reconciler {words}); CURRENT=${{#words}}
_reconciler_completion
""",
    "fish": """
{line}
complete --do-complete "reconciler {words}"
""",
}
"""Each shell's own completion, for words of which the last one is begun."""


def line_of(shell: str) -> str:
    """The line for its start file, as the page has it."""
    page = (DOCS / "install.md").read_text()
    (found,) = re.findall(rf"^\| {shell}\b[^|]*\| `(.*)` \|$", page, re.MULTILINE)
    return str(found).replace("\\|", "|")


def environ(folder: Path, **more: str) -> dict[str, str]:
    """The program on the path, and nothing else of this process."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), **more}


def completed(shell: str, folder: Path, *words: str) -> list[str]:
    """What the shell offers for the last word."""
    script = ASKS[shell].format(line=line_of(shell), words=" ".join(words))
    found = subprocess.run(
        [shell, "-c", script],
        cwd=folder,
        env=environ(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, found.stderr) == (0, "")
    return [line.split("\t")[0] for line in found.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a manifest."""
    (tmp_path / "tokens.yaml").write_text(MANIFEST)
    return tmp_path


@pytest.mark.parametrize("shell", sorted(ASKS))
def test_a_shell_completes(shell: str, folder: Path) -> None:
    """Commands, options, and labels of the manifest."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    assert completed(shell, folder, "ro") == ["rollback", "rotate"]
    assert completed(shell, folder, "rotate", "--targ") == ["--target"]
    assert completed(shell, folder, "rotate", "--target", "bots/") == ["bots/a", "bots/b"]
    assert completed(shell, folder, "history", "--label", "w") == ["web"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_what_a_shell_would_ask(shell: str, folder: Path) -> None:
    """Its script is printed by the page's line, and the program answers it."""
    (variable, instruction) = re.findall(r"(_\w+)=(\w+)", line_of(shell))[0]
    assert instruction == f"{shell}_source"

    def asked(**variables: str) -> str:
        found = subprocess.run(
            [sys.executable, "-m", "reconciler"],
            cwd=folder,
            env=environ(folder, **variables),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (found.returncode, found.stderr) == (0, "")
        return found.stdout

    script = asked(**{variable: instruction})
    assert f"{variable}={shell}_complete" in script
    words = "reconciler rotate --target bots/"
    current = {"zsh": "3", "fish": "bots/"}[shell]
    told = asked(**{variable: f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": current})
    assert re.findall(r"\bbots/\w", told) == ["bots/a", "bots/b"]
