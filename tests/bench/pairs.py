"""``python tests/bench BASE``: this build beside another one, both as whole processes.

Each command runs in turn with one and the other (A B A B …), so that a busy machine is
as busy for both. The first pair does not count. A ratio is the median of the pairs'
ratios; the yardsticks are the same calls by httpx and hvac alone. What the exchange's
limits slow down is held against their schedule, by this build alone: it is told below.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from tests.bench import bench_apply, bench_plan, bench_promote, bench_start, bench_verify
from tests.bench.processes import Cost, once, program, several
from tests.bench.table import Row, print_columns, print_table

RUNS = 9
SMALL = 8
MEMORY_MIB = 45
HEAD = (
    *("what", "base", "this", "ratio", "limit", "within"),
    *("pairs' ratios", "ratio of CPU", "spread of base and this"),
)


class Side(NamedTuple):
    """One of the two commands of a pair, and where it runs."""

    command: list[str]
    cwd: Path
    environ: Mapping[str, str]

    def cost(self) -> Cost:
        """Run it once."""
        return once(self.command, cwd=self.cwd, environ=self.environ)


class Pair(NamedTuple):
    """What a command cost on both sides, run by run."""

    what: str
    limit: float
    base: list[Cost]
    this: list[Cost]

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios of wall time."""
        return statistics.median(self._ratios("wall_s"))

    def _ratios(self, figure: str) -> list[float]:
        both = zip(self.base, self.this, strict=True)
        return [getattr(this, figure) / getattr(base, figure) for base, this in both]

    def cells(self) -> tuple[str, ...]:
        """Return the line of the table."""
        sides = [[cost.wall_s for cost in side] for side in (self.base, self.this)]
        ratios = self._ratios("wall_s")
        return (
            self.what,
            *(f"{statistics.median(taken):.3f}" for taken in sides),
            f"{self.ratio:.3f}",
            f"{self.limit:.2f}",
            "yes" if self.ratio <= self.limit else "NO",
            f"{min(ratios):.2f}-{max(ratios):.2f}",
            f"{statistics.median(self._ratios('cpu_s')):.3f}",
            " ".join(f"{min(taken):.3f}-{max(taken):.3f}" for taken in sides),
        )


def compare(base: Path, *, jitter_runs: int) -> int:
    """Print the tables against the console script ``base``; 1 if a limit is missed."""
    with contextlib.ExitStack() as stack:
        fleet = stack.enter_context(bench_plan.fleet_in_place(schema=1))
        pairs = [
            _paired(what, limit, before, after)
            for what, limit, before, after in _sides(stack, fleet, str(base))
        ]
        print_columns(HEAD, [pair.cells() for pair in pairs])
        print()
        rows = [*_yardsticks(fleet), _memory(pairs)]
    rows += [*bench_apply.measure(jitter_runs), *bench_promote.measure()]
    rows += bench_verify.measure()
    print_table(rows)
    missed = any(pair.ratio > pair.limit for pair in pairs)
    return int(missed or any(not row.within for row in rows))


def _paired(what: str, limit: float, before: Side, after: Side) -> Pair:
    costs = [(before.cost(), after.cost()) for _ in range(1 + RUNS)][1:]
    return Pair(what, limit, *map(list, zip(*costs, strict=True)))


PLAN_LARGE = f"plan, {bench_plan.TOKENS:,} labels"


def _sides(
    stack: contextlib.ExitStack, fleet: bench_plan.Place, base: str
) -> Iterator[tuple[str, float, Side, Side]]:
    """Both builds plan from a ledger of schema 1, which both read."""
    validated = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    manifest = bench_start.large_manifest(bench_start.TOKENS)
    (validated / "tokens.yaml").write_text(manifest, encoding="utf-8")
    small = stack.enter_context(bench_plan.fleet_in_place(SMALL, schema=1))
    [this] = program()
    for what, limit, command, (cwd, environ) in (
        ("--version", 1.05, "--version", fleet),
        ("--help", 1.05, "--help", fleet),
        (f"validate, {bench_start.TOKENS:,} labels", 1.15, "validate", (validated, fleet[1])),
        (PLAN_LARGE, 0.5, "plan", fleet),
        (f"{PLAN_LARGE}, no SCAN", 0.8, "plan", bench_plan.without_scan(fleet)),
        (f"plan, {SMALL} labels", 0.55, "plan", small),
    ):
        yield what, limit, Side([base, command], cwd, environ), Side([this, command], cwd, environ)
    plan, apply = ([this, "plan"], [this, "apply", "--yes"])
    yield "apply with nothing to do beside plan", 1.15, Side(plan, *fleet), Side(apply, *fleet)


def _yardsticks(fleet: bench_plan.Place) -> Iterator[Row]:
    """What the peers alone take of a plan: no limit, something to compare with."""
    cwd, environ = fleet
    for how, threads in (("1,000 reads", "8"), ("one SCAN", "0")):
        command = [sys.executable, str(bench_plan.YARDSTICK), str(bench_plan.TOKENS), threads]
        cost = several(command, cwd=cwd, environ=environ)
        what = f"yardstick: a plan's calls by httpx and hvac, {how}"
        yield Row(what, cost.wall_s, float("inf"), "s", "", cost.spread)


def _memory(pairs: list[Pair]) -> Row:
    plan = next(pair for pair in pairs if pair.what == PLAN_LARGE)
    before, after = (
        statistics.median(cost.peak_mib for cost in side) for side in (plan.base, plan.this)
    )
    peaks = [cost.peak_mib for cost in plan.this]
    spread, said = f"{min(peaks):.1f}-{max(peaks):.1f}", f"base: {before:.1f} MiB"
    return Row(f"{PLAN_LARGE}, memory", after, MEMORY_MIB, "MiB", said, spread)
