"""``make scale``: several manifests of one profile, by several processes at once, with
the exchange's limits on and one real OpenBao; exits 1 where a figure misses its limit.

    what                              the ideal schedule
    --------------------------------  ------------------------------------------------
    M quiet plans, P processes        the slowest of
                                        processors: M * C / cores
                                        sandbox: M * S
                                        the processes: ceil(M / P) * W
    R rotations from the reserve, of  the pace of a process: ten starts a second, three
    one manifest alone                of them at once, so (R - 3) / 10 s, and A
    the same of M manifests,          the slowest of the three above, with C, S and W of
    P processes                       that run alone
    N new labels, one process at a    N * 300 ms, the identity's gap, and A for each run
    time
    N successors for the reserve,     N * 600 ms, as each waits for the one before, with
    one process at a time             two lists of the manager, and A for each run

C, S and W are measured on a run of one manifest alone: processor time of program,
sandbox and OpenBao; that of the sandbox, which is one Python process, so it has one
core at most; wall time. A is what is around: W of a quiet plan, and two more lists of
the manager, 300 ms apart. ``cores`` are those that others left to us while it ran. The
exchange's limits leave out nothing else: each manifest's manager is a credential of its
own, and each successor of a reserve signs its own list.

    what           calls
    -------------  -------------------------------------------------------------------
    a quiet plan   one list
    R rotations    R lists, each signed by a successor; one before the lease, one after
    N derives      N derives, each with a list of its token; of the manager's lists,
                   two for each, derives share those that wait, so at most 4 N in all;
                   the same two lists, and one question what the identity may do

The fleet at the start is written straight into sandbox and OpenBao. Derives are made in
as many manifests as are asked for, in place of all: the identity's gap makes them slow,
and they come one after the other anyhow. At the end the laws of ``tests.support`` hold,
or it fails: nothing is lost, the list is explained, nobody touched a neighbour's token.
On a machine that others keep busy the sandbox may be too late with an answer: then a
run ends with 5, the next one goes on, and the figure says so. Processor time is
compared as well, because it depends less on who else is at work.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from reconciler.demo.openbao import OpenBaoServer
from reconciler.errors import Exit
from reconciler.sandbox import Sandbox
from tests.bench.machine import CORES, Spent, spent
from tests.bench.table import Row, print_table
from tests.support.manifests import READY, Manifests, Size

TIMES = 1.2
GAP_S, STARTS_A_SECOND, STARTS_AT_ONCE = 0.3, 10, 3
REFUSED = 0.01
"""So many of the calls may get a 429: a process can't know what another just called."""


class Measured(NamedTuple):
    """A stretch of work, and how many calls of the exchange it took."""

    took: Spent
    calls: int


class Bench:
    """The manifests, and what is measured of them."""

    def __init__(self, manifests: Manifests, server: int, processes: int) -> None:
        self.manifests = manifests
        self.processes = processes
        self.unfinished: list[str] = []
        self._server = server

    def plan(self, name: str) -> None:
        """Plan a manifest, which has nothing to do."""
        self.manifests.must(name, "plan", "--detailed-exitcode")

    def rotate(self, name: str) -> None:
        """Rotate what has a successor in the reserve, without an identity."""
        self._changed(name, "rotate", "--target", f"{name}-{READY}-*", "--yes")

    def derive(self, names: Sequence[str]) -> None:
        """Derive what the manifests are short of, one after the other."""
        for name in names:
            self._changed(name, "apply", "--yes", identity=True)

    def finish(self) -> None:
        """Let the next run do what one has left: every reserve is full in the end."""
        for name in sorted(set(self.unfinished)):
            self.manifests.must(name, "apply", "--yes", identity=True)

    def _changed(self, name: str, *arguments: str, identity: bool = False) -> None:
        done = self.manifests.run(name, *arguments, identity=identity)
        assert done.code in {Exit.DONE, Exit.PARTIAL}, (name, done)
        if done.code == Exit.PARTIAL:
            self.unfinished.append(name)
            print(name, done.last_line, file=sys.stderr)

    def measured(self, work: Callable[[], object]) -> Measured:
        """Do the work, with what it took."""
        before = len(self.manifests.sandbox.state.calls)
        took = spent(work, server=self._server)
        return Measured(took, len(self.manifests.sandbox.state.calls) - before)

    def alone_and_together(self, work: Callable[[str], object]) -> tuple[Measured, Measured]:
        """Do the work of the first manifest alone, then that of all others at once."""
        first, *others = self.manifests.names
        return self.measured(lambda: work(first)), self.measured(
            lambda: self.manifests.side_by_side(self.processes, others, work)
        )

    def ideal_s(self, alone: Spent, together: Spent, manifests: int) -> tuple[float, str]:
        """Return the ideal schedule of so many at once, and what it rests on."""
        rounds = math.ceil(manifests / self.processes)
        return max(
            (manifests * alone.cpu_s / together.cores, f"{together.cores:.2f} of {CORES} cores"),
            (manifests * alone.sandbox_s, "the sandbox's one core"),
            (rounds * alone.wall_s, f"{rounds} rounds"),
        )


def main() -> int:
    """Measure one after the other, and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--manifests", type=int, default=20)
    parser.add_argument("--labels", type=int, default=200, help="of a manifest")
    parser.add_argument("--ready", type=int, default=20, help="of them, those with a reserve")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--derive", type=int, default=5, help="manifests that derive")
    given = parser.parse_args()
    size = Size(manifests=given.manifests, labels=given.labels, ready=given.ready)
    with tempfile.TemporaryDirectory() as folder, Sandbox() as sandbox, OpenBaoServer() as bao:
        manifests = Manifests(Path(folder), sandbox, bao, "secret", size)
        print(f"{len(sandbox.state.live())} tokens live in {given.manifests} manifests")
        bench = Bench(manifests, bao.pid, given.processes)
        rows = measure(bench, manifests.names[: given.derive])
        bench.finish()
        for law in (
            manifests.assert_the_list_is_explained,
            manifests.assert_no_interference,
            manifests.assert_no_leak,
            manifests.assert_nothing_is_lost,
        ):
            law()
    print_table(rows)
    print("nothing is lost: every path signs, the ledgers explain the list, none met another's")
    return int(any(not row.within for row in rows))


def measure(bench: Bench, deriving: Sequence[str]) -> list[Row]:
    """Return the figures of plans, rotations and derives."""
    manifests, size = bench.manifests, bench.manifests.size
    others, ready = size.manifests - 1, size.ready
    quiet, plans = bench.alone_and_together(bench.plan)
    around_s = quiet.took.wall_s + 2 * GAP_S
    one, rotations = bench.alone_and_together(bench.rotate)
    stocked = bench.measured(lambda: bench.derive(deriving))
    for name in deriving:
        manifests.add(name, ready)
    derives = bench.measured(lambda: bench.derive(deriving))
    derived = ready * len(deriving)
    pace_s = max(0, ready - STARTS_AT_ONCE) / STARTS_A_SECOND + around_s
    by = f"by {bench.processes} processes"
    return [
        _time(f"{others} quiet plans {by}", plans, *bench.ideal_s(quiet.took, plans.took, others)),
        _calls("the same, calls", plans, others),
        _cpu("the same, processor time", plans, quiet, others),
        _time(f"{ready} rotations from the reserve", one, pace_s, "ten starts a second"),
        _time(
            f"the same of {others} manifests {by}",
            rotations,
            *bench.ideal_s(one.took, rotations.took, others),
        ),
        _calls("the same, calls", rotations, others * (ready + 2)),
        _cpu("the same, processor time", rotations, one, others),
        _time(
            f"{derived} new labels in {len(deriving)} manifests, one by one",
            derives,
            derived * GAP_S + len(deriving) * around_s,
            "the identity's gap",
        ),
        _calls("the same, calls", derives, 4 * derived + 3 * len(deriving), times=1.0),
        _time(
            f"{derived} successors for the reserve, one by one",
            stocked,
            derived * 2 * GAP_S + len(deriving) * around_s,
            "two lists of the manager each",
        ),
        _calls("the same, calls", stocked, 4 * derived + 3 * len(deriving), times=1.0),
        _refused(manifests),
        Row("runs that left something to the next", len(bench.unfinished), 0, "runs", ""),
    ]


def _time(what: str, measured: Measured, ideal_s: float, why: str) -> Row:
    return Row(
        what=what,
        measured=measured.took.wall_s,
        limit=TIMES * ideal_s,
        unit="s",
        yardstick=f"{why}: {ideal_s:.1f} s",
        against=ideal_s,
    )


def _calls(what: str, measured: Measured, ideal: int, *, times: float = TIMES) -> Row:
    return Row(what, measured.calls, times * ideal, "calls", f"these calls: {ideal}", "", ideal)


def _cpu(what: str, measured: Measured, alone: Measured, runs: int) -> Row:
    least_s = runs * alone.took.cpu_s
    why = f"{runs} alone: {least_s:.1f} s"
    return Row(what, measured.took.cpu_s, TIMES * least_s, "s", why, "", least_s)


def _refused(manifests: Manifests) -> Row:
    calls = len(manifests.sandbox.state.calls)
    most = max(1.0, REFUSED * calls)
    return Row("calls that got a 429", manifests.refused(), most, "calls", f"of {calls} calls")


if __name__ == "__main__":
    sys.exit(main())
