"""The protocol, walked through schedules: exhaustively in small worlds, at random in larger ones, and broken on purpose."""

from __future__ import annotations

import itertools

import pytest

from reconciler.effects import Effect, Step, ask, value
from tests.simulation.explore import Found, Scenario, explore, retell, sizes_unchecked
from tests.simulation.fibers import Fiber
from tests.simulation.random_walks import replay, shrink, walk, walks
from tests.simulation.sabotage import SABOTAGES, Sabotage
from tests.simulation.scenarios import ACTS, SMALL_WORLDS, Act, Budget, peopled_world, small_world


@value
class Wait(Effect[int]):
    """An effect of this file."""

    ms: int


LANES = ("retire and rotate", "retire and compromised", "retire and move")
"""Worlds in which a run does two things at once: they are the large ones."""

FAULTS = {
    **{name: 1 for name in SMALL_WORLDS if name not in LANES and ", " not in name},
    **dict.fromkeys(("derive", "remove", "restore", "roll back"), 2),
}
"""How many faults a run meets in each world that is small enough."""

WALK_STEPS = 500
WALKS_EACH = 20


def _assert_lawful(scenario: Scenario, found: Found) -> None:
    """No violation, and nothing left out; otherwise the transcript of the shortest course to one is the message."""
    if found.violations:
        violation, trail = min(found.violations.items(), key=lambda item: len(item[1]))
        lines: list[str] = []
        retell(scenario, trail, lines.append)
        pytest.fail("\n".join([f"{scenario.name}: {violation}", *lines]))
    assert found.exhausted
    print(f"{scenario.name}: {found.states} states, {found.steps} steps, {found.rests} worlds put right")


@pytest.mark.parametrize(("name", "faults"), FAULTS.items())
def test_one_run_meets_faults(name: str, faults: int) -> None:
    """Whatever faults a run meets, wherever it dies: nothing unlawful happens, and the next run puts all right."""
    scenario = small_world(name, Budget(faults=faults))
    _assert_lawful(scenario, explore(scenario))


@pytest.mark.parametrize("name", LANES)
def test_one_run_with_two_lanes(name: str) -> None:
    """The same, without faults, for a run that derives and revokes side by side, in every order and with every death."""
    scenario = small_world(name, Budget())
    _assert_lawful(scenario, explore(scenario))


@pytest.mark.parametrize("name", ["rotate, remove", "restore, remove", "put right", "retire", "roll back"])
def test_a_run_is_overtaken(name: str) -> None:
    """Two runs in every interleaving, one of which may take over the other's lease: as lawful as one."""
    scenario = small_world(name, Budget(ticks=1, two=True, coarse=True))
    _assert_lawful(scenario, explore(scenario))


@pytest.mark.parametrize("act", ACTS, ids=" ".join)
def test_a_person_acts(act: Act) -> None:
    """A person who acts at any moment of a run, and dies with it, meets the same laws."""
    for name in ("derive", "rotate", "compromised", "move", "remove", "retire", "roll back"):
        scenario = peopled_world(name, act, Budget())
        _assert_lawful(scenario, explore(scenario))


@pytest.mark.parametrize("first", range(0, 8 * WALKS_EACH, WALKS_EACH))
def test_random_walks(first: int) -> None:
    """Several labels, changing wishes, people, consumers, faults and pauses, in any order: nothing unlawful happens."""
    found = walks(range(first, first + WALKS_EACH), WALK_STEPS)
    for seed, (choices, violation) in itertools.islice(found.items(), 1):
        lines: list[str] = []
        with sizes_unchecked():
            replay(shrink(choices, violation.law), lines.append)
        pytest.fail("\n".join([f"walk {seed}: {violation}", *lines]))


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=[sabotage.name for sabotage in SABOTAGES])
def test_sabotage_is_caught(sabotage: Sabotage) -> None:
    """A protocol that is broken on purpose is found out, in a world that is lawful when it is not: see the tests above."""
    scenario = small_world(sabotage.world, sabotage.budget)
    with sabotage.patch():
        found = explore(scenario, first=True)
    assert found.violations


def test_a_walk_is_shrunk() -> None:
    """A walk into a violation comes out short, and still ends in the same violation."""
    sabotage = next(s for s in SABOTAGES if s.name == "a token revoked that the secret holds")
    with sizes_unchecked(), sabotage.patch():
        choices, violation = next(
            (taken, why) for taken, why in (walk(seed, WALK_STEPS) for seed in range(100)) if why is not None
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
            total += yield from ask(Wait(ms=total))
        return total

    fiber = Fiber(waits)
    fiber.send(4)
    copy = fiber.clone()
    copy.send(7)
    fiber.send(1)
    assert (copy.ended, copy.result) == (True, 11)
    assert fiber.effect == Wait(ms=5)
