"""Exhaustive search of small worlds: every choice at every point, each state once.

Rules this module keeps:

1. A state is judged when it is reached, and again as if every process had died there: one undisturbed run must put all right,
   and the next must find nothing to do.
2. A violation comes with its choices, which ``retell`` plays again with a transcript.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from unittest import mock

from reconciler.model import SECOND_MS
from reconciler.protocol import lease
from tests.simulation.invariants import Violation, check_paid, check_rest, owed_tokens
from tests.simulation.runs import Run, Wish
from tests.simulation.world import OK, Choice, World

LEASE_OVER_MS = 61 * SECOND_MS
STEPS_MOST = 2_000


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A world to explore: how it begins, and what fresh processes wish for once all others are dead.

    After them, a process with the last of these wishes must find nothing to do.
    """

    name: str
    begin: Callable[[], World]
    fresh: tuple[Wish, ...]


@dataclasses.dataclass(slots=True)
class Found:
    """What a search came to. ``violations`` holds the first course of choices for each violation."""

    states: int = 0
    steps: int = 0
    rests: int = 0
    exhausted: bool = True
    violations: dict[str, tuple[Choice, ...]] = dataclasses.field(default_factory=dict)

    def add(self, violation: Violation, trail: tuple[Choice, ...]) -> None:
        """Keep the shortest course to each violation."""
        known = self.violations.get(str(violation))
        if known is None or len(trail) < len(known):
            self.violations[str(violation)] = trail


def explore(scenario: Scenario, *, seconds: float | None = None, first: bool = False) -> Found:
    """Every state that can be reached. With ``first`` it stops at the first violation."""
    with sizes_unchecked():
        return _explore(scenario, seconds, first=first)


def sizes_unchecked() -> AbstractContextManager[object]:
    """How large the ledger's text is decides nothing here, and costs more than all the rest."""
    return mock.patch.object(lease, "text_bytes", return_value=0)


def _explore(scenario: Scenario, seconds: float | None, *, first: bool) -> Found:
    found = Found()
    ends_s = None if seconds is None else time.monotonic() + seconds
    start = scenario.begin()
    seen = {start.key()}
    rested: set[int] = set()
    stack: list[tuple[World, tuple[Choice, ...]]] = [(start, ())]
    while stack:
        world, trail = stack.pop()
        found.states += 1
        if (ends_s is not None and time.monotonic() > ends_s) or (first and found.violations):
            found.exhausted = False
            break
        outside = world.outside_key()
        if outside not in rested:
            rested.add(outside)
            found.rests += 1
            try:
                rest(world, scenario)
            except Violation as violation:
                found.add(violation, trail)
        for choice in reversed(world.choices()):
            child = world.clone()
            found.steps += 1
            try:
                child.take(choice)
            except Violation as violation:
                found.add(violation, (*trail, choice))
                continue
            key = child.key()
            if key not in seen:
                seen.add(key)
                stack.append((child, (*trail, choice)))
    return found


# --- all processes are dead ---


def rest(world: World, scenario: Scenario, tell: Callable[[str], None] | None = None) -> None:
    """Violation unless a fresh process puts the world right, whether what is on its way lands before, after or never."""
    lifeless = world.clone()
    lifeless.tell = tell
    lifeless.runs, lifeless.waiting = {}, {}
    lifeless.faults = lifeless.ticks = 0
    lifeless.acts = ()
    lifeless.now_ms += LEASE_OVER_MS
    if lifeless.flights:
        landed = lifeless.clone()
        land_all(landed)
        put_right(landed, scenario)
    put_right(lifeless, scenario)


def land_all(world: World) -> None:
    """What is on its way arrives, in the order in which it was sent."""
    while world.flights:
        world.take(("land", "0"))


def put_right(world: World, scenario: Scenario) -> None:
    """Undisturbed runs; then what is on its way lands; then one that finds nothing to do."""
    owed = owed_tokens(world)
    for number, wish in enumerate(scenario.fresh):
        run = undisturbed(world, dataclasses.replace(wish, name=f"fresh{number}"))
        world.now_ms += SECOND_MS
    check_rest(world, run)
    check_paid(world, owed)
    if world.flights:
        land_all(world)
        run = undisturbed(world, dataclasses.replace(scenario.fresh[-1], name="after"))
        check_rest(world, run)
    before = world.mutations
    run = undisturbed(world, dataclasses.replace(scenario.fresh[-1], name="idle"))
    if world.mutations != before:
        raise Violation("2", "the run after a successful run writes again")
    check_rest(world, run)


def undisturbed(world: World, wish: Wish) -> Run:
    """A run with nobody beside it and no fault."""
    run = world.start(wish)
    for _ in range(STEPS_MOST):
        if run.ended:
            del world.runs[wish.name]
            return run
        world.take(("run", wish.name, str(run.ready()[0]), OK))
    raise Violation("rest", "an undisturbed run does not end")


def retell(scenario: Scenario, trail: tuple[Choice, ...], tell: Callable[[str], None]) -> None:
    """Play the choices again with a transcript, up to the violation."""
    world = scenario.begin()
    world.tell = tell
    try:
        for choice in trail:
            world.take(choice)
        tell("-- all processes die here --")
        rest(world, scenario, tell)
    except Violation as violation:
        tell(f"VIOLATION {violation}")
