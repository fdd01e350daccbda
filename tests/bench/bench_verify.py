"""``verify`` of 200 secrets with the exchange's limits on, against the schedule of the
pace: ten requests a second.
"""

from __future__ import annotations

from reconciler.exchange.pacing import SECOND_S, STARTS
from tests.bench.bench_plan import fleet_in_place
from tests.bench.processes import median, once, program
from tests.bench.table import Row

SECRETS, RUNS, TIMES, PEAK_MIB = 200, 3, 1.1, 60


def measure() -> list[Row]:
    """Two figures: seconds and memory."""
    schedule_s = SECRETS * SECOND_S / STARTS
    with fleet_in_place(SECRETS, limits=True) as (folder, environ):
        cost = median([once(program("verify"), cwd=folder, environ=environ) for _ in range(RUNS)])
    return [
        Row(
            what=f"verify, {SECRETS} secrets, limits on",
            measured=cost.wall_s,
            limit=TIMES * schedule_s,
            unit="s",
            yardstick=f"the schedule: {schedule_s:.1f} s",
            spread=cost.spread,
            against=schedule_s,
        ),
        Row(f"verify, {SECRETS} secrets, memory", cost.peak_mib, PEAK_MIB, "MiB", ""),
    ]
