"""``make bench``: every figure beside its limit; exits 1 where one is missed.

With the console script of another build (``make bench BASE=…/bin/reconciler``) it
prints how this one compares with it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.bench import bench_apply, bench_plan, bench_planner, bench_start, bench_verify, pairs
from tests.bench.table import print_table


def main() -> int:
    """Measure one after the other: they would disturb each other."""
    if len(sys.argv) > 1:
        return pairs.compare(Path(sys.argv[1]).absolute())
    rows = [
        row
        for part in (bench_start, bench_planner, bench_plan, bench_apply, bench_verify)
        for row in part.measure()
    ]
    print_table(rows)
    return int(any(row.measured > row.limit for row in rows))


sys.exit(main())
