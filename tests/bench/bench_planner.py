"""How long the planner takes over a large fleet in which nothing is to be done, and
that it grows no faster than the fleet.

Run it with ``python tests/bench/bench_planner.py``. Nothing is written and nobody is
called: the planner is a pure function.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from pathlib import Path

if (
    __name__ == "__main__"
):  # run as a script, its own folder is on the path instead of the repository
    sys.path.insert(0, str(Path(__file__).parents[2]))

from reconciler.model import Manifest
from reconciler.plan.change import Plan
from reconciler.plan.planner import plan
from reconciler.plan.vocabulary import Action
from reconciler.state.snapshot import Observed
from tests.bench.table import Row, print_table
from tests.support.values import MANAGER, NOW_MS, manifest, settled, spec

LIMIT_S = 0.05
ROUNDS = 25
SIZES = (100, 1_000)
"""The larger one is the most that a manifest may have."""

GROWTH_LIMIT = 2.0
"""Time per token at the largest fleet over that at the smallest: sorting, caches and
the collector take it above 1."""


def fleet(tokens: int) -> tuple[Manifest, Observed]:
    """So many tokens, the manager among them, all in sync."""
    specs = (
        spec(MANAGER),
        *(spec(f"bot-{n:06d}", path=f"team-{n % 97:02d}/bot-{n:06d}") for n in range(tokens - 1)),
    )
    return manifest(*specs), settled(specs)


def seconds_to_plan(tokens: int, rounds: int = ROUNDS) -> float:
    """The median over the rounds, in seconds of processor time; the plan is checked to
    have nothing to do.
    """
    desired, seen = fleet(tokens)
    taken_s = []
    for _ in range(rounds):
        gc.collect()
        started_s = time.process_time()
        found = plan(desired, seen, now_ms=NOW_MS)
        taken_s.append(time.process_time() - started_s)
        _check(found, tokens)
    return statistics.median(taken_s)


def _check(found: Plan, tokens: int) -> None:
    assert found.counts() == {Action.KEEP: tokens}, (
        "the fleet is in sync, so the planner keeps every token"
    )
    assert found.not_touched == (), "no token is foreign"


def measure() -> list[Row]:
    """Return the planner's rows: seconds for each size, and how they grow."""
    taken_s = {tokens: seconds_to_plan(tokens) for tokens in SIZES}
    largest, smallest = max(SIZES), min(SIZES)
    growth = (taken_s[largest] / largest) / (taken_s[smallest] / smallest)
    return [
        *(
            Row(
                what=f"planner, {tokens:,} tokens, nothing to do",
                measured=taken_s[tokens],
                limit=LIMIT_S,
                unit="s",
                yardstick=f"median of {ROUNDS}, processor time; the limit is for {largest:,}",
            )
            for tokens in sorted(SIZES, reverse=True)
        ),
        Row(
            what=f"planner, time per token at {largest:,} over {smallest:,}",
            measured=growth,
            limit=GROWTH_LIMIT,
            unit="times",
            yardstick="1 is linear, 10 quadratic",
        ),
    ]


def main() -> int:
    """Print the table; 1 if a limit is missed."""
    rows = measure()
    print_table(rows)
    return 0 if all(row.within for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
