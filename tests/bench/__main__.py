"""``make bench``: every figure beside its limit; exits 1 where one is missed.

With the console script of another build (``make bench BASE=…/bin/reconciler``) it
prints how this one compares with it. With jitter on the path ``RUNS=20`` applies are
made in place of a few.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.bench import (
    bench_apply,
    bench_plan,
    bench_planner,
    bench_promote,
    bench_start,
    bench_status,
    bench_verify,
    pairs,
)
from tests.bench.table import print_table


def main() -> int:
    """Measure one after the other: they would disturb each other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("base", nargs="?", type=Path, help="the console script of another build")
    parser.add_argument("--runs", type=int, default=bench_apply.JITTER_RUNS)
    given = parser.parse_args()
    if given.base is not None:
        return pairs.compare(given.base.absolute(), jitter_runs=given.runs)
    rows = [
        *(
            row
            for part in (bench_start, bench_status, bench_planner, bench_plan)
            for row in part.measure()
        ),
        *bench_apply.measure(given.runs),
        *bench_promote.measure(),
        *bench_verify.measure(),
    ]
    print_table(rows)
    return int(any(not row.within for row in rows))


sys.exit(main())
