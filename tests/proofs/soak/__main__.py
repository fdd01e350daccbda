"""``make soak``: fleets side by side, round after round, until the time is over; then
the tally.

Exits 1 if something was lost.

Two fleets are quick: the program is forked without pauses, and time is put forward past
a lease that a killed run left. One is run as users run it: ``python -m reconciler``,
the exchange's limits, leases waited for. After some rounds each begins a new life, with
servers and a prefix of its own. The name of a life is its seed: ``--life NAME`` draws
the same again.
"""

from __future__ import annotations

import argparse
import collections
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from tests.proofs.soak.judge import ViolationError
from tests.proofs.soak.processes import Forks, Plain
from tests.proofs.soak.rounds import Fleet, Pace, Tally

LIFE_ROUNDS = {"quick": 25, "plain": 8}
FLEETS = ("quick", "quick", "plain")
TELL_EVERY_S = 60.0
PLAIN = Pace(way=Plain(), limits=True, waits=True)


class Soak:
    """All fleets, and what became of them."""

    def __init__(self, seed: str, minutes: float) -> None:
        self._seed = seed
        self._until_s = time.monotonic() + 60 * minutes
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._running: dict[str, Fleet] = {}
        self._past = Tally()
        self.violations: list[str] = []

    def run(self) -> None:
        """Until the time is over, or something was lost."""
        with Forks() as forks:
            paces = {"quick": quick(forks), "plain": PLAIN}
            threads = [
                threading.Thread(
                    target=self._live,
                    args=(f"{kind}-{number}", paces[kind]),
                    name=f"fleet {number}",
                )
                for number, kind in enumerate(FLEETS)
            ]
            self._side_by_side(threads)

    def run_one(self, life: str) -> None:
        """Only this life."""
        with Forks() as forks:
            pace = quick(forks) if kind_of(life) == "quick" else PLAIN
            self._side_by_side(
                [threading.Thread(target=self._live_once, args=(life, pace), name="fleet")]
            )

    def _side_by_side(self, threads: Sequence[threading.Thread]) -> None:
        """Until the time is over, or all is; a signal lets every fleet finish its
        round.
        """
        for thread in threads:
            thread.start()
        try:
            self._tell_now_and_then()
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _tell_now_and_then(self) -> None:
        while not self._over.wait(min(TELL_EVERY_S, max(0.0, self._until_s - time.monotonic()))):
            print(f"{time.strftime('%H:%M:%S')}  {line(self.tally())}", flush=True)
            if time.monotonic() >= self._until_s:
                return

    def _live(self, fleet: str, pace: Pace) -> None:
        """One life after the other."""
        number = 0
        while not self._over.is_set():
            number += 1
            self.live(f"{self._seed}/{fleet}/{number}", pace)

    def _live_once(self, life: str, pace: Pace) -> None:
        try:
            self.live(life, pace)
        finally:
            self._over.set()

    def live(self, name: str, pace: Pace) -> None:
        """One life of a fleet; whatever ends it before its time counts as a loss, and
        ends the soak.
        """
        try:
            with (
                tempfile.TemporaryDirectory(prefix="reconciler-soak-") as folder,
                Fleet(Path(folder), pace, name) as fleet,
            ):
                self._rounds(name, fleet)
        except BaseException as error:
            kind = "" if isinstance(error, ViolationError) else f"{type(error).__name__}: "
            self.violations.append(f"LOST in {name}: {kind}{error}")
            self._over.set()
            if not isinstance(error, ViolationError):
                raise

    def _rounds(self, name: str, fleet: Fleet) -> None:
        with self._lock:
            self._running[name] = fleet
        try:
            while fleet.tally.rounds < LIFE_ROUNDS[kind_of(name)] and not self._over.is_set():
                fleet.round()
        except BaseException:
            self.violations.append(f"{fleet.account()}\n")
            raise
        finally:
            with self._lock:
                self._past += self._running.pop(name).tally

    def tally(self) -> Tally:
        """Of all lives."""
        with self._lock:
            return sum((fleet.tally for fleet in self._running.values()), start=self._past)


def quick(forks: Forks) -> Pace:
    """The pace of a fleet that need not wait."""
    return Pace(way=forks, limits=False, waits=False)


def kind_of(life: str) -> str:
    """``quick`` or ``plain``, from the name of a life:

    ``<seed>/<kind>-<number>/<number>``.
    """
    return life.split("/")[-2].partition("-")[0]


def line(tally: Tally) -> str:
    """The tally so far."""
    kills, faults = tally.kills.total(), tally.faults.total()
    return (
        f"{tally.rounds} rounds, {tally.runs} runs, {kills} kills, {faults} faults, "
        f"{tally.recovered} recovered"
    )


def print_tally(tally: Tally, lost: int) -> None:
    """Everything that was counted, by kind."""
    named: tuple[tuple[str, collections.Counter[str]], ...] = (
        ("kills", tally.kills),
        ("faults", tally.faults),
    )
    for name, counter in named:
        print(f"{counter.total():7}  {name}")
        for kind, count in sorted(counter.items()):
            print(f"{count:15}  {kind}")
    print(
        f"{tally.runs:7}  runs of the program\n{tally.applied:7}  changes made by undisturbed runs"
    )
    print(f"{tally.looks:7}  looks of consumers at every secret")
    print(f"{tally.rounds:7}  rounds\n{tally.recovered:7}  recovered\n{lost:7}  lost")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.proofs.soak", description="See tests/proofs/soak/__main__.py."
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="how long (default: 60)")
    parser.add_argument(
        "--seed", default="", help="what everything is drawn from (default: a new one)"
    )
    parser.add_argument(
        "--life",
        default="",
        help="only this life of a fleet, as an account of a violation names it",
    )
    options = parser.parse_args()
    seed = options.seed or secrets.token_hex(4)
    soak = Soak(seed, options.minutes)
    print(f"seed {options.life or seed}", flush=True)
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # a shell lets what it starts in the background ignore the first
        signal.signal(number, signal.default_int_handler)
    code = 0
    try:
        if options.life:
            soak.run_one(options.life)
        else:
            soak.run()
    except KeyboardInterrupt:
        code = 128 + signal.SIGINT
    for violation in soak.violations:
        print(violation)
    print_tally(soak.tally(), sum(violation.startswith("LOST") for violation in soak.violations))
    return int(bool(soak.violations)) or code


if __name__ == "__main__":
    sys.exit(main())
