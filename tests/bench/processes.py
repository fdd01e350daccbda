"""Whole processes, as a user starts them: wall time and peak memory by the operating
system's own accounting.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

RUNS = 5


class Cost(NamedTuple):
    """One run, or the median of several: seconds of wall and of processor time, MiB of
    peak memory. ``spread`` has the shortest and the longest wall time of several.
    """

    wall_s: float
    peak_mib: float
    cpu_s: float
    spread: str = ""


def once(command: list[str], *, cwd: Path, environ: Mapping[str, str], expected: int = 0) -> Cost:
    """One run. AssertionError if it ends otherwise than expected."""
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=cwd, env=dict(environ), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == expected, (command, process.returncode)
    cpu_s = usage.ru_utime + usage.ru_stime
    return Cost(wall_s=wall_s, peak_mib=usage.ru_maxrss / 1024, cpu_s=cpu_s)


def median(costs: list[Cost]) -> Cost:
    """The median of each figure, and the spread of the wall time."""
    walls_s = [cost.wall_s for cost in costs]
    return Cost(
        wall_s=statistics.median(walls_s),
        peak_mib=statistics.median(cost.peak_mib for cost in costs),
        cpu_s=statistics.median(cost.cpu_s for cost in costs),
        spread=f"{min(walls_s):.3f}-{max(walls_s):.3f}",
    )


def several(
    command: list[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    runs: int = RUNS,
    expected: int = 0,
) -> Cost:
    """The median after a run that doesn't count."""
    once(command, cwd=cwd, environ=environ, expected=expected)
    return median([once(command, cwd=cwd, environ=environ, expected=expected) for _ in range(runs)])


def program(*arguments: str) -> list[str]:
    """The console script of this environment, as installed."""
    return [str(Path(sys.executable).parent / "reconciler"), *arguments]
