"""A few dozen rounds with fixed seeds: real processes killed, suspended, told to stop;
both peers as well.

Nothing is lost.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proofs.soak.__main__ import quick
from tests.proofs.soak.processes import Forks
from tests.proofs.soak.rounds import Fleet

ROUNDS = 12


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    """One for all fleets."""
    with Forks() as server:
        yield server


@pytest.mark.parametrize("seed", ["one", "two"])
def test_nothing_is_lost(tmp_path: Path, forks: Forks, seed: str) -> None:
    """After every round one undisturbed run makes it whole, the next one finds nothing
    to do, and every invariant holds.
    """
    with Fleet(tmp_path, quick(forks), seed) as fleet:
        try:
            for _ in range(ROUNDS):
                fleet.round()
        except BaseException:
            print(fleet.account())
            raise
        tally = fleet.tally
    assert tally.rounds == ROUNDS
    assert tally.applied > ROUNDS, "hardly anything was to be done"
    assert tally.looks > ROUNDS, "hardly anybody looked"
    assert tally.kills.total() > 0
    assert tally.faults.total() > 0
