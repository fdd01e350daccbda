"""The protocol, walked through schedules: exhaustively in small worlds, at random in
larger ones, and broken on purpose.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from reconciler.protocol.effects import Effect, Step
from reconciler.values import value
from tests.proofs.simulation.explore import Scenario, explore, retell, sizes_unchecked
from tests.proofs.simulation.fibers import Fiber
from tests.proofs.simulation.kept import Kept, all_kept, read_kept
from tests.proofs.simulation.random_walks import WALK_STEPS, replay, shrink, walk, walks
from tests.proofs.simulation.sabotage import SABOTAGES, sabotage_named
from tests.proofs.simulation.scenarios import (
    ACTS,
    ACTS_IN_RESERVES,
    RESERVE_WORLDS,
    SMALL_WORLDS,
    Act,
    Budget,
    small_world,
)
from tests.proofs.simulation.tally import Tally


@value
class Wait(Effect[int]):
    """An effect of this file."""

    ms: int


ALONE = tuple(name for name in SMALL_WORLDS if ", " not in name and name != "rotate two")
"""The worlds that one run has for itself; of the others, some wishes only differ
between two runs."""

WIDE = frozenset({"pass paths around", "swap paths at once"})
"""Those of three labels and more: half a minute each."""

CAUGHT_LATE = frozenset(
    {
        "a deletion that is not announced",
        "a release beside an open intent",
        "a fence that writes a revoking id again",
        "an old reply's token revoked by a run that lost its lease",
    }
)
"""Sabotages that are caught only after hundred thousands of states."""

TWICE = (
    "derive",
    "remove",
    "restore",
    "roll back",
    "adopt",
    "hold",
    "retire",
    "verify",
    "release",
    "promote",
)
"""Those in which every pair of faults fits into the time there is."""

OVERTAKEN = (
    pytest.param("rotate, remove", marks=pytest.mark.large),
    pytest.param("move, remove", marks=pytest.mark.large),
    pytest.param("restore, remove", marks=pytest.mark.large),
    "put right",
    "retire",
    pytest.param("roll back", marks=pytest.mark.large),
    "adopt",
    "verify",
    pytest.param("release, remove", marks=pytest.mark.large),
    pytest.param("move place", marks=pytest.mark.large),
    pytest.param("move place, rotate", marks=pytest.mark.large),
    "give up where uses are hidden",
    pytest.param("give up a surplus", marks=pytest.mark.large),
    pytest.param("stock", marks=pytest.mark.large),
    pytest.param("promote", marks=pytest.mark.large),
    pytest.param("promote, want none", marks=pytest.mark.large),
    pytest.param("promote, move", marks=pytest.mark.large),
    pytest.param("promote compromised", marks=pytest.mark.large),
)
"""Those in which every interleaving of two runs fits into the time there is."""

PEOPLED = (
    "derive",
    "rotate",
    "compromised",
    "move",
    "remove",
    "retire",
    "move back",
    "roll back",
    "adopt",
    "restore",
    "stock",
    "promote",
)

SEEN_TO_LEAVE = (
    "remove what left",
    "remove at once",
    "remove now",
    "retire at an old path",
    "remove seldom uses",
    "remove after a move",
    "take over after a move",
    "take over at once",
    "take over what left",
)

WITH_RESERVES = (
    "promote",
    "promote compromised",
    "promote elsewhere",
    "promote the manager",
    "promote where uses are hidden",
    "give up a surplus",
    "give up where uses are hidden",
)

WALKS = 1000
WALKS_EACH = 50


def _assert_lawful(scenario: Scenario, tally: Tally) -> None:
    """No violation, and nothing left out; otherwise the transcript of the shortest
    course to one is the message.
    """
    found = explore(scenario)
    tally.add(found.tally)
    if found.violations:
        violation, trail = min(found.violations.items(), key=lambda item: len(item[1]))
        lines: list[str] = []
        retell(scenario, trail, lines.append)
        pytest.fail("\n".join([f"{scenario.name}: {violation}", *lines]))
    assert found.exhausted


def _large(names: Iterable[str], large: frozenset[str]) -> list[Any]:
    """The names as parameters, some of which only `make simulation` takes."""
    return [
        pytest.param(name, id=name, marks=[pytest.mark.large] if name in large else [])
        for name in names
    ]


@pytest.mark.parametrize("name", _large(ALONE, WIDE))
def test_a_run_meets_a_fault(name: str, tally: Tally) -> None:
    """Whatever fault a run meets, wherever it dies: nothing unlawful happens, and the
    next run puts all right.
    """
    _assert_lawful(small_world(name, Budget(faults=1)), tally)


@pytest.mark.parametrize("name", TWICE)
def test_a_run_meets_two_faults(name: str, tally: Tally) -> None:
    """The same for every pair of faults."""
    _assert_lawful(small_world(name, Budget(faults=2)), tally)


def test_a_run_meets_three_faults(tally: Tally) -> None:
    """The same for three lists in a row that lack a token with a wrong secret."""
    _assert_lawful(small_world("hold with a wrong secret", Budget(faults=3)), tally)


@pytest.mark.parametrize("name", ["derive", "rotate", "move back", "restore"])
@pytest.mark.parametrize("kept", [1, 2])
def test_vault_keeps_few_versions(name: str, kept: int, tally: Tally) -> None:
    """The same where Vault trims away what a restore or a proof would need."""
    _assert_lawful(small_world(name, Budget(faults=1, kept=kept)), tally)


@pytest.mark.large
def test_two_labels_side_by_side(tally: Tally) -> None:
    """The same, without faults, for two derives that go on side by side, in every order
    and with every death.
    """
    _assert_lawful(small_world("rotate two", Budget()), tally)


@pytest.mark.parametrize("name", OVERTAKEN)
def test_a_run_is_overtaken(name: str, tally: Tally) -> None:
    """Two runs in every interleaving, one of which may take over the other's lease: as
    lawful as one.
    """
    _assert_lawful(small_world(name, Budget(ticks=1, runs=2, coarse=True)), tally)


@pytest.mark.large
@pytest.mark.parametrize("name", ["remove", "retire", "roll back"])
def test_two_runs_meet_a_fault(name: str, tally: Tally) -> None:
    """Two runs in every interleaving, and every fault at every point of them."""
    _assert_lawful(small_world(name, Budget(faults=1, ticks=1, runs=2, coarse=True)), tally)


@pytest.mark.parametrize("act", ACTS, ids=" ".join)
def test_a_person_acts(act: Act, tally: Tally) -> None:
    """A person who acts at any moment of a run that then dies meets the same laws."""
    for name in PEOPLED:
        _assert_lawful(small_world(name, Budget(), act), tally)


@pytest.mark.parametrize("name", SEEN_TO_LEAVE)
def test_a_consumer_reads_late(name: str, tally: Tally) -> None:
    """A consumer that reads a secret and uses it, at any moment of its end: the token
    goes only where the last list could not show that.
    """
    _assert_lawful(small_world(name, Budget(), ("reads and uses", "bot")), tally)


@pytest.mark.parametrize("act", ACTS_IN_RESERVES, ids=" ".join)
def test_a_person_acts_in_a_reserve(act: Act, tally: Tally) -> None:
    """The same for a person who deletes, changes, copies or revokes a reserve."""
    for name in WITH_RESERVES:
        _assert_lawful(small_world(name, Budget(), act), tally)


@pytest.mark.large
@pytest.mark.parametrize("act", [*ACTS_IN_RESERVES, *ACTS], ids=" ".join)
def test_a_person_acts_beside_reserves(act: Act, tally: Tally) -> None:
    """The same for every act in every world with a reserve that one run has.

    Those are left out in which one token more ends the oldest, which is the manager's.
    """
    for name in (name for name in ALONE if name in RESERVE_WORLDS and "crowded" not in name):
        _assert_lawful(small_world(name, Budget(), act), tally)


@pytest.mark.parametrize("act", [act for act in ACTS if act[1] == "bot"][:5], ids=" ".join)
def test_a_person_acts_where_few_versions_are_kept(act: Act, tally: Tally) -> None:
    """What was trimmed away can't tell any more whether it was committed: then it is
    not taken for unwritten.
    """
    for name in ("derive", "rotate", "compromised"):
        _assert_lawful(small_world(name, Budget(kept=1), act), tally)


@pytest.mark.parametrize("first", range(0, WALKS, WALKS_EACH))
def test_random_walks(first: int, tally: Tally) -> None:
    """Several labels, changing wishes, people, consumers, faults and pauses, in any
    order: nothing unlawful happens.
    """
    found = walks(range(first, first + WALKS_EACH), WALK_STEPS, tally)
    for seed, (choices, violation) in itertools.islice(found.items(), 1):
        lines: list[str] = []
        with sizes_unchecked():
            replay(shrink(choices, violation.law), lines.append)
        pytest.fail("\n".join([f"walk {seed}: {violation}", *lines]))


@pytest.mark.parametrize("name", _large([one.name for one in SABOTAGES], CAUGHT_LATE))
def test_sabotage_is_caught(name: str, tally: Tally) -> None:
    """A program that is broken on purpose is found out, in a world that is lawful when
    it is not: see the tests above.
    """
    sabotage = sabotage_named(name)
    found = sabotage.hunt()
    if found.violations:
        tally.caught[sabotage.name] = found.tally.states, min(map(len, found.violations.values()))
    else:
        tally.let_through += 1
    assert found.violations


@pytest.mark.parametrize("file", all_kept(), ids=lambda file: file.stem)
def test_an_earlier_failure_is_lawful_now(file: Path, tally: Tally) -> None:
    """A schedule that broke a law once breaks none now, and does again as soon as the
    program is broken as it was.
    """
    kept = read_kept(file)
    lines: list[str] = []
    violation = kept.violation(lines.append)
    assert violation is None, "\n".join([kept.about, *lines])
    if kept.sabotage is not None:
        assert kept.violation_when_broken() is not None, (
            "the schedule leads nowhere any more: find it anew"
        )
    tally.regressions += 1


def test_a_kept_schedule_is_read_as_it_was_written(tmp_path: Path) -> None:
    """The file holds all that it takes to play it again."""
    kept = Kept(
        about="an example",
        choices=(("start", "A"), ("person", "overwrites", "bot")),
        world="rotate",
        budget=Budget(faults=1, kept=2),
        act=("overwrites", "bot"),
        sabotage="no fence",
    )
    file = tmp_path / "kept.json"
    file.write_text(kept.text())
    assert read_kept(file) == kept


def test_a_walk_is_shrunk() -> None:
    """A walk into a violation comes out short, and still ends in the same violation."""
    sabotage = sabotage_named("a token revoked that the secret holds")
    with sizes_unchecked(), sabotage.patch():
        choices, violation = next(
            (taken, why)
            for taken, why in (walk(seed, WALK_STEPS) for seed in range(100))
            if why is not None
        )
        short = shrink(choices, violation.law)
        again = replay(short)
    assert len(short) < len(choices)
    assert again is not None
    assert again.law == violation.law


def test_a_fiber_is_copied() -> None:
    """A copy of a fiber goes its own way, and the original does not notice."""

    def waits() -> Step[int]:
        total = 0
        while total < 10:
            total += yield from Wait(ms=total)
        return total

    fiber = Fiber(waits)
    fiber.send(4)
    copy = fiber.clone()
    copy.send(7)
    fiber.send(1)
    assert (copy.ended, copy.result) == (True, 11)
    assert fiber.effect == Wait(ms=5)
