"""Looks at pages in Chromium: what axe-core and an HTML validator find, and pictures.

Chromium comes as a package of npm, like the two others, pinned by a lock file; see
``page/look.mjs``.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.node import node_with

FOLDER = Path(__file__).with_name("page")
TIMEOUT_S = 300


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sight:
    """A page to look at: in a window of so many pixels, light, dark or as on paper.

    ``scheme`` is ``light``, ``dark`` or ``print``. ``shot`` is where a picture of it
    goes, of at most ``most_px`` pixels of its height.
    """

    file: Path
    width: int
    scheme: str
    shot: Path | None = None
    most_px: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Seen:
    """What was found.

    ``violations`` are axe-core's, ``messages`` the validator's. ``requests`` are what
    the page asked for besides itself. ``width`` is how wide its content is.
    """

    violations: list[str]
    messages: list[str]
    requests: list[str]
    width: int
    height: int


def look(sights: Sequence[Sight]) -> list[Seen]:
    """What Chromium shows, in the order of the sights. The test is skipped where Node
    or its packages are missing, or where the packaged Chromium does not run.
    """
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        pytest.skip("the Chromium of the package is for Linux on x86-64")
    order = {
        "pages": [
            {
                **dataclasses.asdict(sight),
                "file": str(sight.file),
                "shot": str(sight.shot) if sight.shot is not None else None,
            }
            for sight in sights
        ]
    }
    done = subprocess.run(
        [node_with(FOLDER), "look.mjs"],
        cwd=FOLDER,
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Seen(**json.loads(line)) for line in done.stdout.splitlines()]
