"""``make bench``: every figure beside its limit. Exits 1 if one does not hold."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.bench import bench_apply, bench_plan, bench_planner, bench_start
from tests.bench.table import print_table


def main() -> int:
    """Measure one after the other: they would disturb each other."""
    rows = [
        row
        for part in (bench_start, bench_planner, bench_plan, bench_apply)
        for row in part.measure()
    ]
    print_table(rows)
    return int(any(row.measured > row.limit for row in rows))


sys.exit(main())
