"""Fixtures of the tests of what we deliver."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.delivery.files import ROOT, performed

CHECKS_BIN = Path(os.environ.get("RECONCILER_CHECKS_BIN", ROOT / ".venv-checks" / "bin"))
Tool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def tool() -> Tool:
    """Return what runs a program of the checkers' environment: its name, its arguments,
    and ``environ`` on top of ours.

    No token of GitHub's reaches them, as some go online with one.
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
                f"the checker {name} is missing at {program}: "
                "run `make test`, which makes its environment"
            )
        ours = {
            key: text
            for key, text in os.environ.items()
            if not key.startswith(("GH_", "GITHUB_", "ZIZMOR_", "GIT_"))
        }
        path = f"{CHECKS_BIN}{os.pathsep}{ours['PATH']}"
        return performed(
            [program, *arguments], cwd, {**ours, "PATH": path, "NO_COLOR": "1", **(environ or {})}
        )

    return run
