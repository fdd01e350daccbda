"""What a stretch of work took of this machine, and what others took meanwhile.

A schedule that rests on processors is honest only with those that others left to us.
Linux says how busy all of them were; elsewhere nobody else is taken to be at work.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

STAT = Path("/proc/stat")
IDLE = (3, 4)  # of the fields of the line "cpu": idle, and waiting for a disk
CORES = os.cpu_count() or 1
CORES_LEAST = 0.25
"""So much of a core is ours however busy others are: the system divides it fairly."""


class Spent(NamedTuple):
    """Wall time; the processor time of all of ours, and of this process alone, where
    the sandbox runs; how many cores others left to us, on average.
    """

    wall_s: float
    cpu_s: float
    sandbox_s: float
    cores: float


class _Sample(NamedTuple):
    wall_s: float
    own_s: float
    children_s: float
    server_s: float
    busy_s: float | None


def spent(work: Callable[[], object], *, server: int) -> Spent:
    """Do the work, and return what it took.

    Ours are this process, the children that end meanwhile, and the process ``server``.
    """
    before = _sample(server)
    work()
    after = _sample(server)
    wall_s = after.wall_s - before.wall_s
    sandbox_s = after.own_s - before.own_s
    cpu_s = sandbox_s + after.children_s - before.children_s + after.server_s - before.server_s
    others = 0.0
    if before.busy_s is not None and after.busy_s is not None:
        others = max(0.0, after.busy_s - before.busy_s - cpu_s) / wall_s
    return Spent(wall_s, cpu_s, sandbox_s, max(CORES_LEAST, CORES - others))


def _sample(server: int) -> _Sample:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return _Sample(
        wall_s=time.perf_counter(),
        own_s=time.process_time(),
        children_s=children.ru_utime + children.ru_stime,
        server_s=_cpu_of(server),
        busy_s=_busy_s(),
    )


def _busy_s() -> float | None:
    """Return for how long all processors together were busy; None where nobody says."""
    if not STAT.exists():
        return None
    ticks = [int(text) for text in STAT.read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return _seconds(sum(n for place, n in enumerate(ticks) if place not in IDLE))


def _cpu_of(process: int) -> float:
    """Return the processor time of a process that runs; 0 where nobody says."""
    path = Path(f"/proc/{process}/stat")
    if not path.exists():
        return 0.0
    fields = path.read_text(encoding="ascii").rpartition(") ")[2].split()
    return _seconds(int(fields[11]) + int(fields[12]))


def _seconds(ticks: int) -> float:
    return ticks / os.sysconf("SC_CLK_TCK")
