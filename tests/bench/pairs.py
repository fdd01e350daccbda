"""``python tests/bench BASE``: this build beside another one, both as whole processes.

Each command runs in turn with one and the other (A B A B …), so that a busy machine is
as busy for both. The first pair does not count.
"""

from __future__ import annotations

import contextlib
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.bench import bench_plan, bench_start
from tests.bench.processes import once, program
from tests.bench.table import print_columns

RUNS = 9
HEAD = ("what", "base", "this", "ratio", "limit", "within", "spread of base and this")


class Pair(NamedTuple):
    """A command's seconds of wall time with both builds, run by run."""

    what: str
    limit: float
    base_s: list[float]
    this_s: list[float]

    @property
    def ratio(self) -> float:
        """The median of this build over that of the other."""
        return statistics.median(self.this_s) / statistics.median(self.base_s)

    def cells(self) -> tuple[str, ...]:
        """Return the line of the table."""
        spreads = (f"{min(taken):.3f}-{max(taken):.3f}" for taken in (self.base_s, self.this_s))
        return (
            self.what,
            f"{statistics.median(self.base_s):.3f}",
            f"{statistics.median(self.this_s):.3f}",
            f"{self.ratio:.3f}",
            f"{self.limit:.2f}",
            "yes" if self.ratio <= self.limit else "NO",
            " ".join(spreads),
        )


def compare(base: Path) -> int:
    """Print the table against the console script ``base``; 1 if a limit is missed."""
    pairs = list(_pairs(base))
    print_columns(HEAD, [pair.cells() for pair in pairs])
    return int(any(pair.ratio > pair.limit for pair in pairs))


def _pairs(base: Path) -> Iterator[Pair]:
    with contextlib.ExitStack() as stack:
        large = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        manifest = bench_start.large_manifest(bench_start.TOKENS)
        (large / "tokens.yaml").write_text(manifest, encoding="utf-8")
        folder, environ = stack.enter_context(bench_plan.fleet_in_place())
        for what, arguments, cwd, limit in (
            ("--version", ["--version"], folder, 1.05),
            ("--help", ["--help"], folder, 1.05),
            (f"validate, {bench_start.TOKENS:,} labels", ["validate"], large, 1.15),
            (f"plan, {bench_plan.TOKENS:,} labels", ["plan"], folder, 1.05),
        ):
            taken: tuple[list[float], list[float]] = ([], [])
            for _ in range(1 + RUNS):
                for script, seconds in zip((str(base), *program()), taken, strict=True):
                    seconds.append(once([script, *arguments], cwd=cwd, environ=environ).wall_s)
            yield Pair(what, limit, taken[0][1:], taken[1][1:])
