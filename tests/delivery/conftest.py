"""Fixtures of the tests of what we deliver."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.delivery.files import ROOT

CHECKS_BIN = Path(os.environ.get("RECONCILER_CHECKS_BIN", ROOT / ".venv-checks" / "bin"))
TIMEOUT_S = 600
"""Of one program: far more than it takes, as a busy machine is no mistake of ours."""

Tool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def tool() -> Tool:
    """Runs a program of the checkers' environment: its name, its arguments, and
    ``environ`` on top of ours.

    With a token of GitHub's in the environment some of them go online, so none reaches
    them.
    """

    def run(
        name: str,
        *arguments: str | Path,
        cwd: Path = ROOT,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        program = CHECKS_BIN / name
        if not program.exists():
            pytest.fail(
                f"the checker {name} is missing at {program}: run `make test`, which makes its environment"
            )
        ours = {
            key: text
            for key, text in os.environ.items()
            if not key.startswith(("GH_", "GITHUB_", "ZIZMOR_", "GIT_"))
        }
        argv: list[str | Path] = [program, *arguments]
        return subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env={
                **ours,
                "PATH": f"{CHECKS_BIN}{os.pathsep}{ours['PATH']}",
                "NO_COLOR": "1",
                **(environ or {}),
            },
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )

    return run
