"""Search longer than the tests do: ``python -m tests.proofs.simulation --help``.

Exits 1 where a law is broken, with a transcript.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import itertools
import sys
import time
from pathlib import Path

from tests.proofs.simulation.explore import explore, sizes_unchecked
from tests.proofs.simulation.kept import Kept
from tests.proofs.simulation.random_walks import WALK_STEPS, shrink, walks
from tests.proofs.simulation.scenarios import SMALL_WORLDS, Act, Budget, small_world
from tests.proofs.simulation.tally import Tally
from tests.proofs.simulation.world import Choice

BATCH = 20
"""Walks that a process takes before it reports."""


def main() -> int:
    """0 where all was lawful."""
    asked = _arguments()
    tally = Tally()
    began_s = time.monotonic()
    found = _exhaust(asked, tally) if asked.exhaustive else _wander(asked, tally)
    for line in tally.lines():
        print(line)
    print(f"in {time.monotonic() - began_s:.0f} s")
    if found is None:
        return 0
    print(found.about)
    found.violation(print)
    if asked.keep is not None:
        asked.keep.write_text(found.text())
        print(f"kept as {asked.keep}")
    return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.proofs.simulation", description="Walk the protocol through schedules."
    )
    parser.add_argument("--seconds", type=float, default=60, help="when to stop (default 60)")
    parser.add_argument(
        "--seed", type=int, default=0, help="the first random walk; the next ones count on from it"
    )
    parser.add_argument(
        "--steps",
        type=int,
        default=WALK_STEPS,
        help=f"choices in a random walk (default {WALK_STEPS})",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, help="processes for random walks (default 1)"
    )
    parser.add_argument(
        "--exhaustive",
        metavar="WORLD",
        action="append",
        help=f"every schedule of a small world, or all: {', '.join(SMALL_WORLDS)}",
    )
    parser.add_argument(
        "--faults",
        type=int,
        default=1,
        help="how many faults there may be in a small world (default 1)",
    )
    parser.add_argument(
        "--runs",
        type=int,
        choices=(1, 2, 3),
        default=1,
        help="how many runs there are in a small world",
    )
    parser.add_argument(
        "--takeovers", type=int, default=0, help="how often a run may take over another's lease"
    )
    parser.add_argument(
        "--kept",
        type=int,
        default=10,
        help="how many versions of a secret Vault keeps (default 10)",
    )
    parser.add_argument(
        "--person",
        nargs=2,
        metavar=("WHAT", "WHERE"),
        help='one act of a person, such as "overwrites" "bot"',
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="FILE",
        help="write a failing schedule there, for tests/proofs/simulation/regressions",
    )
    return parser.parse_args()


def _exhaust(asked: argparse.Namespace, tally: Tally) -> Kept | None:
    """The shortest failing schedule of the first world that has one."""
    budget = Budget(
        faults=asked.faults,
        ticks=asked.takeovers,
        runs=asked.runs,
        coarse=asked.runs > 1,
        kept=asked.kept,
    )
    act: Act | None = tuple(asked.person) if asked.person is not None else None
    for name in SMALL_WORLDS if "all" in asked.exhaustive else asked.exhaustive:
        scenario = small_world(name, budget, act)
        began_s = time.monotonic()
        found = explore(scenario, seconds=asked.seconds)
        tally.add(found.tally)
        end = "exhausted" if found.exhausted else "NOT exhausted"
        print(
            (
                f"{scenario.name}: {found.tally.states:,} states, {end} in "
                f"{time.monotonic() - began_s:.0f} s"
            ),
            flush=True,
        )
        if found.violations:
            violation, trail = min(found.violations.items(), key=lambda item: len(item[1]))
            return Kept(about=violation, choices=trail, world=name, budget=budget, act=act)
    return None


def _some_walks(first: int, steps: int) -> tuple[dict[int, tuple[list[Choice], str, str]], Tally]:
    """Take a batch of walks: those that fail by seed, with law and sentence."""
    tally = Tally()
    found = walks(range(first, first + BATCH), steps, tally)
    return {seed: (taken, why.law, str(why)) for seed, (taken, why) in found.items()}, tally


def _wander(asked: argparse.Namespace, tally: Tally) -> Kept | None:
    """Return the first failing walk, shrunk: the same for any number of jobs."""
    ends_s = time.monotonic() + asked.seconds
    with concurrent.futures.ProcessPoolExecutor(asked.jobs) as pool:
        for first in itertools.count(asked.seed, BATCH * asked.jobs):
            if time.monotonic() > ends_s and first > asked.seed:
                print(f"walks {asked.seed} to {first - 1}")
                return None
            firsts = range(first, first + BATCH * asked.jobs, BATCH)
            for found, more in pool.map(_some_walks, firsts, itertools.repeat(asked.steps)):
                tally.add(more)
                for seed, (choices, law, sentence) in sorted(found.items()):
                    with sizes_unchecked():
                        short = tuple(shrink(choices, law))
                    return Kept(about=f"walk {seed}: {sentence}", choices=short)
    return None


if __name__ == "__main__":
    sys.exit(main())
