"""Node for the tests that need a package of npm; nothing else needs it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


def node_with(folder: Path) -> str:
    """Return the path of Node where the packages of this folder's lock are installed.

    Elsewhere the test is skipped with a sentence; on GitHub's runners, which have Node,
    it fails.
    """
    program = shutil.which("node")
    if program is not None and (folder / "node_modules" / "ready").exists():
        return program
    if program is None:
        missing = "Node (`node` and `npm`) is not on the PATH"
    else:
        missing = f"the packages of {folder} are missing: `make test` installs them, if npm can"
    if os.environ.get("GITHUB_ACTIONS") == "true":
        pytest.fail(missing)
    pytest.skip(missing)
